"""The files of an OCI image layout on disk.

Blobs appear atomically, and index.json is replaced atomically. Everything here blocks; `registry` calls it in
threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import DigestMismatch, MalformedArchive, SizeMismatch
from app.oci import Digest
from app.oci.digest import HEX_LENGTHS
from app.registry.oci_layout.disk import disk_errors, sync_directory, take_lock, tries_lock
from app.registry.oci_layout.index import EMPTY_INDEX, MAX_INDEX_BYTES

_INCOMING = ".incoming"
PIECE = 1 << 20  # bytes read at once


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """Identity of an index.json: each one is a new file, so equal versions mean equal content."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> IndexVersion:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class LayoutFiles:
    """One layout below `root`. Several threads and several processes may use it concurrently."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / _INCOMING

    def prepare(self) -> None:
        """Create missing files and delete the leftovers of a crash. Raises RegistryFault."""
        with disk_errors("open its directory"):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (_INCOMING, "blobs", *(f"blobs/{algorithm}" for algorithm in HEX_LENGTHS)):
                (self.root / part).mkdir(mode=0o700, exist_ok=True)
            self.clear_incoming()
            with self.locked():
                if not (self.root / "oci-layout").exists():
                    self._replace("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
                if not (self.root / "index.json").exists():
                    self._replace("index.json", EMPTY_INDEX)

    def clear_incoming(self) -> int:
        """Delete what writers that died left behind; return how many bytes it had."""
        freed = 0
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # its writer may just have finished
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    if tries_lock(descriptor):  # otherwise its writer is alive, in this process or another
                        path.unlink()
                        freed += os.fstat(descriptor).st_size
                finally:
                    os.close(descriptor)
        return freed

    def blob_path(self, digest: Digest) -> Path:
        return self.root / "blobs" / digest.algorithm / digest.encoded

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes, or None if the blob does not exist."""
        with disk_errors("look for a blob"):
            try:
                return self.blob_path(digest).stat().st_size
            except FileNotFoundError:
                return None

    def blobs(self) -> Iterator[tuple[Digest, int]]:
        """Yield each blob and its size in bytes, whether anything refers to it or not."""
        for algorithm, length in HEX_LENGTHS.items():
            if not (self.root / "blobs" / algorithm).is_dir():
                continue
            with disk_errors("list its blobs"), os.scandir(self.root / "blobs" / algorithm) as entries:
                for entry in entries:
                    if len(entry.name) == length and entry.is_file(follow_symlinks=False):
                        with suppress(MalformedArchive, FileNotFoundError):
                            yield Digest.parse(f"{algorithm}:{entry.name}"), entry.stat(follow_symlinks=False).st_size

    def delete_blob(self, digest: Digest) -> None:
        with disk_errors("delete a blob"):
            self.blob_path(digest).unlink(missing_ok=True)

    def blob_time(self, digest: Digest) -> int:
        """Return when the blob was stored, in seconds since 1970; 0 if it is missing."""
        try:
            return int(self.blob_path(digest).stat().st_mtime)
        except OSError:
            return 0

    def read_blob(self, digest: Digest, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`.

        The file is opened for each call: blobs never change under their name, and a reader that disappears leaves no
        file open.
        """
        with disk_errors("read a blob"), self.blob_path(digest).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)

    def fault_of(self, digest: Digest, size: int, *, read: bool) -> str | None:
        """Return what is wrong with the file of a blob, or None if it has `size` bytes.

        `read`: also compare its digest.
        """
        found = self.blob_size(digest)
        if found != size:
            return "is missing" if found is None else f"has {found} of {size} bytes"
        if not read:
            return None
        hasher = digest.hasher()
        with disk_errors("read a blob"), self.blob_path(digest).open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                hasher.update(piece)
        return None if hasher.hexdigest() == digest.encoded else "has a wrong digest"

    def index_stamp(self) -> IndexVersion:
        with disk_errors("check its index.json"):
            return IndexVersion.of((self.root / "index.json").stat())

    def read_index(self) -> tuple[IndexVersion, bytes]:
        with disk_errors("read its index.json"), (self.root / "index.json").open("rb") as file:
            return IndexVersion.of(os.fstat(file.fileno())), file.read(MAX_INDEX_BYTES + 1)

    def replace_index(self, raw: bytes) -> IndexVersion:
        """Replace index.json.

        Blobs are made durable first, so an index never names missing ones. The caller must have locked.
        """
        with disk_errors("write its index.json"):
            for algorithm in HEX_LENGTHS:
                sync_directory(self.root / "blobs" / algorithm)
            return self._replace("index.json", raw)

    def _replace(self, name: str, raw: bytes) -> IndexVersion:
        with self.incoming() as file:
            file.write(raw)
            stamp = file.rename(self.root / name)
        sync_directory(self.root)
        return stamp

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock index.json for one writer, across threads and processes. A killed process releases the lock."""
        with disk_errors("lock itself"):
            descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            take_lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def incoming(self) -> Iterator[IncomingFile]:
        file = IncomingFile(self._incoming)
        try:
            yield file
        finally:
            file.discard()

    def new_blob(self, algorithm: str, size: int | None) -> BlobWriter:
        """Return a writer; `size` in bytes, if known."""
        return BlobWriter(self, IncomingFile(self._incoming), (algorithm, size))


class IncomingFile:
    """A file without a name in the layout yet.

    Its lock shows whether its writer is alive.

    The mutex is for cancellation: a cancelled task discards the file while its last write may still run in a thread.
    The number of a closed descriptor may by then belong to another file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mutex = threading.Lock()
        self._descriptor: int | None = None
        self._path = directory
        self._discarded = False

    def write(self, chunk: bytes) -> None:
        with self._mutex:
            view = memoryview(chunk)
            descriptor = self._open()
            while view:
                view = view[os.write(descriptor, view) :]

    def rename(self, path: Path) -> IndexVersion:
        """Make the bytes durable, then rename the file."""
        with self._mutex:
            descriptor = self._open()
            os.fsync(descriptor)
            os.rename(self._path, path)
            stamp = IndexVersion.of(os.fstat(descriptor))
            self._descriptor = None
            os.close(descriptor)
            return stamp

    def discard(self) -> None:
        """Delete the file unless it was renamed. May be called at any time, and repeatedly."""
        with self._mutex:
            self._discarded = True
            if self._descriptor is not None:
                with suppress(FileNotFoundError):
                    self._path.unlink()
                os.close(self._descriptor)
                self._descriptor = None

    def _open(self) -> int:
        if self._discarded:
            raise InterruptedError(errno.EINTR, "the push was cancelled")
        while self._descriptor is None:
            path = self._directory / secrets.token_hex(16)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if tries_lock(descriptor) and os.fstat(descriptor).st_nlink:
                self._path, self._descriptor = path, descriptor
            else:  # a process that is opening the layout deleted it as a leftover before it was locked
                os.close(descriptor)
        return self._descriptor


class BlobWriter:
    """A blob that is being received: hashed while it is written, and named by its digest at the end."""

    def __init__(self, files: LayoutFiles, file: IncomingFile, announced: tuple[str, int | None]) -> None:
        self._files = files
        self._file = file
        self._algorithm, self._announced = announced
        self._hasher = hashlib.new(self._algorithm)
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Write a chunk. Raises SizeMismatch at the first surplus byte."""
        self._hasher.update(chunk)
        self._size += len(chunk)
        if self._announced is not None and self._size > self._announced:
            raise SizeMismatch(f"a blob is larger than the announced {self._announced} bytes")
        with disk_errors("store a blob"):
            self._file.write(chunk)

    def finish(self, digest: Digest | None, announce: Callable[[Digest], None] = lambda _: None) -> tuple[Digest, int]:
        """Store the blob if it matches the announced size and digest. Raises SizeMismatch and DigestMismatch.

        `announce` is called before the blob exists.
        """
        found = Digest(self._algorithm, self._hasher.hexdigest())
        if self._announced not in {None, self._size}:
            raise SizeMismatch(f"blob {found} has {self._size} bytes instead of the announced {self._announced}")
        if digest not in {None, found}:
            raise DigestMismatch(f"a blob was announced as {digest}, but its bytes have {found}")
        announce(found)
        with disk_errors("store a blob"):
            self._file.rename(self._files.blob_path(found))
        return found, self._size

    def discard(self) -> None:
        self._file.discard()
