"""From the files of a job to its plan: every archive opened and understood before anything is pushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from app.archive import Limits, TarIndex, index_file
from app.errors import MissingContent
from app.jobs.archives import told_by_name
from app.jobs.job import Job, JobArchive, JobImage
from app.jobs.understanding import understand
from app.oci import Descriptor
from app.push import Destination, PushPlan, make_plan
from app.push.plan import ImageTarget
from app.spool import OpenFile, Spool


@dataclass(frozen=True, slots=True)
class Opened:
    """A job ready to be pushed. `job_archives`: as the job has them, their formats known. `files`, one per archive, are
    closed by `close`."""

    job_archives: tuple[JobArchive, ...]
    plan: PushPlan
    files: tuple[OpenFile, ...]

    @property
    def images(self) -> tuple[JobImage, ...]:
        return tuple(_image(self.job_archives[image.archive].name, image) for image in self.plan.images)

    def close(self) -> None:
        for file in self.files:
            file.close()


@dataclass(frozen=True, slots=True)
class Opener:
    spool: Spool
    limits: Limits

    @asynccontextmanager
    async def opened(
        self, job: Job, destination: Destination, indexes: Sequence[TarIndex] = ()
    ) -> AsyncIterator[Opened]:
        """`indexes`, where the archives were indexed while they came in. Raises ArchiveError for a bad archive and
        RequestError where the options do not fit what is in it."""
        work = asyncio.get_running_loop().run_in_executor(None, self._open, job, destination, indexes)
        try:
            opened = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_close_late)
            raise
        try:
            yield opened
        finally:
            opened.close()

    def _open(self, job: Job, destination: Destination, indexes: Sequence[TarIndex]) -> Opened:
        with ExitStack() as stack:
            files = []
            for archive in job.archives:
                files.append(self._file(archive))
                stack.callback(files[-1].close)
            names = [archive.name for archive in job.archives]
            known = indexes or [self._index(*each, len(names) > 1) for each in zip(names, files, strict=True)]
            archives, sources = understand(known, files, self.limits, names)
            plan = make_plan(archives, job.options, destination)
            stack.pop_all()
        named = zip(job.archives, archives, strict=True)
        return Opened(tuple(replace(each, format=archive.format) for each, archive in named), plan, tuple(sources))

    def _index(self, name: str, file: OpenFile, several: bool) -> TarIndex:
        with told_by_name(name, several=several):
            return index_file(file, file.size, self.limits)

    def _file(self, archive: JobArchive) -> OpenFile:
        if archive.file is None:
            raise MissingContent(f"{archive.name} is not in the spool any more; send it again")
        return self.spool.open(archive.file)


def _close_late(work: asyncio.Future[Opened]) -> None:
    """The caller was cancelled while the thread went on opening."""
    if not work.cancelled() and work.exception() is None:
        work.result().close()


def _image(archive: str, target: ImageTarget) -> JobImage:
    entry = target.entry
    root = entry.root if isinstance(entry.root, Descriptor) else None
    return JobImage(
        archive=archive,
        names=entry.called,
        destinations=tuple(str(destination) for destination in target.destinations),
        digest=None if root is None else root.digest,
        media_type=None if root is None else root.media_type,
        platforms=tuple(str(platform) for platform in entry.platforms),
    )
