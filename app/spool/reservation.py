"""Free space of the spool, shared by concurrent uploads: space reserved for one is not given to another."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from app.errors import SpoolFull


class SpaceReservations:
    """The free space of the file system of `root`, minus `reserve_bytes`. Thread-safe."""

    def __init__(self, root: Path, reserve_bytes: int) -> None:
        self._root, self._kept_free = root, reserve_bytes
        self._lock = threading.Lock()
        self._reserved = 0  # reserved for running uploads, and not written yet

    def check(self, size: int) -> None:
        """Raise SpoolFull if `size` more bytes do not fit in addition to the reservations. Blocks."""
        with self._lock:
            self._check(size)

    def reserve(self, size: int) -> SpaceReservation:
        """Reserve `size` bytes until the reservation is closed. Raises SpoolFull. Blocks."""
        with self._lock:
            self._check(size)
            self._reserved += size
        return SpaceReservation(self, size)

    def adjust(self, reserved: int, beyond: int) -> None:
        """Change the reserved amount by `reserved` bytes. `beyond` bytes will be written that were not reserved."""
        with self._lock:
            if beyond:
                self._check(beyond)  # in addition to the reserved bytes, which are written too
            self._reserved += reserved

    def _check(self, size: int) -> None:
        free = shutil.disk_usage(self._root).free - self._kept_free - self._reserved
        if size > free:
            reserved = f", {self._reserved} for other uploads" if self._reserved else ""
            raise SpoolFull(
                f"the archive needs {size} bytes in the spool, but {max(free, 0)} are free "
                f"({self._kept_free} are reserved for other programs{reserved}); free space or delete ended jobs, then "
                "send it again"
            )


class SpaceReservation:
    """The reservation of one upload; for one thread at a time."""

    def __init__(self, reservations: SpaceReservations, size: int) -> None:
        self._reservations, self._left = reservations, size

    def consume(self, size: int) -> None:
        """Take `size` bytes from the reservation before they are written. Raises SpoolFull.

        More bytes than reserved are possible: a compressed archive grows, and the size of a form's parts is unknown."""
        taken = min(size, self._left)
        self._reservations.adjust(-taken, size - taken)
        self._left -= taken

    def close(self) -> None:
        """Return the rest of the reservation. May be called repeatedly."""
        left, self._left = self._left, 0
        self._reservations.adjust(-left, 0)
