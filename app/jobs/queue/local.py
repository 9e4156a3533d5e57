"""LocalJobQueue: runs jobs in this process as tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from app.jobs.model import Clock, utc_now
from app.jobs.queue import AT_ONCE, QueueSchedule, Run
from app.jobs.queue.fair_queue import FairQueue

CANCEL_SECONDS = 0.4  # a cancel waits twice, and must not hang with a registry; the cleanup continues later
STOP_SECONDS = 5.0  # closing an upload session takes one request

_log = structlog.get_logger(__name__)


class LocalJobQueue:
    """Runs at most `max_running` jobs at a time.

    If that is more than one, one additional job may run if no other job of its share does: however long the jobs of one
    token take, another token can start. `clock` gives the delay of a job; the monotonic `elapsed`, in seconds, measures
    it."""

    def __init__(self, max_running: int, clock: Clock = utc_now, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._max_running = max_running
        self._max_slots = max_running + (max_running > 1)  # one job at a time has no additional one
        self._clock, self._elapsed = clock, elapsed
        self._waiting = FairQueue()
        self._running: dict[str, asyncio.Future[None]] = {}
        self._run: Run | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, run: Run) -> None:
        self._run = run
        self._fill()

    async def put(self, job_id: str, schedule: QueueSchedule = AT_ONCE) -> None:
        self._waiting.put(job_id, schedule, self._elapsed() + schedule.delay(self._clock()).total_seconds())
        self._fill()

    async def cancel(self, job_id: str) -> None:
        self._waiting.discard(job_id)
        task = self._running.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        self._run = None
        self._waiting.clear()
        self._sleep(None)
        tasks = tuple(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)

    def _fill(self) -> None:
        while self._run is not None and len(self._running) < self._max_slots:
            now, is_full = self._elapsed(), len(self._running) >= self._max_running
            # a retried job waits for the end of its cancelled run
            job_id = self._waiting.pop(now, self._running, only_idle=is_full)
            if job_id is None:
                self._sleep(self._waiting.seconds_to_next(now))
                return
            task = asyncio.ensure_future(self._run(job_id))
            self._running[job_id] = task
            task.add_done_callback(partial(self._on_run_ended, job_id))

    def _sleep(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._fill)

    def _on_run_ended(self, job_id: str, task: asyncio.Future[None]) -> None:
        del self._running[job_id]
        self._waiting.release(job_id)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("queue.run_crashed", job=job_id, exc_info=error)
        self._fill()
