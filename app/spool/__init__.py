"""Archives that survive a crash: the plain tar of every accepted archive, one file each.

batches            amount of an upload that a thread writes at once
concatenated_file  ConcatenatedFile: parts as one file
directory_tar      a directory read as the tar it would become
disk               DiskSpool
partial_file       PartialFile: a file that is still written
reservation        free space promised to uploads
s3                 S3Spool
upload_files       bytes and state files of resumable uploads
verified_file      VerifiedFile: identity is checked
visibility         is a file accessible on this replica
writeback          writes pages back while data is received
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Set
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class StreamFilter(Protocol):
    """A filter for received bytes on their way to the disk: raw in, plain out. Called in a thread, in order."""

    def feed(self, chunk: bytes) -> Iterable[bytes]: ...
    def finish(self) -> Iterable[bytes]:
        """Yield the rest after the last byte. Raises if the stream is not complete."""
        ...


class OpenFile(Protocol):
    """An open archive; satisfies archive.ReadAt. Thread-safe."""

    @property
    def size(self) -> int: ...
    def read_at(self, offset: int, size: int) -> bytes: ...
    def close(self) -> None: ...


OpenStore = Callable[[Callable[[str], bool], str], OpenFile]
"""Opens the repositories of the image store that a predicate allows as an archive, for the job with this id."""


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A plain tar that survives a crash.

    `owned`: created by Tarmac and deleted with its job. Otherwise it is a server file or directory that is read in
    place. `identity`: device, inode, size and mtime_ns at adoption; of a directory: device, inode, size of its tar, and
    a fingerprint of its entries. `parts`: in order, if the archive is split over several files; `path` is then unused.
    """

    path: str
    size: int
    owned: bool
    identity: tuple[int, int, int, int]
    parts: tuple[SpooledFile, ...] = ()

    @property
    def name(self) -> str:
        """Return the name under which an owned file was saved."""
        return self.path.rpartition("/")[2].rpartition(":")[2].removesuffix(".tar")


class Spool(Protocol):
    """Storage of waiting archives. Safe for concurrent calls."""

    async def save(
        self, name: str, chunks: AsyncIterable[bytes], tap: StreamFilter, expected_bytes: int = 0
    ) -> SpooledFile:
        """Write the output of `tap` for `chunks` durably to the file `name`. On any error, nothing remains.

        When the chunk after an empty one is requested, all chunks before it have passed through `tap`.
        `expected_bytes` of free space are reserved for this upload until it ends. Raises SpoolFull, and what `chunks`
        and `tap` raise."""
        ...

    async def reference_file(self, path: str) -> SpooledFile:
        """Adopt a plain tar, or a directory that is read as one, in place. Raises PathNotFound, LimitExceeded."""
        ...

    def open(self, file: SpooledFile) -> OpenFile:
        """Open a file. Raises SourceChanged if it is not the file that was saved or adopted."""
        ...

    async def discard(self, file: SpooledFile) -> None:
        """Delete an owned file; do nothing for an adopted one, or if the file is already deleted."""
        ...

    def check_space(self, size: int) -> None:
        """Raise SpoolFull if `size` more bytes do not fit. Called before the first byte of an upload is read."""
        ...

    async def sweep(self, keep: Set[str]) -> int:
        """Delete every unfinished file, and every finished one whose name is not in `keep`. Return their number.

        Call it at start, while no file is being saved."""
        ...

    async def names(self) -> frozenset[str]:
        """Return the names of all files, finished or not, as passed to `save`."""
        ...

    async def remove(self, names: Set[str]) -> None:
        """Delete these files, finished or not. Missing files are ignored."""
        ...


@runtime_checkable
class PartialReads(Protocol):
    """Optional ability of a spool: read a file while it is being saved."""

    def open_partial(self, name: str) -> OpenFile:
        """Open the bytes written so far. Raises SourceChanged if it is no longer being saved."""
        ...


__all__ = ["OpenFile", "OpenStore", "PartialReads", "Spool", "SpooledFile", "StreamFilter"]
