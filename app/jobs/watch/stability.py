"""Which archives of a folder are complete: those that were renamed when they were, and those at rest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.jobs.watch.folder import DroppedArchive, FolderScan

LONGEST_REST = 300.0  # seconds; an archive that was cut off again and again has to be at rest for so long
FIRST_STAY, LONGEST_STAY = 900.0, 4 * 3600.0  # seconds that an archive that is cut off may stay as it is


@dataclass(frozen=True, slots=True)
class _CutOff:
    """How often an archive was found cut off, the last time in `state` at `since`."""

    count: int
    state: str
    since: float


class StabilityFilter:
    """Fed with every look at the folder. `seconds`: how long an archive has to stay as it is. A copy over a slow line
    that stops for longer than that is taken too early: the archive is found cut off. It is taken again when it has
    changed and is at rest, each time for twice as long; if it does not change, only after a stay of minutes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}
        self._growing: frozenset[int] = frozenset()
        self._cut_off: dict[str, _CutOff] = {}  # by name

    def stable_archives(self, listing: FolderScan, now: float) -> tuple[DroppedArchive, ...]:
        """Those that are complete at `now` (seconds of a clock that never goes back)."""
        self._since = {drop.state: self._since.get(drop.state, now) for drop in listing.drops}
        names = {drop.name for drop in listing.drops}
        self._cut_off = {name: known for name, known in self._cut_off.items() if name in names}
        complete = tuple(drop for drop in listing.drops if self._is_complete(drop, now))
        present = frozenset(inode for drop in listing.drops for inode in drop.inodes)
        # an inode stays known as one that grew until its file has gone: a look in between must not forget it
        self._growing = listing.growing | (self._growing & present)
        return complete

    def note_cut_off(self, drop: DroppedArchive, now: float) -> float:
        """Return the seconds that `drop`, which was found cut off, may stay as it is."""
        known = self._cut_off.get(drop.name)
        count = 1 if known is None else known.count + 1
        self._cut_off[drop.name] = _CutOff(count, drop.state, now)
        return _stay(count)

    def has_stayed(self, drop: DroppedArchive) -> bool:
        """Return whether `drop` was found cut off before, and has not changed since."""
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
