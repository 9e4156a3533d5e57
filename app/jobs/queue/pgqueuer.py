"""PgQueuerJobQueue: replicas share jobs through PgQueuer's table in PostgreSQL.

A replica claims a row if it has a free slot, sends heartbeats while the job runs, and claims rows of other replicas
whose heartbeat is too old. PgQueuer's QueueManager is not used. With it a replica claims nothing after a lost
connection until all its runs have ended, and cannot run fewer than two jobs at a time. A replica that was suspended and
resumed would also prolong, or delete, the row that its successor has claimed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import structlog

from app.errors import Unavailable
from app.jobs.queue import AT_ONCE, QueueSchedule, Run
from app.jobs.queue.pgqueuer_rows import (
    ANYWHERE,
    QUEUE_CHANNEL,
    QueueRow,
    QueueTable,
    accepted_by,
    cancelled_rows,
    entrypoint_of,
    install_schema,
)
from app.jobs.store.engine import COMMAND_SECONDS, CONNECT_SECONDS, IDLE_SECONDS, SESSION, plain_dsn
from app.jobs.store.notifications import BROKEN, listen

CANCEL_SECONDS = 0.4  # a cancel waits twice, and must not hang with a registry; the cleanup continues later
STOP_SECONDS = 5.0  # closing an upload session takes one request
REMOTE_STOP_SECONDS = 0.8  # another replica ends its run within this time, or it is dead and its row is removed
RESTART_SECONDS = 1.0
_POLL_SECONDS = 0.02
_MAX_MISSING = 500

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica. `id` is new at every start.

    `place` identifies its spool, `home` its data directory, `storage` its object storage, if it uses one. `sees`
    returns whether the server files of a job are accessible here. After `timeout_seconds` without a heartbeat the
    others consider it dead; it sends a heartbeat every quarter of that time."""

    id: UUID
    place: str
    home: str
    sees: Callable[[str], Awaitable[bool]]
    timeout_seconds: float = 8.0
    storage: str = ""

    @property
    def beat_seconds(self) -> float:
        return self.timeout_seconds / 4


class PgQueuerJobQueue:
    """Runs at most `max_running` jobs at a time in this process. If that is several, it runs one more of a share that
    has no running job at any replica. Created by `open`."""

    def __init__(self, dsn: str, rows: QueueTable, replica: Replica, max_running: int) -> None:
        self._dsn, self._rows, self._replica, self._max_running = dsn, rows, replica, max_running
        self._max_slots = max_running + (max_running > 1)  # as `LocalJobQueue`
        places = dict.fromkeys((ANYWHERE, entrypoint_of(replica.place), entrypoint_of(replica.storage)))
        self._entrypoints = (*places, accepted_by(replica.home))
        self._running: dict[str, tuple[QueueRow, asyncio.Future[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._run: Run | None = None
        self._worker: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, replica: Replica, max_running: int) -> AsyncIterator[PgQueuerJobQueue]:
        """Open the queue, creating missing tables. Raises Unavailable."""
        dsn = plain_dsn(url)
        try:
            await install_schema(dsn, CONNECT_SECONDS)
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=4,
                timeout=CONNECT_SECONDS,
                command_timeout=COMMAND_SECONDS,
                server_settings=SESSION,
            )
        except BROKEN as error:
            raise Unavailable(f"cannot use the queue in the database: {error}; try again") from error
        try:
            yield cls(
                dsn, QueueTable(pool, replica.id, timedelta(seconds=replica.timeout_seconds)), replica, max_running
            )
        finally:
            await pool.close()

    async def start(self, run: Run) -> None:
        self._run = run
        self._worker = asyncio.create_task(self._run_worker())

    async def put(self, job_id: str, schedule: QueueSchedule = AT_ONCE) -> None:
        try:
            await self._rows.put(job_id, schedule, running=job_id in self._running)
        except BROKEN as error:
            # the job is stored, and every replica looks for stored jobs that are not queued
            _log.warning("queue.put_delayed", job=job_id, reason=type(error).__name__)
        self._wake.set()

    async def cancel(self, job_id: str) -> None:
        try:
            row = await self._rows.cancel_waiting(job_id)
            if job_id in self._running:
                await self._stop_run(job_id)
            elif row is not None:
                await self._await_end(job_id, row)
        except BROKEN as error:
            raise Unavailable(f"the queue in the database returned an error: {error}; try again") from error

    async def stop(self, grace_seconds: float) -> None:
        self._run = None
        self._wake.set()
        tasks = tuple(task for _, task in self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        if self._ending:
            await asyncio.wait(self._ending, timeout=STOP_SECONDS)

    async def _stop_run(self, job_id: str) -> None:
        row, task = self._running[job_id]
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)
        await self._rows.remove(row.id)

    async def _await_end(self, job_id: str, row_id: int) -> None:
        until = asyncio.get_running_loop().time() + REMOTE_STOP_SECONDS
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_POLL_SECONDS)
            if await self._rows.find(job_id) != row_id:
                return
        await self._rows.remove(row_id)

    async def _run_worker(self) -> None:
        while True:
            try:
                await self._run_tasks()
            except Exception:  # noqa: BLE001 - see below
                # boundary: after any error, a replica that looks alive but claims nothing would be worse
                _log.exception("queue.restarted")
                await asyncio.sleep(RESTART_SECONDS)

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(listen(self._dsn, QUEUE_CHANNEL, self._on_notification))
            group.create_task(self._repeat(self._replica.beat_seconds, self._send_heartbeats))
            group.create_task(self._repeat(self._replica.beat_seconds * 2, self._enqueue_missing))
            group.create_task(self._repeat(3600.0, self._rows.truncate_log))
            group.create_task(self._repeat(IDLE_SECONDS, self._terminate_stalled))
            group.create_task(self._repeat(self._replica.beat_seconds, self._fill, self._wake))

    async def _repeat(
        self, seconds: float, work: Callable[[], Awaitable[None]], wake: asyncio.Event | None = None
    ) -> None:
        """Call `work` at intervals, or when `wake` is set. Retry while the database is unavailable."""
        soon = wake or asyncio.Event()
        while True:
            try:
                await work()
            except (*BROKEN, Unavailable) as error:
                _log.warning("queue.unavailable", reason=type(error).__name__)
                await asyncio.sleep(min(seconds, 1.0))
            try:
                async with asyncio.timeout(seconds):
                    await soon.wait()
            except TimeoutError:
                continue
            soon.clear()

    def _on_notification(self, payload: str | None) -> None:
        cancelled = cancelled_rows(payload or "")
        for row, task in self._running.values():
            if row.id in cancelled:
                task.cancel()
        self._wake.set()

    async def _send_heartbeats(self) -> None:
        rows = {row.id: task for row, task in self._running.values()}
        if rows:
            kept = await self._rows.heartbeat(rows.keys())
            for row_id in rows.keys() - kept:
                rows[row_id].cancel()  # another replica has claimed it, or a user cancelled it

    async def _enqueue_missing(self) -> None:
        for job_id, schedule in await self._rows.find_unqueued(_MAX_MISSING):
            await self.put(job_id, schedule)
        await self._rows.release_pinned()
        await self._rows.correct_times()

    async def _terminate_stalled(self) -> None:
        await self._rows.terminate_stalled_sessions(timedelta(seconds=IDLE_SECONDS))

    async def _fill(self) -> None:
        while self._run is not None and len(self._running) < self._max_slots:
            is_full = len(self._running) >= self._max_running
            claim = self._rows.claim_of_idle if is_full else self._rows.claim
            row = await claim(self._entrypoints)
            if row is None:
                return
            # a row whose run is still active was claimed again, because its heartbeat was late
            if row.job_id not in self._running and await self._can_run(row) and self._run is not None:
                task = asyncio.ensure_future(self._run(row.job_id))
                self._running[row.job_id] = (row, task)
                task.add_done_callback(partial(self._on_run_ended, row))

    async def _can_run(self, row: QueueRow) -> bool:
        """Return whether this replica can run the job; otherwise requeue it for another one."""
        known = await self._rows.place_and_home(row.job_id)
        if known is None:
            await self._rows.remove(row.id)
            return False
        place, home = known
        if place not in ("", self._replica.place, self._replica.storage):
            await self._rows.requeue_for(row, entrypoint_of(place))
            return False
        if home != self._replica.home and not await self._replica.sees(row.job_id):
            await self._rows.requeue_for(row, accepted_by(home))
            return False
        return True

    def _on_run_ended(self, row: QueueRow, task: asyncio.Future[None]) -> None:
        del self._running[row.job_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("queue.run_crashed", job=row.job_id, exc_info=error)
        # after a cancellation by a stop its row is left: it is requeued at shutdown, or claimed when its heartbeat is
        # too old
        if self._run is not None or not task.cancelled():
            ending = asyncio.create_task(self._finish(row))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self._wake.set()

    async def _finish(self, row: QueueRow) -> None:
        try:
            await self._rows.finish(row)
        except BROKEN as error:
            _log.warning("queue.row_not_deleted", job=row.job_id, reason=type(error).__name__)
