"""The room of the spool, as uploads that come in at once share it: what one was promised is not given to another."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from app.errors import SpoolFull


class SpaceReservations:
    """The free space of the file system of `root`, less `reserve_bytes`. Thread-safe."""

    def __init__(self, root: Path, reserve_bytes: int) -> None:
        self._root, self._reserve = root, reserve_bytes
        self._lock = threading.Lock()
        self._held = 0  # promised to uploads under way, and not written yet

    def check(self, size: int) -> None:
        """Raises SpoolFull where `size` more bytes do not fit besides what is promised. Blocks."""
        with self._lock:
            self._check(size)

    def reserve(self, size: int) -> SpaceReservation:
        """Room for `size` bytes until it is closed. Raises SpoolFull. Blocks."""
        with self._lock:
            self._check(size)
            self._held += size
        return SpaceReservation(self, size)

    def adjust(self, held: int, beyond: int) -> None:
        """So much less (negative) is promised; `beyond` bytes are to be written that were not."""
        with self._lock:
            if beyond:
                self._check(beyond)  # besides what was promised, which is about to be written too
            self._held += held

    def _check(self, size: int) -> None:
        free = shutil.disk_usage(self._root).free - self._reserve - self._held
        if size > free:
            held = f", {self._held} are promised to other uploads" if self._held else ""
            raise SpoolFull(
                f"the archive needs {size} bytes in the spool and {max(free, 0)} are free "
                f"({self._reserve} are kept in reserve{held}); make room, or delete ended jobs, and send it again"
            )


class SpaceReservation:
    """What one upload was promised; one thread at a time."""

    def __init__(self, room: SpaceReservations, size: int) -> None:
        self._room, self._left = room, size

    def consume(self, size: int) -> None:
        """Before so many bytes are written. Raises SpoolFull where they are more than was promised and do not fit: a
        compressed archive becomes larger, and the size of a form's parts is not known."""
        mine = min(size, self._left)
        self._room.adjust(-mine, size - mine)
        self._left -= mine

    def close(self) -> None:
        """Any number of times."""
        left, self._left = self._left, 0
        self._room.adjust(-left, 0)
