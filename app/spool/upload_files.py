"""Files that are received in pieces: the raw bytes and the state of each resumable upload.

`ID.part` has the bytes as sent. Its size is the offset, so no separate count can be wrong after a crash. `ID.json` is
the state of the upload; it is replaced atomically. `ID.tar` is a plain tar retained for several jobs. All calls block.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import Internal, SourceChanged, SpoolFull
from app.spool import SpooledFile
from app.spool.partial_file import PartialFile
from app.spool.verified_file import VerifiedFile, file_identity, open_regular

MAX_STATE_BYTES = 1 << 20  # of ID.json: a header of 32 KiB and our additions
SYNC_BYTES = 64 << 20  # written back during the upload, so that the sync before a response is short
_NAME = re.compile(r"[0-9a-f]{32}")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PART, _STATE, _KEPT = ".part", ".json", ".tar"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_COPY_BYTES = 64 << 20


class UploadFiles:
    """Stores uploads in `root`, which only this user may access.

    It must be on the spool's file system, so that a file is moved by a rename. Only names that are valid ids are looked
    up."""

    def __init__(self, root: Path, spool: Path) -> None:
        self._root, self._spool = root.absolute(), spool.absolute()
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root.chmod(0o700)

    def create(self, name: str, state: bytes) -> None:
        """Create an upload durably. Raises SpoolFull."""
        try:
            os.close(os.open(self._path(name, _PART), _CREATE, 0o600))
            self.write_state(name, state)
        except OSError as error:
            raise _failure(error) from error

    def write_state(self, name: str, state: bytes) -> None:
        path = self._path(name, _STATE)
        new = path.with_suffix(".new")
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
            self._sync()
        except OSError as error:
            raise _failure(error) from error

    def states(self) -> Iterator[tuple[str, bytes]]:
        """Yield every upload; delete what a crash left of others."""
        names = {path.name.partition(".")[0] for path in self._root.iterdir()}
        for name in sorted(names):
            path = self._root / f"{name}{_STATE}"
            if _NAME.fullmatch(name) and path.is_file() and path.stat().st_size <= MAX_STATE_BYTES:
                yield name, path.read_bytes()
            else:
                self._remove(name)

    def offset(self, name: str) -> int | None:
        """Return the number of bytes received; None if the file does not exist."""
        try:
            return self._path(name, _PART).stat().st_size
        except OSError:
            return None

    def size(self, name: str) -> int:
        """Return the bytes of all files of an upload."""
        return sum(_size(self._path(name, suffix)) for suffix in (_PART, _STATE, _KEPT))

    def touched_at(self, name: str) -> float:
        """Return the time of the last change in seconds since 1970; 0 without files."""
        return max((_mtime(self._path(name, suffix)) for suffix in (_PART, _STATE, _KEPT)), default=0.0)

    def writing(self, name: str) -> AppendFile:
        try:
            return AppendFile(os.open(self._path(name, _PART), _APPEND))
        except OSError as error:
            raise _failure(error) from error

    def truncate(self, name: str, size: int) -> None:
        with self.writing(name) as file:
            file.truncate(size)

    def join(self, name: str, parts: Sequence[str]) -> None:
        """Fill the empty file `name` with the bytes of the parts, in order."""
        with self.writing(name) as file:
            for part in parts:
                with self._path(part, _PART).open("rb") as source:
                    file.copy(source.fileno())

    def open(self, name: str) -> VerifiedFile:
        descriptor = os.open(self._path(name, _PART), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return VerifiedFile(descriptor, file_identity(os.fstat(descriptor)), same_device=True)

    def open_partial(self, name: str) -> PartialFile:
        """Open the bytes received so far. Raises SourceChanged if the upload does not exist."""
        return PartialFile(open_regular(str(self._path(name, _PART)), SourceChanged))

    def retain(self, name: str) -> SpooledFile:
        """Retain the bytes, which are a plain tar, here for several jobs."""
        return self._move(self._path(name, _PART), self._path(name, _KEPT), owned=False)

    def retain_spooled(self, name: str, file: SpooledFile) -> SpooledFile:
        """Retain the plain tar, which was made in the spool, here for several jobs."""
        return self._move(self._spool / Path(file.path).name, self._path(name, _KEPT), owned=False)

    def move_to_spool(self, name: str, spooled_as: str) -> SpooledFile:
        """Move the bytes, which are a plain tar, into the spool."""
        return self._move(self._path(name, _PART), self._spool / f"{spooled_as}{_KEPT}", owned=True)

    def find_moved(self, name: str, spooled_as: str) -> SpooledFile | None:
        """Return the file that one of the three methods above moved before a crash, or None."""
        for path, owned in ((self._path(name, _KEPT), False), (self._spool / f"{spooled_as}{_KEPT}", True)):
            if path.is_file():
                return _spooled(path, owned=owned)
        return None

    def drop_bytes(self, name: str, *, kept: bool = False) -> None:
        """Delete the bytes as sent; with `kept` also the retained plain tar."""
        self._path(name, _PART).unlink(missing_ok=True)
        if kept:
            self._path(name, _KEPT).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        self._path(name, _STATE).unlink(missing_ok=True)  # first: without it, the rest is deleted at the next start
        self._remove(name)

    def _remove(self, name: str) -> None:
        for suffix in (_PART, _KEPT, ".new"):
            (self._root / f"{name}{suffix}").unlink(missing_ok=True)

    def _path(self, name: str, suffix: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Internal("the id of an upload is not valid")
        return self._root / f"{name}{suffix}"

    def _move(self, source: Path, target: Path, *, owned: bool) -> SpooledFile:
        try:
            source.rename(target)
            self._sync()
        except OSError as error:
            raise _failure(error) from error
        return _spooled(target, owned=owned)

    def _sync(self) -> None:
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AppendFile:
    """Appends to one file; for one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unsynced = 0
        self.size = os.lseek(descriptor, 0, os.SEEK_END)

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append the chunks. Raises SpoolFull; bytes written before that are kept and counted."""
        try:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    written = os.write(self._descriptor, rest)
                    self.size += written
                    self._unsynced += written
                    rest = rest[written:]
        except OSError as error:
            raise _failure(error) from error
        if self._unsynced >= SYNC_BYTES:
            self.sync()

    def copy(self, source: int) -> None:
        try:
            while copied := os.copy_file_range(source, self._descriptor, _COPY_BYTES):
                self.size += copied
        except OSError as error:
            raise _failure(error) from error

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self.size = os.lseek(self._descriptor, size, os.SEEK_SET)

    def sync(self) -> None:
        """Make the written bytes durable. An offset is reported only after this."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise _failure(error) from error
        self._unsynced = 0

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> AppendFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            self.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _spooled(path: Path, *, owned: bool) -> SpooledFile:
    identity = file_identity(path.stat())
    return SpooledFile(str(path), identity[2], owned=owned, identity=identity)


def _failure(error: OSError) -> SpoolFull | Internal:
    if error.errno in _NO_SPACE:
        return SpoolFull(
            f"the spool is full ({error.strerror}); received bytes are kept; free space or delete ended jobs, then "
            "continue the upload"
        )
    return Internal(f"the spool cannot be used: {error.strerror}")


__all__ = ["AppendFile", "UploadFiles"]
