"""Bytes that outlive a crash: the plain tar of every accepted archive, one file each.

batches            how much of an upload a thread writes at once
concatenated_file  ConcatenatedFile: parts as one file
directory_tar      a directory read as the tar it would become
disk               DiskSpool
partial_file       PartialFile: a file that is still written
reservation        free space promised to uploads
s3                 S3Spool
upload_files       bytes and state files of resumable uploads
verified_file      VerifiedFile: identity is checked
visibility         is a file accessible on this replica
writeback          writes pages back while they come
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Set
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class StreamFilter(Protocol):
    """What received bytes pass through on their way to the disk: raw in, plain out. Called in a thread, in order."""

    def feed(self, chunk: bytes) -> Iterable[bytes]: ...
    def finish(self) -> Iterable[bytes]:
        """After the last byte. Raises where the stream is not complete."""
        ...


class OpenFile(Protocol):
    """An open archive; satisfies archive.ReadAt. Thread-safe."""

    @property
    def size(self) -> int: ...
    def read_at(self, offset: int, size: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A plain tar that will still be there after a crash.

    `owned`: made by us, deleted with its job; else a file or directory of somebody else's that is read where it stands
    (`identity` = device, inode, size, mtime_ns when it was adopted; of a directory: device, inode, size of its tar, and
    what stands for all that is in it). `parts`: in order, where it is split over several files; nothing has `path`."""

    path: str
    size: int
    owned: bool
    identity: tuple[int, int, int, int]
    parts: tuple[SpooledFile, ...] = ()

    @property
    def name(self) -> str:
        """Return the name that an owned file was saved by."""
        return self.path.rpartition("/")[2].rpartition(":")[2].removesuffix(".tar")


class Spool(Protocol):
    """Where archives wait. Concurrent calls are fine."""

    async def save(
        self, name: str, chunks: AsyncIterable[bytes], tap: StreamFilter, expected_bytes: int = 0
    ) -> SpooledFile:
        """Write what `tap` gives for `chunks` to the one file called `name`, durably. On any error nothing is left.
        Room for `expected_bytes` is this upload's alone until it is over. Raises SpoolFull, and what `chunks` and
        `tap` raise."""
        ...

    async def reference_file(self, path: str) -> SpooledFile:
        """Take a plain tar, or a directory that is to be read as one, where it stands. Raises PathNotFound,
        LimitExceeded."""
        ...

    def open(self, file: SpooledFile) -> OpenFile:
        """Raises SourceChanged when it no longer is the file that was saved or adopted."""
        ...

    async def discard(self, file: SpooledFile) -> None:
        """Delete an owned file; nothing for an adopted one. Not an error when it is gone."""
        ...

    def check_space(self, size: int) -> None:
        """Raises SpoolFull where `size` more bytes do not fit; asked before the first byte of an upload is taken."""
        ...

    async def sweep(self, keep: Set[str]) -> int:
        """Delete what no job knows: every unfinished file, and every finished one whose name is not in `keep`.
        For the start, while nothing is being saved. How many files went."""
        ...

    async def names(self) -> frozenset[str]:
        """Of all that is there, finished or not, as `save` was given them."""
        ...

    async def remove(self, names: Set[str]) -> None:
        """Delete these, finished or not. Not an error where one is gone."""
        ...


@runtime_checkable
class PartialReads(Protocol):
    """What a spool may offer besides: a look at a file that is being saved."""

    def open_partial(self, name: str) -> OpenFile:
        """What has been written of it. Raises SourceChanged where it is no longer being saved."""
        ...


__all__ = ["OpenFile", "PartialReads", "Spool", "SpooledFile", "StreamFilter"]
