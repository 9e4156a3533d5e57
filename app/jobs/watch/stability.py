"""Finds the complete archives of a folder: those renamed when complete, and those unchanged for a while. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.jobs.watch.folder import DroppedArchive, FolderScan

LONGEST_REST = 300.0  # seconds without change that are required of an archive that was truncated several times
FIRST_STAY, LONGEST_STAY = 900.0, 4 * 3600.0  # seconds that a truncated archive may stay


@dataclass(frozen=True, slots=True)
class _CutOff:
    """How often an archive was found truncated, the last time in `state` at `since`."""

    count: int
    state: str
    since: float


class StabilityFilter:
    """Receives every scan of the folder. `seconds`: how long an archive must be unchanged.

    A copy over a slow line that pauses for longer is taken too early, and the archive is found truncated. It is taken
    again when it has changed and then rested, each time for twice as long. If it does not change, it is taken only
    after minutes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}
        self._growing: frozenset[int] = frozenset()
        self._cut_off: dict[str, _CutOff] = {}  # by name

    def stable_archives(self, listing: FolderScan, now: float) -> tuple[DroppedArchive, ...]:
        """Return the archives that are complete at `now` (seconds of a monotonic clock)."""
        self._since = {drop.state: self._since.get(drop.state, now) for drop in listing.drops}
        names = {drop.name for drop in listing.drops}
        self._cut_off = {name: known for name, known in self._cut_off.items() if name in names}
        complete = tuple(drop for drop in listing.drops if self._is_complete(drop, now))
        present = frozenset(inode for drop in listing.drops for inode in drop.inodes)
        # remember a growing inode until its file is deleted: it must survive a scan in between
        self._growing = listing.growing | (self._growing & present)
        return complete

    def note_cut_off(self, drop: DroppedArchive, now: float) -> float:
        """Return the seconds that `drop`, which was found truncated, may stay."""
        known = self._cut_off.get(drop.name)
        count = 1 if known is None else known.count + 1
        self._cut_off[drop.name] = _CutOff(count, drop.state, now)
        return _stay(count)

    def has_stayed(self, drop: DroppedArchive) -> bool:
        """Return whether `drop` was found truncated before and has not changed since."""
        known = self._cut_off.get(drop.name)
        return known is not None and known.state == drop.state

    def _is_complete(self, drop: DroppedArchive, now: float) -> bool:
        cut_off, rest = self._cut_off.get(drop.name), now - self._since[drop.state]
        if cut_off is None:
            was_renamed = bool(drop.inodes) and drop.inodes <= self._growing
            return was_renamed or rest >= self._seconds
        if cut_off.state == drop.state:
            return now - cut_off.since >= _stay(cut_off.count)
        return rest >= min(max(self._seconds, 1.0) * 2.0**cut_off.count, max(self._seconds, LONGEST_REST))


def _stay(count: int) -> float:
    return float(min(FIRST_STAY * 2.0 ** (count - 1), LONGEST_STAY))
