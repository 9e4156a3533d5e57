"""Blobs of one registry whose presence is not proof.

One of our requests with their bytes was cut off, or they were found missing or damaged. A registry may store a part of
a blob under the digest of the whole, and report it as present.

A marker file exists for each blob while a request with all of its bytes is sent. The files outlive a killed process,
and are read by other processes that share the directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

import structlog

from app.errors import MalformedArchive
from app.net.backoff import REAL, TimeSource
from app.oci import Digest

MARKED_SIZE = 64 << 10  # bytes; smaller bodies are already in the kernel's buffers when the request begins
FRESH_SECONDS = 1.0  # after which the files of other processes are read again
MAX_MARKS = 10_000
MAX_AGE_SECONDS = 30 * 86_400.0  # of a file; by then its blob has been sent again or is not needed
_log = structlog.get_logger(__name__)


class Doubt(StrEnum):
    """Why a blob is in doubt.

    CUT: a request was cut off; the blob is good if its size is right. LOST: it was found missing or damaged; it is good
    after it was sent again and read back.
    """

    CUT = "cut"
    LOST = "lost"


class UnprovenBlobs:
    """The blobs in doubt at one registry.

    `folder` is created with the first marker. None: nothing outlives this process.
    """

    def __init__(
        self, folder: Path | None, registry: str, pause: TimeSource = REAL, now: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._pause, self._now = folder, pause, now
        self._prefix = hashlib.sha256(registry.encode()).hexdigest()[:16]
        self._own: dict[Digest, Doubt] = {}
        self._marked: Mapping[Digest, Doubt] = {}  # by other processes, or before this process started
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()
        self._under_way: Counter[Digest] = Counter()
        self._sent: set[Digest] = set()  # sent since the markers of others were read
        self._writing: dict[Digest, asyncio.Task[None]] = {}

    async def doubt_of(self, digest: Digest) -> Doubt | None:
        """Return why the blob is in doubt, or None."""
        await self._look()
        return self._own.get(digest) or self._marked.get(digest)

    async def begin(self, digest: Digest, size: int) -> None:
        """Mark a blob before a request with all of its bytes is sent. Call `end` when the request has ended."""
        self._under_way[digest] += 1
        self._sent.add(digest)
        if self._folder is not None and size >= MARKED_SIZE:
            # others wait for the same write: a cancelled push must not cancel it
            await asyncio.shield(self._write(self._mark, digest, Doubt.CUT))

    def end(self, digest: Digest, size: int, *, is_cut: bool) -> None:
        """Record the end of a request. `is_cut`: the registry may have read a part of it."""
        self._under_way[digest] -= 1
        if self._under_way[digest] <= 0:
            del self._under_way[digest]
        if is_cut:
            self.add(digest, Doubt.CUT)
        elif (
            self._folder is not None and size >= MARKED_SIZE and not (digest in self._under_way or digest in self._own)
        ):
            self._write(self._unmark, digest)

    def add(self, digest: Digest, doubt: Doubt) -> None:
        if self._own.get(digest) in {doubt, Doubt.LOST}:
            return
        self._own[digest] = doubt
        while len(self._own) > MAX_MARKS:
            del self._own[next(iter(self._own))]
        if self._folder is not None:
            self._write(self._mark, digest, doubt)

    def remove(self, digest: Digest) -> None:
        """Remove the doubt: the blob is proved to exist."""
        if self._own.pop(digest, None) is None and digest not in self._marked:
            return
        self._marked = {other: doubt for other, doubt in self._marked.items() if other != digest}
        if self._folder is not None:
            self._write(self._unmark, digest)

    async def finish(self) -> None:
        """Wait until all markers are written. They are written even if the caller is cancelled."""
        if self._writing:
            await asyncio.wait(tuple(self._writing.values()))

    def _write(self, change: Callable[..., None], digest: Digest, *arguments: Doubt) -> asyncio.Task[None]:
        """Write in a thread, after earlier writes for the same blob. Waiting for the task is optional."""
        earlier = self._writing.get(digest)

        async def write() -> None:
            if earlier is not None:
                await earlier
            await asyncio.to_thread(change, digest, *arguments)
            if self._writing.get(digest) is task:
                del self._writing[digest]

        task = self._writing[digest] = asyncio.create_task(write())
        return task

    async def _look(self) -> None:
        if self._folder is None:
            return
        async with self._looking:
            if self._looked_at is None or self._pause.now() - self._looked_at >= FRESH_SECONDS:
                is_first, self._looked_at = self._looked_at is None, self._pause.now()
                self._sent = set(self._under_way)
                await self.finish()
                found = await asyncio.to_thread(self._read, sweep=is_first)
                self._marked = {digest: doubt for digest, doubt in found.items() if digest not in self._sent}

    def _read(self, *, sweep: bool) -> Mapping[Digest, Doubt]:
        assert self._folder is not None
        found: dict[Digest, Doubt] = {}
        oldest = self._now() - MAX_AGE_SECONDS
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if sweep and entry.stat().st_mtime < oldest:
                        os.unlink(entry.path)
                    elif (mark := self._parse(entry.name)) is not None and len(found) < MAX_MARKS:
                        found[mark[0]] = max(mark[1], found.get(mark[0], Doubt.CUT))  # "lost" is the stronger doubt
        except FileNotFoundError:
            return found
        except OSError as error:
            self._report(error)
        return found

    def _parse(self, name: str) -> tuple[Digest, Doubt] | None:
        prefix, _, rest = name.partition("-")
        text, _, doubt = rest.partition(".")
        if prefix != self._prefix:
            return None
        try:
            return Digest.parse(text.replace("-", ":", 1)), Doubt(doubt)
        except (MalformedArchive, ValueError):
            return None

    def _mark(self, digest: Digest, doubt: Doubt) -> None:
        file = self._file(digest, doubt)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
        except OSError as error:
            self._report(error)

    def _unmark(self, digest: Digest) -> None:
        try:
            for doubt in Doubt:
                self._file(digest, doubt).unlink(missing_ok=True)
        except OSError as error:
            self._report(error)

    def _file(self, digest: Digest, doubt: Doubt) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._prefix}-{digest.algorithm}-{digest.encoded}.{doubt}"

    def _report(self, error: OSError) -> None:
        _log.warning("registry.upload_not_marked", directory=str(self._folder), reason=str(error))
