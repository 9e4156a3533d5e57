"""Deliveries: one method per user action."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.auth.model import EVERYBODY, Caller
from app.errors import Conflict, Forbidden, InvalidRequest, NotFound, Problem, QuotaExceeded
from app.jobs.deliveries.each import key_of_archive
from app.jobs.deliveries.model import (
    Delivery,
    DeliveryFile,
    DeliverySummary,
    Outcome,
    ReportRow,
    check_name,
    format_time,
)
from app.jobs.deliveries.rows import report_rows
from app.jobs.deliveries.store import DeliveryQuery, DeliveryStore, RowKey
from app.jobs.listing import JobFilters
from app.jobs.model import MAX_IMAGES, NO_LABELS, Clock, Job, JobState, utc_now
from app.jobs.request import JobRequest, check_idempotency_key
from app.jobs.service import JobService
from app.jobs.store import encode_cursor, parse_cursor, timestamp_key

MAX_PAGE = 200  # deliveries of one answer
ROWS_AT_ONCE = 500  # rows of a report in memory
MAX_LISTED = 10_000  # files that `POST /deliveries` lists for one delivery; each is a row of its report
MAX_JOBS = 10_000  # of one delivery that is retried or deleted by one request
_LOST = frozenset({JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Retried:
    """`jobs` that are tried again, and why others are not, by id."""

    jobs: tuple[Job, ...]
    refused: Mapping[str, Problem]


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Actions of one caller. A delivery that it may not see raises NotFound, as one that does not exist."""

    store: DeliveryStore
    jobs: JobService
    clock: Clock = utc_now
    caller: Caller = EVERYBODY

    def restricted(self, jobs: JobService, caller: Caller) -> Deliveries:
        """Return the same actions for one caller."""
        return replace(self, jobs=jobs, caller=caller)

    async def join(self, name: str, labels: Mapping[str, str] = NO_LABELS) -> Delivery:
        """Return the open delivery of this name or id, or begin one. Raises InvalidRequest."""
        check_name(name)
        named = await self.store.get_delivery(name)
        if named is not None and named.submitter == self.caller.name:
            return named
        return await self._begin(name, labels)

    async def create(
        self, name: str | None, labels: Mapping[str, str], files: Sequence[DeliveryFile]
    ) -> tuple[Delivery, bool]:
        """Return the delivery, and whether it is new. Files are added to it. Raises InvalidRequest."""
        new = self._new(name, labels)
        if name is not None:
            check_name(name)
        delivery = await self.store.join_delivery(new, None if name is None else _key(self.caller.name, name))
        await self.add_files(delivery.id, files)
        return delivery, delivery.id == new.id

    async def begin_watched(self, name: str) -> Delivery:
        """Return the open delivery of a directory of the watched folder, or begin one."""
        new = self._new(name)
        return await self.store.join_delivery(new, f"\nwatch\n{name}")

    async def add_files(self, delivery_id: str, files: Sequence[DeliveryFile]) -> None:
        if files:
            await self._check_listed(delivery_id, len(files))
            now = format_time(self.clock())
            await self.store.list_files(delivery_id, [_listed(file, now) for file in files])

    async def _check_listed(self, delivery_id: str, count: int) -> None:
        """Check that a delivery does not list too many files. Raises InvalidRequest."""
        listed = await self.store.count_listed(delivery_id)
        if listed + count > MAX_LISTED:
            raise InvalidRequest(
                f"delivery {delivery_id} lists {listed} files, and {count} more were sent; the limit is {MAX_LISTED}: "
                "list only files that matter, or begin another delivery"
            )

    async def submit_each(self, request: JobRequest, key: str | None) -> tuple[str, tuple[Job, ...]]:
        """Submit a job for each archive on the server. Return the id of their delivery, and the jobs.

        Raises what `JobService.submit_paths` raises; a request with the same key continues where this one stopped."""
        check_idempotency_key(key)
        archives = await self.jobs.separate_archives(request.paths)
        if len(archives) > 1 and (request.options.tag is not None or request.checksum is not None):
            name = "checksum" if request.options.tag is None else "tag"
            raise InvalidRequest(f"option `{name}` is for one archive, and the paths match {len(archives)}")
        delivery = request.delivery
        if delivery is None:
            known = None if key is None else f"{self.caller.name}\nkey\n{key}"
            delivery = (await self.store.join_delivery(self._new(None, request.labels), known)).id
        jobs = []
        for number, paths in enumerate(archives):
            own = replace(request, paths=paths, delivery=delivery)
            jobs.append(await self.jobs.submit_paths(own, key_of_archive(key, number)))
        return delivery, tuple(jobs)

    async def get(self, delivery_id: str) -> DeliverySummary:
        (summary,) = await self.store.summarize([await self._visible(delivery_id)])
        return summary

    async def page(
        self, query: DeliveryQuery, cursor: str | None = None
    ) -> tuple[tuple[DeliverySummary, ...], str | None]:
        """Return deliveries, newest first, and the cursor of the next page, None on the last. Raises InvalidRequest."""
        if not 1 <= query.limit <= MAX_PAGE:
            raise InvalidRequest(f"limit is {query.limit}; it must be from 1 to {MAX_PAGE}")
        before = None if cursor is None else parse_cursor(cursor)
        own = None if self.caller.sees_all else self.caller.name
        wanted = replace(query, before=before, submitter=own, limit=query.limit + 1)
        found = await self.store.list_deliveries(wanted)
        shown = found[: query.limit]
        following = None
        if len(found) > len(shown):
            following = encode_cursor((timestamp_key(shown[-1].created_at), shown[-1].id))
        return await self.store.summarize(shown), following

    async def rows(self, delivery_id: str) -> AsyncIterator[Sequence[ReportRow]]:
        """Yield the rows of the report, some at a time. Call `get` first, which raises NotFound."""
        after: RowKey | None = None
        while True:
            rows = await self.store.delivery_rows(delivery_id, after, ROWS_AT_ONCE)
            yield [row for _, row in rows]
            if len(rows) < ROWS_AT_ONCE:
                return
            after = rows[-1][0]

    async def rows_of_jobs(self, filters: JobFilters) -> AsyncIterator[Sequence[ReportRow]]:
        """Yield the rows of the jobs that match, newest first. Raises InvalidRequest."""
        cursor: str | None = None
        while True:
            jobs, cursor = await self.jobs.page(filters, limit=100, cursor=cursor)
            for job in jobs:
                yield list(report_rows(await self._whole(job)))
            if cursor is None:
                return

    async def retry(self, delivery_id: str) -> Retried:
        """Retry the jobs that failed or were cancelled. Raises Forbidden."""
        await self._controlled(delivery_id)
        jobs, refused = [], {}
        for job in await self._jobs(delivery_id, _LOST):
            try:
                jobs.append(await self.jobs.retry(job.id))
            except (Conflict, NotFound, Forbidden, QuotaExceeded) as error:
                refused[job.id] = error.problem
        return Retried(tuple(jobs), refused)

    async def delete(self, delivery_id: str) -> None:
        """Delete the delivery, its report, and its jobs with their archives. Raises Conflict if one is under way."""
        await self._controlled(delivery_id)
        under_way = await self._jobs(delivery_id, frozenset(state for state in JobState if not state.ended))
        if under_way:
            raise Conflict(f"{len(under_way)} jobs of delivery {delivery_id} are under way; cancel them first")
        for job in await self._jobs(delivery_id, frozenset(JobState)):
            await self.jobs.delete(job.id)
        await self.store.delete_delivery(delivery_id)

    def _new(self, name: str | None, labels: Mapping[str, str] = NO_LABELS) -> Delivery:
        return replace(Delivery.new(self.clock(), name, self.caller.name, labels), age=self.jobs.service_age)

    async def _begin(self, name: str, labels: Mapping[str, str]) -> Delivery:
        new = self._new(name, labels)
        return await self.store.join_delivery(new, _key(self.caller.name, name))

    async def _jobs(self, delivery_id: str, states: frozenset[JobState]) -> list[Job]:
        jobs: list[Job] = []
        cursor: str | None = None
        filters = JobFilters(states=states, delivery=delivery_id)
        while len(jobs) < MAX_JOBS:
            page, cursor = await self.jobs.page(filters, limit=100, cursor=cursor)
            jobs += page
            if cursor is None:
                break
        return jobs

    async def _whole(self, job: Job) -> Job:
        """Return a job of a list with all its images."""
        images: list[object] = []
        cursor: str | None = None
        while True:
            try:
                page = await self.jobs.images(job.id, limit=MAX_IMAGES, cursor=cursor)
            except NotFound:
                return job  # deleted a moment ago
            images += page.images
            cursor = page.next_cursor
            if cursor is None:
                return replace(job, images=tuple(images))  # type: ignore[arg-type]

    async def _visible(self, delivery_id: str) -> Delivery:
        delivery = await self.store.get_delivery(delivery_id)
        if delivery is None or not (self.caller.sees_all or delivery.submitter == self.caller.name):
            raise NotFound(f"there is no delivery {delivery_id[:64]!r}; it may have been deleted, or has expired")
        return delivery

    async def _controlled(self, delivery_id: str) -> Delivery:
        delivery = await self._visible(delivery_id)
        if not (self.caller.is_admin or delivery.submitter == self.caller.name):
            raise Forbidden(f"delivery {delivery_id} is of another token; {self.caller.name} may only look at it")
        return delivery


def _key(submitter: str, name: str) -> str:
    """Return what an open delivery is found by. A name has no line break."""
    return f"{submitter}\n{name}"


def _listed(file: DeliveryFile, time: str | None) -> ReportRow:
    outcome = Outcome.EXPECTED if file.left_out is None else Outcome.LEFT_OUT
    name = file.path.rpartition("/")[2]
    return ReportRow("", name, file.path, file.size or 0, outcome, outcome, problem=file.left_out, time=time)


__all__ = ["MAX_PAGE", "Deliveries", "Retried"]
