"""`tarmac push`: run a job as the service does, in this process, without a server or a database."""

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

from app.bootstrap.embedded import open_destinations
from app.cli.archive_loader import ArchiveLoader, path_of
from app.cli.display import Display, make_display, printable, summarize
from app.cli.options import checksum_of, push_options_from, settings_from
from app.config.settings import DEFAULT_REGISTRY, Settings
from app.errors import ArchiveError, TarmacError
from app.jobs.model import ArchiveSource, Job, JobArchive, JobState, utc_now
from app.jobs.queue.local import LocalJobQueue
from app.jobs.registries import pick_registry
from app.jobs.runner import Runner
from app.jobs.runtime import JobRuntime
from app.jobs.store.memory import MemoryJobStore
from app.jobs.tracking.tracker import JobTracker
from app.oci import Digest
from app.push import PushOptions, PushResources
from app.push.blob_cache.sqlite import SqliteBlobInfoCache, cache_file
from app.push.plan.open_archives import prefix_errors_with
from app.server.memory import tune_memory
from app.spool import OpenStore
from app.spool.disk import DiskSpool
from app.telemetry.logging import configure_logging

SHOWN_SECONDS = 0.1  # between two states that are shown
CANCELLED = 130  # the exit status that shells give a program ended by Ctrl-C


@dataclass(frozen=True, slots=True)
class PushCommand:
    """The request of the command line."""

    files: Sequence[str]
    options: PushOptions
    checksum: Digest | None
    registry: str
    settings: Settings
    open_store: OpenStore | None = None


def run(arguments: argparse.Namespace) -> int:
    command = PushCommand(
        files=arguments.files,
        options=push_options_from(arguments),
        checksum=checksum_of(arguments),
        registry=arguments.registry or DEFAULT_REGISTRY,
        settings=settings_from(arguments),
    )
    return run_push(command, as_json=arguments.json)


def run_push(command: PushCommand, *, as_json: bool) -> int:
    """Run the job, print what becomes of it, and return the exit status. With `open_store` it is a copy of images of
    the image store."""
    tune_memory()
    configure_logging("warning", text=True)
    began = time.monotonic()
    with make_display(sys.stderr if as_json else sys.stdout) as display:
        job = asyncio.run(_push(command, display))
    if as_json:
        print(json.dumps(job.document(whole=True), indent=2))
    else:
        if job.problem is not None:
            print(printable(f"{job.problem.code}: {job.problem.detail}"))
        print(f"{job.state}: {summarize(job, time.monotonic() - began)}")
    return {JobState.SUCCEEDED: 0, JobState.CANCELLED: CANCELLED}.get(job.state, 1)


async def _push(task: PushCommand, display: Display) -> Job:
    """Push and return the job. Raises UnknownRegistry; other errors are the problem of the job."""
    async with AsyncExitStack() as stack:
        registries = await stack.enter_async_context(open_destinations(task.settings))
        pick_registry(registries, task.registry)
        spool = DiskSpool(stack.enter_context(_spool_below(task.settings.data_dir)))
        resources = PushResources(blob_cache=SqliteBlobInfoCache(cache_file()))
        tracker = JobTracker(MemoryJobStore(), save_seconds=SHOWN_SECONDS)
        runtime = JobRuntime(
            tracker, spool, LocalJobQueue(1), registries, resources=resources, open_store=task.open_store
        )
        stack.enter_context(_cancelled_by_signals())
        job = Job.new(JobState.RECEIVING, utc_now()).evolve(registry=task.registry, options=task.options)
        try:
            taker = ArchiveLoader(spool, stack, display.received, may_be_cut=task.options.keep_going)
            archives = await _taken(taker, task)
            return await _run(job.transition_to(JobState.QUEUED, archives=archives), runtime, display)
        except TarmacError as error:
            return job.transition_to(JobState.FAILED, problem=error.problem, finished_at=utc_now())
        except asyncio.CancelledError:
            return job.transition_to(JobState.CANCELLED, finished_at=utc_now())


async def _taken(taker: ArchiveLoader, task: PushCommand) -> tuple[JobArchive, ...]:
    if task.open_store is not None:
        return (JobArchive.of_store(),)
    files = await taker.join_split_files(task.files)
    archives = []
    for file in files:
        try:
            with prefix_errors_with(path_of(file), several=len(files) > 1):
                archives.append(await taker.load(file, task.checksum))
        except ArchiveError as error:
            if not task.options.keep_going or len(files) == 1:
                raise
            archives.append(JobArchive(Path(path_of(file)).name, ArchiveSource.PATH, problem=error.problem))
    return tuple(archives)


async def _run(job: Job, runtime: JobRuntime, display: Display) -> Job:
    """Run the job and show its end, also if it is cancelled."""
    await runtime.tracker.add(job)
    saving = asyncio.create_task(runtime.tracker.run_saver())  # a state is shown after it is stored
    watching = asyncio.create_task(_watch(job.id, runtime.tracker, display))
    try:
        await Runner(runtime).run(job.id)
        await watching
    except asyncio.CancelledError:
        job = await runtime.tracker.newest(job.id)
        return job if job.ended else job.transition_to(JobState.CANCELLED, finished_at=utc_now())
    finally:
        watching.cancel()
        saving.cancel()
    return await runtime.tracker.get(job.id)


async def _watch(job_id: str, tracker: JobTracker, display: Display) -> None:
    with tracker.subscribe(job_id) as news:
        while True:
            job = await news.next()
            display.job(job)
            if job.ended:
                return


@contextmanager
def _spool_below(data_dir: Path) -> Iterator[Path]:
    """Return a directory of this process, so that a server with the same data directory does not delete its files."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="push-", dir=data_dir) as folder:
        yield Path(folder)


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Cancel the block on Ctrl-C and SIGTERM, so that no upload session and no spool file remains."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    caught = (signal.SIGINT, signal.SIGTERM)
    for item in caught:
        loop.add_signal_handler(item, task.cancel)
    try:
        yield
    finally:
        for item in caught:
            loop.remove_signal_handler(item)
