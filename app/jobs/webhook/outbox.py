"""Outbox: a file for each undelivered message, so that a restart loses none. Blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MAX_WAITING = 10_000  # seven jobs a minute, for a receiver that is unavailable for a day
MAX_WAITING_BYTES = 256 << 20  # their total size; 10,000 typical ones take a tenth of it
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A message. `name` is unique and the same in every attempt; `written` is in seconds since 1970."""

    name: str
    written: float


class Outbox:
    """Messages in a directory that only this user can read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> bool:
        """Store a message durably. Return False if too many are waiting. Raises OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.scandir(self._root) as files:
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in files]
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
        """Return the messages, oldest first."""
        found = []
        for file in self._root.glob(f"*{_SUFFIX}"):
            try:
                found.append(OutboxEntry(file.stem, file.stat().st_mtime))
            except FileNotFoundError:
                continue  # delivered a moment ago
        return tuple(sorted(found, key=lambda entry: (entry.written, entry.name)))

    def read(self, entry: OutboxEntry) -> bytes | None:
        """Return the body; None if the message does not exist any more."""
        try:
            return (self._root / f"{entry.name}{_SUFFIX}").read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, entry: OutboxEntry) -> None:
        (self._root / f"{entry.name}{_SUFFIX}").unlink(missing_ok=True)
