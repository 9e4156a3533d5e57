"""What the process holds of responses that clients do not read, over all connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_UNREAD_BYTES = 64 << 20  # of all connections; a job document has up to 5 MiB


@dataclass(slots=True)
class UnreadResponses:
    """The connections whose clients read more slowly than they are written to.

    If they use too much memory together, the address that uses the most loses the one that waited longest."""

    most: int = MAX_UNREAD_BYTES
    _waiting: dict[int, tuple[str, int, Callable[[], None]]] = field(default_factory=dict)  # in order
    _size: int = 0

    def add(self, connection: int, share: str, size: int, abort: Callable[[], None]) -> None:
        """Count `size` bytes of `connection`, a number of its own. `abort` ends it."""
        self.remove(connection)
        self._waiting[connection] = (share, size, abort)
        self._size += size
        while self._size > self.most:
            self._abort_one()

    def remove(self, connection: int) -> None:
        _, size, _ = self._waiting.pop(connection, ("", 0, None))
        self._size -= size

    def _abort_one(self) -> None:
        sizes: Counter[str] = Counter()
        for share, size, _ in self._waiting.values():
            sizes[share] += size
        largest = sizes.most_common(1)[0][0]
        oldest = next(connection for connection, waiting in self._waiting.items() if waiting[0] == largest)
        abort = self._waiting[oldest][2]
        self.remove(oldest)
        abort()


__all__ = ["MAX_UNREAD_BYTES", "UnreadResponses"]
