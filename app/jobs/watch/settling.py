"""Which archives of a folder are complete: those that were renamed when they were, and those at rest. Pure."""

from __future__ import annotations

from app.jobs.watch.folder import Drop, Listing


class Settling:
    """Fed with every look at the folder. `seconds`: how long an archive has to stay as it is; a copy over a slow line
    that stops for longer than that is taken too early."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}
        self._growing: frozenset[int] = frozenset()

    def settled(self, listing: Listing, now: float) -> tuple[Drop, ...]:
        """Those that are complete at `now` (seconds of a clock that never goes back)."""
        self._since = {drop.state: self._since.get(drop.state, now) for drop in listing.drops}
        complete = tuple(drop for drop in listing.drops if self._is_complete(drop, now))
        present = frozenset(inode for drop in listing.drops for inode in drop.inodes)
        # an inode stays known as one that grew until its file has gone: a look in between must not forget it
        self._growing = listing.growing | (self._growing & present)
        return complete

    def _is_complete(self, drop: Drop, now: float) -> bool:
        was_renamed = bool(drop.inodes) and drop.inodes <= self._growing
        return was_renamed or now - self._since[drop.state] >= self._seconds
