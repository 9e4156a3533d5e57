"""StoredBytes: how many bytes each token stores, in the spool and in resumable uploads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Set

from app.errors import QuotaExceeded
from app.spool import StreamFilter


class StoredBytes:
    """The size of each file, by its name in the spool or by the id of its upload.

    A share is the name of a token; files without a token are not counted. Thread-safe. Each replica counts only what it
    received."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, tuple[str, int]] = {}
        self._used: Counter[str] = Counter()
        self._limits: dict[str, int] = {}

    def used(self, share: str) -> int:
        return self._used[share]

    def allow(self, share: str, limit: int | None) -> None:
        """Set the limit of `share` in bytes. None: unlimited."""
        if limit is None:
            self._limits.pop(share, None)
        else:
            self._limits[share] = limit

    def check(self, share: str, size: int) -> None:
        """Raise QuotaExceeded if `share` cannot store `size` more bytes."""
        limit = self._limits.get(share)
        if limit is not None and self._used[share] + size > limit:
            raise QuotaExceeded(
                f"too many stored bytes of {share}: {self._used[share]} and {size} more; its token allows {limit}; "
                "delete failed jobs, uploads or retained archives, or wait until jobs end"
            )

    def grow(self, share: str, name: str, size: int) -> None:
        """Count `size` more bytes of a file, before they are written. Raises QuotaExceeded."""
        if share:
            with self._lock:
                self.check(share, size)
                self._set(share, name, self._files.get(name, (share, 0))[1] + size)

    def put(self, share: str, name: str, size: int) -> None:
        """Set the size of an existing file, regardless of the limit."""
        if share:
            with self._lock:
                self._set(share, name, size)

    def forget(self, name: str) -> None:
        with self._lock:
            share, size = self._files.pop(name, ("", 0))
            self._used[share] -= size
            self._used += Counter()  # drop zero counts

    def keep_spooled(self, names: Set[str]) -> None:
        """Forget files that other replicas have deleted from the spool. Upload ids contain no dash."""
        with self._lock:
            gone = [name for name in self._files if "-" in name and name not in names]
        for name in gone:
            self.forget(name)

    def counted(self, share: str, name: str, tap: StreamFilter) -> StreamFilter:
        """Return a filter that counts the output of `tap`."""
        return _Counted(self, share, name, tap) if share else tap

    def _set(self, share: str, name: str, size: int) -> None:
        self._used[share] += size - self._files.get(name, (share, 0))[1]
        self._files[name] = share, size


class _Counted:
    def __init__(self, stored: StoredBytes, share: str, name: str, tap: StreamFilter) -> None:
        self._stored, self._share, self._name, self._tap = stored, share, name, tap

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        return self._counted(self._tap.feed(chunk))

    def finish(self) -> Iterable[bytes]:
        return self._counted(self._tap.finish())

    def _counted(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        for piece in pieces:
            self._stored.grow(self._share, self._name, len(piece))
            yield piece


__all__ = ["StoredBytes"]
