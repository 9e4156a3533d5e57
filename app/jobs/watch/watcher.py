"""FolderWatch: scans the folder, creates a job for each complete archive, and moves it when the job has ended.

The state is in the folder and in the job store: the same file gives the same job (by an idempotency key of its name and
state). A restart, a second replica on the same folder, or a disk that was unplugged and reconnected pushes nothing
twice and loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import structlog

from app.errors import (
    Conflict,
    InvalidRequest,
    MalformedArchive,
    NotFound,
    PathNotFound,
    Problem,
    SourceChanged,
    TarmacError,
    Unavailable,
)
from app.jobs.deliveries.model import DECISIONS
from app.jobs.deliveries.service import Deliveries
from app.jobs.model import Job, JobState, ProblemRenderer, plain_problem
from app.jobs.request import JobRequest
from app.jobs.service import JobService
from app.jobs.watch.disks import DiskReports, disk_of
from app.jobs.watch.folder import DONE, FAILED, FOLDER_OPTIONS, MAX_SIDE_BYTES, DroppedArchive, Folder, FolderScan
from app.jobs.watch.stability import StabilityFilter
from app.oci import strict_json

LOOK_SECONDS = 2.0  # interval of scans: a network share sends no notifications
MAX_UNDER_WAY = 1_000  # waiting and running jobs of the folder
MAX_ATTEMPTS = 10  # for a disk that is repeatedly unplugged
_OF_FOLDER = frozenset({"registry", "verify", "priority", "delivery"})
_GONE = frozenset({SourceChanged.code, PathNotFound.code})

ReadOptions = Callable[[Mapping[str, Any]], JobRequest]
_log = structlog.get_logger(__name__)


class FolderWatch:
    """Watches one folder. `read_options` parses the members of a side file and `paths`; it raises InvalidRequest."""

    def __init__(
        self,
        service: JobService,
        folder: Folder,
        read_options: ReadOptions,
        *,
        settle_seconds: float,
        describe: ProblemRenderer = plain_problem,
    ) -> None:
        self._service = service
        self._folder = folder
        self._read_options = read_options
        self._settling = StabilityFilter(settle_seconds)
        self._describe = describe
        self._now = 0.0  # time of the last scan
        self._disks: DiskReports | None = None
        self._scan = FolderScan((), frozenset())  # the last one
        self._under_way: dict[str, str] = {}  # disks, by states of drops
        self._left: set[str] = set()  # processed, but on a disk that cannot be written
        self._written: set[str] = set()  # complete, but a process has them open
        self._complaint: str | None = None

    def report_disks(self, deliveries: Deliveries, quiet_seconds: float) -> None:
        """Make one delivery of each disk, and file its report when no archive is pending for `quiet_seconds`."""
        self._disks = DiskReports(self._folder, deliveries, quiet_seconds)

    async def run(self, look_seconds: float = LOOK_SECONDS) -> None:
        """Watch the folder until cancelled. Unfinished work is resumed after the next start."""
        async with asyncio.TaskGroup() as group:
            while True:
                for drop in await self.ready_archives(time.monotonic()):
                    if len(self._under_way) < MAX_UNDER_WAY:
                        self._under_way[drop.state] = disk_of(drop.name)
                        group.create_task(self.process(drop))
                await self.look_at_disks(self._now)
                await asyncio.sleep(look_seconds)

    async def look_at_disks(self, now: float) -> None:
        """File the reports of disks of which no archive is pending."""
        if self._disks is not None:
            drops = (drop for drop in self._scan.drops if drop.state not in self._left)
            waiting = {disk_of(drop.name) for drop in drops if not self._settling.has_stayed(drop)}
            growing = set(map(disk_of, self._scan.unfinished))
            await self._disks.look(self._scan, waiting | growing | set(self._under_way.values()), now)

    async def ready_archives(self, now: float) -> tuple[DroppedArchive, ...]:
        """Return the archives that are complete, not in progress and not being written."""
        self._now = now
        try:
            listing = await asyncio.to_thread(self._folder.scan)
        except OSError as error:
            self._report_unreadable(error.strerror or str(error))
            return ()
        self._complaint, self._scan = None, listing
        self._left &= {drop.state for drop in listing.drops}
        known = self._left | self._under_way.keys()
        complete = [drop for drop in self._settling.stable_archives(listing, now) if drop.state not in known]
        return await asyncio.to_thread(self._at_rest, complete)

    def _at_rest(self, drops: Sequence[DroppedArchive]) -> tuple[DroppedArchive, ...]:
        """Return the archives that no process has open for writing. Blocks."""
        written = {drop.state for drop in drops if self._folder.is_written(drop)}
        for drop in drops:
            if drop.state in written - self._written:
                _log.info("watch.file_open", file=drop.name)
        self._written = written
        return tuple(drop for drop in drops if drop.state not in written)

    async def process(self, drop: DroppedArchive) -> None:
        """Push an archive and move it with its report.

        An archive that changed, disappeared or was found truncated is left for a later scan. If the database is
        unavailable, every archive is."""
        try:
            job, problem, report = await self._outcome(drop)
            if await asyncio.to_thread(self._folder.is_same, drop) and not await self._stays(drop, problem):
                moved = await self._put_away(drop, report)
                await self._relocate(job, moved)
        except Unavailable as error:
            _log.warning("watch.file_delayed", file=drop.name, reason=str(error))
        except Exception:  # noqa: BLE001 - the boundary: whatever breaks over one file, the others are carried on
            self._left.add(drop.state)
            _log.exception("watch.file_crashed", file=drop.name)
        finally:
            self._under_way.pop(drop.state, None)

    async def _outcome(self, drop: DroppedArchive) -> tuple[Job | None, Problem | None, Mapping[str, Any]]:
        """Return the job, the problem, if there is one, and the report. Raises Unavailable."""
        try:
            job = await self._ended_job(drop)
        except Unavailable:
            raise
        except TarmacError as error:
            return None, error.problem, {"problem": dict(self._describe(error.problem))}
        if job.problem is not None and job.problem.code in DECISIONS:
            job = replace(job, problem=_with_remedy(job.problem, drop.name))
        return job, job.problem, job.document(self._describe)

    async def _relocate(self, job: Job | None, moved: Mapping[str, str]) -> None:
        """Let a retry find the archive at its new place, and say in the job how the folder takes a decision."""
        if job is not None and job.problem is not None and job.problem.code in DECISIONS and moved:
            with suppress(NotFound, Conflict):  # deleted or retried meanwhile
                await self._service.relocate(job.id, moved, job.problem)

    async def _stays(self, drop: DroppedArchive, problem: Problem | None) -> bool:
        """Return whether the archive stays in the folder, because it may still be being copied."""
        if problem is None or self._settling.has_stayed(drop):
            return False
        if not await asyncio.to_thread(self._folder.is_cut_off, drop, problem):
            return False
        seconds = self._settling.note_cut_off(drop, self._now)
        _log.info("watch.file_cut_off", file=drop.name, code=problem.code, stays_seconds=seconds)
        return True

    async def _ended_job(self, drop: DroppedArchive) -> Job:
        request = await asyncio.to_thread(self._request, drop)
        if self._disks is not None:
            request = replace(request, delivery=await self._disks.delivery_of(drop.name))
        key = hashlib.sha256(f"{drop.state}{request.fingerprint()}".encode()).hexdigest()
        job = await self._service.submit_paths(request, f"watch:{key}", watched=self._folder.root)
        _log.info("watch.file_taken", file=drop.name, job=job.id)
        if _was_lost(job):
            job = await self._service.retry(job.id)
        async with aclosing(self._service.subscribe(job.id)) as states:
            async for newest in states:
                job = newest
        return job

    def _request(self, drop: DroppedArchive) -> JobRequest:
        members = _merged(drop.name, *map(_members, self._folder.options(drop)))
        checksum = self._folder.checksum(drop)
        own: dict[str, Any] = {"paths": list(self._folder.paths(drop))}
        return self._read_options(members | own | ({} if checksum is None else {"checksum": checksum}))

    async def _put_away(self, drop: DroppedArchive, report: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the new paths by the former ones; none if the archive could not be moved."""
        kind = DONE if report.get("state") == JobState.SUCCEEDED else FAILED
        text = json.dumps(report, indent=2, ensure_ascii=False).encode()
        try:
            moved = await asyncio.to_thread(self._folder.put_away, drop, kind, text)
        except OSError as error:
            self._left.add(drop.state)
            _log.warning("watch.file_not_moved", file=drop.name, outcome=kind, reason=error.strerror)
            return {}
        code = (report["problem"] or {}).get("code")
        _log.info("watch.file_filed", file=drop.name, outcome=kind, job=report.get("id"), code=code)
        return moved

    def _report_unreadable(self, reason: str) -> None:
        """Log that the folder cannot be read, once for each reason."""
        if reason != self._complaint:
            _log.warning("watch.folder_unreadable", reason=reason)
            self._complaint = reason


@asynccontextmanager
async def run_watcher(watch: FolderWatch | None) -> AsyncIterator[None]:
    """Watch the folder within this block, if one is configured."""
    if watch is None:
        yield
        return
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _merged(name: str, fixed: dict[str, Any], disk: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an archive. On a disk, `.tarmac.json` of the watched folder wins over what the disk brings.

    Raises InvalidRequest for options that a disk may not set."""
    if not disk_of(name):
        return own or fixed
    brought = disk | own
    refused = sorted(brought.keys() & _OF_FOLDER)
    if refused:
        raise InvalidRequest(
            f"option `{refused[0]}` is set on the disk; only {FOLDER_OPTIONS} of the watched folder itself may set it"
        )
    return brought | fixed


def _with_remedy(problem: Problem, name: str) -> Problem:
    """Return the problem with what to do in a watched folder."""
    file = name.rpartition("/")[2]
    remedy = f'put the options, such as {{"tag": "REPO:TAG"}}, into {file}.json next to the archive, and move both back'
    return replace(problem, detail=f"{problem.detail}; {remedy}")


def _members(text: bytes | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        members = strict_json(text, what="the file of options", limit=MAX_SIDE_BYTES)
    except MalformedArchive as error:
        raise InvalidRequest(str(error)) from None
    if not isinstance(members, dict) or "paths" in members:
        raise InvalidRequest(
            'the file of options must contain a JSON object without `paths`, for example {"prefix": "mirror"}'
        )
    return members


def _was_lost(job: Job) -> bool:
    """Return whether the job failed because its file was absent; the file submitted now is identical."""
    return (
        job.state is JobState.FAILED
        and job.problem is not None
        and job.problem.code in _GONE
        and job.attempt < MAX_ATTEMPTS
    )
