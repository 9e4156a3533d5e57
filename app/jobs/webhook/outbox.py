"""Outbox: one file for each thing that is still to be told, so that a restart forgets none. Blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MAX_WAITING = 10_000  # a receiver that is gone for a day, and seven jobs a minute
MAX_WAITING_BYTES = 256 << 20  # of them together; 10,000 usual ones have a tenth of it
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """`name` is unique, and the same for every try; `written` in seconds since 1970."""

    name: str
    written: float


class Outbox:
    """A directory of this user alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> bool:
        """Durable when it returns. False where too many wait already. Raises OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.scandir(self._root) as entries:
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries]
        if len(sizes) >= MAX_WAITING or sum(sizes) + len(body) > MAX_WAITING_BYTES:
            return False
        unfinished = self._root / f".{name}.part"
        with unfinished.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._root / f"{name}{_SUFFIX}")
        return True

    def waiting(self) -> tuple[OutboxEntry, ...]:
        """Oldest first."""
        letters = []
        for place in self._root.glob(f"*{_SUFFIX}"):
            try:
                letters.append(OutboxEntry(place.stem, place.stat().st_mtime))
            except FileNotFoundError:
                continue  # told a moment ago
        return tuple(sorted(letters, key=lambda letter: (letter.written, letter.name)))

    def read(self, letter: OutboxEntry) -> bytes | None:
        """None where it is gone."""
        try:
            return (self._root / f"{letter.name}{_SUFFIX}").read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, letter: OutboxEntry) -> None:
        (self._root / f"{letter.name}{_SUFFIX}").unlink(missing_ok=True)
