"""`tarmac push`: the same core as the service's, in this process, without a server and without a database."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.archive import DEFAULT_LIMITS
from app.cli.archives import Taker
from app.cli.destination import open_destination
from app.cli.display import Display, display_on, summary_of
from app.cli.options import checksum_of, options_of, settings_of
from app.cli.running import Run
from app.errors import TarmacError
from app.jobs.job import Job, JobState
from app.jobs.opening import Opener
from app.oci import Digest
from app.push import PushOptions
from app.settings import DEFAULT_REGISTRY, Settings
from app.spool.disk import DiskSpool

CANCELLED = 130  # as a shell has it for a program that Ctrl-C ended


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for on the command line."""

    files: Sequence[str]
    options: PushOptions
    checksum: Digest | None
    registry: str
    settings: Settings


def run(arguments: argparse.Namespace) -> int:
    task = Task(
        files=arguments.files,
        options=options_of(arguments),
        checksum=checksum_of(arguments),
        registry=arguments.registry or DEFAULT_REGISTRY,
        settings=settings_of(arguments),
    )
    began = time.monotonic()
    with display_on(sys.stderr if arguments.json else sys.stdout) as display:
        job = asyncio.run(_push(task, display))
    if arguments.json:
        print(json.dumps(job.document(), indent=2, ensure_ascii=False))
    else:
        if job.problem is not None:
            print(f"{job.problem.code}: {job.problem.detail}")
        print(f"{job.state}: {summary_of(job, time.monotonic() - began)}")
    return {JobState.SUCCEEDED: 0, JobState.CANCELLED: CANCELLED}.get(job.state, 1)


async def _push(task: Task, display: Display) -> Job:
    run = Run(task.options, task.registry, display)
    with _cancelled_by_signals():
        try:
            await _carry_out(task, run, display)
        except TarmacError as error:
            return run.ended(error)
        except asyncio.CancelledError:
            return run.cancelled()
    return run.ended()


async def _carry_out(task: Task, run: Run, display: Display) -> None:
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(open_destination(task.settings, task.registry))
        spool = DiskSpool(stack.enter_context(spool_below(task.settings.data_dir)))
        taker = Taker(spool, stack, display.received)
        run.taken(tuple([await taker.take(file, task.checksum) for file in task.files]))
        opening = Opener(spool, DEFAULT_LIMITS).opened(run.job, target.destination)
        await run.push(await stack.enter_async_context(opening), target.registry)


@contextmanager
def spool_below(data_dir: Path) -> Iterator[Path]:
    """A directory of this process alone, so that a server with the same data directory does not sweep it away."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="push-", dir=data_dir) as folder:
        yield Path(folder)


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM cancel what runs, so that no upload session and no spool file is left."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    caught = (signal.SIGINT, signal.SIGTERM)
    for each in caught:
        loop.add_signal_handler(each, task.cancel)
    try:
        yield
    finally:
        for each in caught:
            loop.remove_signal_handler(each)
