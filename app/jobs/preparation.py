"""Prepares a push: opens all archives of a job and plans, before anything is pushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from app.archive import Archive, Limits, TarIndex, index_file
from app.archive.model import Fault
from app.auth.model import Submitter
from app.errors import ArchiveError, Forbidden, MalformedArchive, MissingContent, Problem, TarmacError, TruncatedArchive
from app.jobs.bounds import add_notices, shorten
from app.jobs.model import ArchiveSource, Job, JobArchive, JobImage
from app.jobs.sources.continued_files import naming_parts
from app.jobs.sources.server_archives import quotes_nothing
from app.jobs.uploads.kept_plans import PlannedArchives
from app.oci import Descriptor, Reference
from app.push import Destination, ImageState, PushPlan
from app.push.plan.image_content import image_identity
from app.push.plan.open_archives import join_files, open_archives, prefix_errors_with, unquoted
from app.push.plan.planning import draft_plan, without_images
from app.push.plan.refusals import refusal
from app.push.plan.values import ImageTarget
from app.push.signatures.policy import SignaturePolicy, check_signatures
from app.spool import OpenFile, OpenStore, Spool
from app.spool.concatenated_file import ConcatenatedFile
from app.threads import hashing, plan_in_thread, start_planning


@dataclass(frozen=True, slots=True)
class OpenedArchives:
    """The opened archives of a job.

    `job_archives` have their formats set. `files` has one file per archive; `close` closes them."""

    job_archives: tuple[JobArchive, ...]
    archives: tuple[Archive, ...]
    files: tuple[OpenFile, ...]
    parts: tuple[int, ...] = ()  # see ArchiveSet

    def close(self) -> None:
        for file in self.files:
            file.close()


@dataclass(frozen=True, slots=True)
class PreparedPush:
    """A job that is ready to be pushed. Images that cannot be pushed have failed already."""

    job_archives: tuple[JobArchive, ...]
    plan: PushPlan
    files: tuple[OpenFile, ...]
    parts: tuple[int, ...] = ()  # see ArchiveSet

    @property
    def planned(self) -> PlannedArchives:
        return PlannedArchives(self.job_archives, self.plan, self.parts)

    @property
    def images(self) -> tuple[JobImage, ...]:
        refused = self.plan.refused
        return tuple(
            _image(self.job_archives[image.archive].name, image, refused.get(number))
            for number, image in enumerate(self.plan.images)
        )

    @property
    def notices(self) -> tuple[str, ...]:
        return add_notices((), self.plan.notes)


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of a job before it is planned. `images` are set if the request is refused because of some."""

    archives: tuple[JobArchive, ...]
    images: tuple[JobImage, ...] = ()


def with_findings(job: Job, found: Findings) -> Job:
    """Return the next revision of the job; its present images stay unless others were found."""
    return job.evolve(archives=found.archives, images=found.images or job.images)


Tell = Callable[[Findings], None]


@dataclass(frozen=True, slots=True)
class PushPreparer:
    """Opens and plans the archives of a job.

    `signatures` are the signature policies. `check` raises Forbidden for destinations to which the submitter may not
    push."""

    spool: Spool
    limits: Limits
    signatures: tuple[SignaturePolicy, ...] = ()
    check: Callable[[Submitter, tuple[Reference, ...]], None] = Submitter.check
    open_store: OpenStore | None = None

    @asynccontextmanager
    async def prepare(
        self,
        job: Job,
        destination: Destination,
        tell: Tell,
        known: Sequence[TarIndex | Fault] | PlannedArchives = (),
        *,
        reads_all: bool = False,
    ) -> AsyncIterator[PreparedPush]:
        """Open and plan the archives for the duration of the block.

        `tell` is called with the archives once their formats are known, and with the images of a request that is
        refused because of some of them. `known` has the indexes of archives that were indexed during the upload,
        or the plan that was made before for the same job.
        `reads_all`: see `PushPlan.verify_layers`. Raises ArchiveError for a bad archive, and RequestError if the
        options do not match its content or the submitter may not push there."""
        work = self._start(job, known)
        try:
            understood = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_close_late)
            raise
        try:
            tell(Findings(understood.job_archives))
            plan = known.plan if isinstance(known, PlannedArchives) else await self._plan(job, destination, understood)
            plan = replace(plan, verify_layers=reads_all)
            opened = PreparedPush(understood.job_archives, plan, understood.files, understood.parts)
            error = None if job.options.keep_going else refusal(plan)
            if error is not None:
                tell(Findings(understood.job_archives, _with_others(opened.images, error.problem)))
                raise error
            yield opened
        finally:
            understood.close()

    def _start(self, job: Job, known: Sequence[TarIndex | Fault] | PlannedArchives) -> asyncio.Future[OpenedArchives]:
        """Start to open the archives: uploads in fair order; files by path, which may be on a slow disk, at once."""
        if job.share and known:
            return start_planning(job.share, self._understand, job, known)
        return asyncio.get_running_loop().run_in_executor(hashing(), self._understand, job, known)

    async def _plan(self, job: Job, destination: Destination, understood: OpenedArchives) -> PushPlan:
        names = [archive.name for archive in job.archives]
        # planning reads no files, so those may be closed if the job is cancelled meanwhile
        plan = await plan_in_thread(job.share, draft_plan, understood.archives, job.options, destination, names)
        plan = without_images(plan, dict(self._forbidden(job.submitter, plan)))
        return await self._signed(plan, understood.files)

    def _forbidden(self, submitter: Submitter, plan: PushPlan) -> Iterator[tuple[int, TarmacError]]:
        for number, image in enumerate(plan.images):
            try:
                self.check(submitter, image.destinations)
            except Forbidden as error:
                yield number, error

    async def _signed(self, plan: PushPlan, files: Sequence[OpenFile]) -> PushPlan:
        if not self.signatures:
            return plan
        work = asyncio.get_running_loop().run_in_executor(hashing(), check_signatures, plan, files, self.signatures)
        try:
            notices, unsigned = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # the thread reads files that are closed next; it takes at most a second
            raise
        return replace(without_images(plan, unsigned), notes=(*plan.notes, *notices))

    def _understand(self, job: Job, known: Sequence[TarIndex | Fault] | PlannedArchives) -> OpenedArchives:
        with ExitStack() as stack:
            files = []
            for archive in job.archives:
                files.append(self._file(archive, job))
                stack.callback(files[-1].close)
            if isinstance(known, PlannedArchives):
                found = _opened_again(known, files)
            else:
                found = self._opened(job, known, files)
            stack.pop_all()
            return found

    def _opened(self, job: Job, indexes: Sequence[TarIndex | Fault], files: Sequence[OpenFile]) -> OpenedArchives:
        names = [archive.name for archive in job.archives]
        indexed = indexes or [self._index(job, *item) for item in zip(job.archives, files, strict=True)]
        archives, together = open_archives(indexed, files, self.limits, names, keep_going=job.options.keep_going)
        if quotes_nothing(job.archives):
            archives = [unquoted(archive) for archive in archives]
        named = zip(job.archives, archives, strict=True)
        known = tuple(_known(*item) for item in named)
        return OpenedArchives(known, tuple(archives), together.files, together.parts)

    def _index(self, job: Job, archive: JobArchive, file: OpenFile) -> TarIndex | Fault:
        if archive.is_unreadable and archive.problem is not None:
            return fault_of(archive.problem)
        several, keeps_going = len(job.archives) > 1, job.options.keep_going
        try:
            with prefix_errors_with(archive.name, several=several), naming_parts(archive.file):
                index = index_file(file, file.size, self.limits, may_be_cut=keeps_going)
        except ArchiveError as error:
            if several and keeps_going:
                return Fault.of(error)
            raise
        if index.cut or archive.problem is None or archive.problem.code != TruncatedArchive.code:
            return index
        return replace(index, ended=False, cut=archive.problem.detail)  # of compressed data, between two members

    def _file(self, archive: JobArchive, job: Job) -> OpenFile:
        if archive.source is ArchiveSource.STORE and self.open_store is not None:
            return self.open_store(job.submitter.may_use, job.id)
        if archive.is_unreadable:
            return ConcatenatedFile(())
        if archive.file is None:
            raise MissingContent(f"{archive.name} is not in the spool any more; send the archive again")
        return self.spool.open(archive.file)


def _opened_again(planned: PlannedArchives, files: Sequence[OpenFile]) -> OpenedArchives:
    return OpenedArchives(planned.job_archives, planned.plan.archives, join_files(files, planned.parts), planned.parts)


def _known(archive: JobArchive, opened: Archive) -> JobArchive:
    """Return the archive of the job with what is known of it since it was opened."""
    problem = archive.problem if opened.fault is None else opened.fault.error.problem
    return replace(archive, format=opened.format or None, problem=problem)


def fault_of(problem: Problem) -> Fault:
    """Return why an archive cannot be read, as it was stored."""
    kinds = {kind.code: kind for kind in ArchiveError.__subclasses__()}
    return Fault(kinds.get(problem.code, MalformedArchive), problem.detail)


def _close_late(work: asyncio.Future[OpenedArchives]) -> None:
    """Close the archives that the thread opened after its caller was cancelled."""
    if not work.cancelled() and work.exception() is None:
        work.result().close()


def _with_others(images: tuple[JobImage, ...], problem: Problem) -> tuple[JobImage, ...]:
    """Return the images with the other ones failed too, because nothing of the request is pushed."""
    refused = sum(image.state is ImageState.FAILED for image in images)
    if refused == len(images):
        return images
    detail = f"not pushed, because {refused} of the {len(images)} images of the request cannot be pushed"
    theirs = replace(problem, detail=f"{detail}; pass keep_going=true to push the others")
    return tuple(
        image if image.state is ImageState.FAILED else replace(image, state=ImageState.FAILED, problem=theirs)
        for image in images
    )


def _image(archive: str, target: ImageTarget, problem: Problem | None) -> JobImage:
    entry = target.entry
    root = entry.root if isinstance(entry.root, Descriptor) else None
    return JobImage(
        archive=archive,
        names=tuple(shorten(name) for name in entry.called),
        destinations=tuple(str(destination) for destination in target.destinations),
        digest=None if root is None else root.digest,
        media_type=None if root is None else shorten(root.media_type),
        platforms=tuple(str(platform) for platform in entry.platforms),
        state=ImageState.PENDING if problem is None else ImageState.FAILED,
        problem=problem,
        source_digest=image_identity(entry),
    )
