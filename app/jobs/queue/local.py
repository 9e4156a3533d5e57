"""LocalJobQueue: jobs run in this process, as tasks."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from app.jobs.queue import Run

CANCEL_SECONDS = 5.0  # closing an upload session is one request; a registry that hangs must not hang the cancel

_log = structlog.get_logger(__name__)


class LocalJobQueue:
    """At most `max_running` jobs at a time."""

    def __init__(self, max_running: int) -> None:
        self._max_running = max_running
        self._waiting: dict[str, None] = {}  # in order, and quick to take out of
        self._running: dict[str, asyncio.Future[None]] = {}
        self._run: Run | None = None

    async def start(self, run: Run) -> None:
        self._run = run
        self._fill()

    async def put(self, job_id: str) -> None:
        self._waiting.setdefault(job_id)
        self._fill()

    async def cancel(self, job_id: str) -> None:
        self._waiting.pop(job_id, None)
        task = self._running.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        self._run = None
        self._waiting.clear()
        tasks = tuple(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    def _fill(self) -> None:
        while self._run is not None and len(self._running) < self._max_running:
            # a job that was cancelled and is tried again waits for the end of its earlier run
            job_id = next((each for each in self._waiting if each not in self._running), None)
            if job_id is None:
                return
            del self._waiting[job_id]
            task = asyncio.ensure_future(self._run(job_id))
            self._running[job_id] = task
            task.add_done_callback(partial(self._free, job_id))

    def _free(self, job_id: str, task: asyncio.Future[None]) -> None:
        del self._running[job_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a run broke", job=job_id, exc_info=error)
        self._fill()
