"""Uses: the content that running pushes and pulls need, so that collections keep it. Everything here blocks.

Each use is a file below `.uses`, seen by all processes that work in the layout. A push locks its file until it
ends, so an unlocked file belongs to a process that died. A registry does not see the end of a pull: its file lists what
the client has not read yet. It is valid until the client has all of it, or for PULL_SECONDS after its last request.

A use is recorded while `gate` is locked shared, and before the content is looked up. A collection locks the gate
exclusively while it reads the uses and deletes. It deletes nothing that a use has recorded, and later look-ups do not
find what it deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import MalformedArchive, RegistryFault
from app.oci import Digest
from app.registry.oci_layout.disk import disk_errors, take_lock, tries_lock

_USES = ".uses"
_GATE = ".gate"
PULL_SECONDS = 60.0  # that a client may be silent between two requests of one pull
MAX_PULL_LINES = 20_000  # of one client; an index of 40 platforms with 100 layers each has 4,000
_MANIFEST, _BLOB = "M", "B"


@dataclass(frozen=True, slots=True)
class Needed:
    """The manifests and blobs that uses need, by repository."""

    manifests: frozenset[tuple[str, Digest]] = frozenset()
    blobs: frozenset[tuple[str, Digest]] = frozenset()

    @property
    def digests(self) -> frozenset[Digest]:
        return frozenset(digest for _, digest in (*self.manifests, *self.blobs))


class PushUse:
    """The content that one push needs. `job` is the id of its job, or "". Several threads may use it."""

    def __init__(self, uses: Uses, job: str) -> None:
        self.job = job
        self._uses = uses
        self._mutex = threading.Lock()
        self._known: set[str] = set()
        self._file: tuple[Path, int] | None = None
        self._is_closed = False

    def need(self, needed: Needed) -> None:
        """Protect the content until the push ends. Raises RegistryFault."""
        with self._mutex:
            lines = [line for line in _lines(needed) if line not in self._known]
            if not lines or self._is_closed:
                return
            with self._uses.gate(shared=True), disk_errors("note what a push needs"):
                if self._file is None:
                    self._file = self._uses.new_push_file()
                os.write(self._file[1], "".join(lines).encode())
            self._known.update(lines)

    def close(self) -> None:
        with self._mutex:
            self._is_closed = True
            if self._file is not None:
                with suppress(OSError):
                    self._file[0].unlink()
                os.close(self._file[1])
                self._file = None


_current: ContextVar[PushUse | None] = ContextVar("layout_push", default=None)


def current_push() -> PushUse | None:
    """Return the push that this task or thread works for."""
    return _current.get()


@dataclass(frozen=True, slots=True)
class Uses:
    """The uses of the layout at `root`. `clock` returns seconds since 1970, like file systems."""

    root: Path
    clock: Callable[[], float] = field(default=time.time)

    def prepare(self) -> None:
        (self.root / _USES).mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def gate(self, *, shared: bool) -> Iterator[None]:
        """Block collections (`shared`), or all who note a use. Raises RegistryFault after LOCK_SECONDS."""
        with disk_errors("lock itself"):
            descriptor = os.open(self.root / _GATE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            take_lock(descriptor, shared=shared)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def push(self, job: str = "") -> Iterator[PushUse]:
        """Treat what this task and those that it starts do with the layout as one push, until the block ends."""
        use = PushUse(self, job)
        token = _current.set(use)
        try:
            yield use
        finally:
            _current.reset(token)
            use.close()

    def new_push_file(self) -> tuple[Path, int]:
        path = self.root / _USES / f"push-{secrets.token_hex(16)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return path, descriptor

    def begin_pull(self, reader: str, needed: Needed) -> None:
        """Record that `reader` will pull `needed`."""
        self._change(reader, lambda lines: lines | set(_lines(needed)))

    def end_blob(self, reader: str, repository: str, digest: Digest) -> None:
        """Record that `reader` has all of a blob."""
        self._change(reader, lambda lines: lines - {_line(_BLOB, repository, digest)})

    def touch(self, reader: str) -> None:
        """Record that `reader` is still active."""
        with suppress(OSError):
            now = self.clock()
            os.utime(self._pull_path(reader), (now, now))

    def is_pulling(self, reader: str, repository: str, digest: Digest) -> bool:
        """Return whether `reader` is active and received a manifest of `repository` that refers to the blob."""
        path = self._pull_path(reader)
        try:
            return self._is_recent(path) and _line(_BLOB, repository, digest) in _read_lines(path)
        except OSError:
            return False

    def read(self) -> Needed:
        """Return what all uses need, and delete those of processes that died. Call it with the exclusive lock."""
        manifests: set[tuple[str, Digest]] = set()
        blobs: set[tuple[str, Digest]] = set()
        with disk_errors("read what is in use"):
            for path in (self.root / _USES).iterdir():
                for kind, repository, digest in filter(None, map(_parsed, self._lines_of(path))):
                    (manifests if kind == _MANIFEST else blobs).add((repository, digest))
        return Needed(frozenset(manifests), frozenset(blobs))

    def _lines_of(self, path: Path) -> set[str]:
        """Return the lines of a use; none of one that ended, which is deleted if its process did not."""
        try:
            if self._is_alive(path):
                return _read_lines(path)
            path.unlink()
        except FileNotFoundError:  # it ended just now; what it left is in index.json
            pass
        return set()

    def _is_alive(self, path: Path) -> bool:
        if not path.name.startswith("push-"):
            return self._is_recent(path)
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return not tries_lock(descriptor)
        finally:
            os.close(descriptor)

    def _is_recent(self, path: Path) -> bool:
        return abs(self.clock() - path.stat().st_mtime) <= PULL_SECONDS

    def _pull_path(self, reader: str) -> Path:
        return self.root / _USES / f"pull-{hashlib.sha256(reader.encode()).hexdigest()[:32]}"

    def _change(self, reader: str, change: Callable[[set[str]], set[str]]) -> None:
        """Change the record of a pull. On a full or read-only disk the pull continues without this protection."""
        with suppress(OSError, RegistryFault), self.gate(shared=True):
            path = self._pull_path(reader)
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if os.fstat(descriptor).st_nlink:  # otherwise another request has just ended the pull
                        self._rewrite(path, descriptor, change)
                        return
                finally:
                    os.close(descriptor)

    def _rewrite(self, path: Path, descriptor: int, change: Callable[[set[str]], set[str]]) -> None:
        before = _read_lines(path) if self._is_recent(path) else set()
        after = change(before)
        if not any(line.startswith(_BLOB) for line in after) or len(after) > MAX_PULL_LINES:
            path.unlink()
            return
        if after != before:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, "".join(sorted(after)).encode(), 0)
        now = self.clock()
        os.utime(descriptor, (now, now))


def _line(kind: str, repository: str, digest: Digest) -> str:
    return f"{kind} {repository} {digest}\n"


def _lines(needed: Needed) -> Iterator[str]:
    for repository, digest in needed.manifests:
        yield _line(_MANIFEST, repository, digest)
    for repository, digest in needed.blobs:
        yield _line(_BLOB, repository, digest)


def _read_lines(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").splitlines(keepends=True))


def _parsed(line: str) -> tuple[str, str, Digest] | None:
    """Parse a line; return None if it is incomplete."""
    kind, repository, digest = [*line.removesuffix("\n").split(" "), "", ""][:3]
    try:
        return (kind, repository, Digest.parse(digest)) if line.endswith("\n") else None
    except MalformedArchive:
        return None
