"""Blobs of an OCI layout are at the registry before its last byte has come, and nothing else is different for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.archive import Compression
from app.errors import RegistryUnreachable, UploadIncomplete
from app.jobs import Job, JobRequest, JobService, JobState, at_work
from app.jobs.caller import Caller, Role, Submitter
from app.jobs.early import EarlyPushes
from app.jobs.held import HeldJobs
from app.jobs.knowledge import FileMemory
from app.jobs.store.memory import MemoryJobStore
from app.oci import Digest, Platform
from app.push import Destination, Lanes, PushOptions
from app.push.early import early_repository
from app.push.signatures import SignaturePolicy
from app.registry import BlobContent
from tests.jobs.bench import Bench, ended
from tests.support.archives import Compress, Style, docker_save, entry, image, oci_image, oci_layout, tagged
from tests.support.fake_registry import FakeRegistry

MIB = 1 << 20
REQUEST = JobRequest(PushOptions(tag="team/app:1"))


def layout(compression: Compress = "gzip", *, wrong: bool = False, name: str | None = None) -> bytes:
    """Four layers of 0.7 MB, more than two batches of the spool."""
    noise = random.Random(1)
    sample = image(*({f"bin/{n}": noise.randbytes(700_000)} for n in range(4)))
    data = bytearray(oci_layout([entry(oci_image(sample, compression=compression), name=name)]))
    if wrong:
        data[400_000] ^= 1  # in the first layer
    return bytes(data)


LAYOUT = layout()


class Telling(FakeRegistry):
    """`come` is set when a blob has."""

    def __init__(self) -> None:
        super().__init__()
        self.come = asyncio.Event()

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        try:
            return await super().push_blob(repository, content)
        finally:
            self.come.set()


@pytest.fixture
def registry() -> Telling:
    return Telling()


@pytest.fixture
def bench(tmp_path: Path, registry: Telling) -> Bench:
    return Bench(tmp_path, MemoryJobStore(), registry)


@asynccontextmanager
async def at_work_early(bench: Bench, signatures: tuple[SignaturePolicy, ...] = ()) -> AsyncIterator[JobService]:
    lanes = Lanes(memory=FileMemory(bench.root / "layers.sqlite"))
    workshop = replace(bench.workshop(), lanes=lanes, signatures=signatures)
    peek = getattr(workshop.spool, "peek")  # noqa: B009 - of this spool alone, not of the port
    workshop = replace(workshop, early=EarlyPushes(peek, workshop.lanes))
    async with at_work(workshop, keep=timedelta(days=1)) as service:
        yield service


async def held_back(content: bytes, until: asyncio.Event, error: Exception | None = None) -> AsyncIterator[bytes]:
    """All but the end, which has to wait. In pieces of a batch: when the third is asked for, the first is written."""
    yield content[:MIB]
    yield content[MIB : 2 * MIB]
    yield content[2 * MIB : 2 * MIB + 1]
    async with asyncio.timeout(20):
        await until.wait()
    if error is not None:
        raise error
    yield content[2 * MIB + 1 :]


STAGED = JobRequest(PushOptions(prefix="team"))


async def pushed(service: JobService, chunks: AsyncIterator[bytes], request: JobRequest = REQUEST) -> Job:
    async with await service.begin() as upload:
        upload.foresee(request)
        await upload.receive("x.tar", chunks, len(LAYOUT))
        job = await upload.submit(request)
    return await ended(service, job)


async def at_once(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), MIB):
        yield content[start : start + MIB]


async def test_a_layer_is_there_before_the_last_byte_and_is_not_sent_again(bench: Bench, registry: Telling) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LAYOUT, registry.come))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5  # four layers and the config, each once
    assert job.progress.blobs_reused >= 1


NOISE = image(*({f"bin/{n}": random.Random(n).randbytes(700_000)} for n in range(4)))
FORMS = {
    "gzip": LAYOUT,
    "zstd": layout("zstd"),
    "plain": layout("none"),
    "docker, compressed": docker_save([NOISE], style="podman", compress="gzip"),
    **{style: docker_save([NOISE], style=style) for style in ("classic", "podman", "docker25", "crane")},
}


@pytest.mark.parametrize("style", ["classic", "podman", "docker25"])
async def test_a_plain_layer_is_compressed_and_sent_early_and_once(
    bench: Bench, registry: Telling, style: Style
) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(docker_save([NOISE], style=style), registry.come))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5
    assert job.progress.blobs_reused >= 1


@pytest.mark.parametrize("form", FORMS)
async def test_the_registry_holds_the_same_in_the_end(bench: Bench, registry: Telling, form: str) -> None:
    content = FORMS[form]
    async with at_work_early(bench) as service:
        await pushed(service, at_once(content))
    (bench.root / "other").mkdir()
    other = Bench(bench.root / "other", MemoryJobStore())
    async with other.service() as service:
        await pushed(service, at_once(content))
    assert registry.blobs == other.registry.blobs
    assert registry.manifests == other.registry.manifests
    assert registry.tags == other.registry.tags != {}


async def test_an_upload_that_breaks_leaves_no_manifest_and_no_tag(bench: Bench, registry: Telling) -> None:
    async with at_work_early(bench) as service:
        with pytest.raises(UploadIncomplete):
            await pushed(service, held_back(LAYOUT, registry.come, UploadIncomplete("the line is cut")))
        (job,), _ = await service.page()
    assert job.state is JobState.FAILED
    assert registry.blobs
    assert not registry.manifests
    assert not registry.tags
    assert bench.spooled() == []


async def test_cancelling_stops_what_is_under_way(bench: Bench, registry: Telling) -> None:
    registry.gate = asyncio.Event()
    never = asyncio.Event()
    async with at_work_early(bench) as service:
        sending = asyncio.create_task(pushed(service, held_back(LAYOUT, never)))
        await asyncio.wait_for(registry.waiting.wait(), 20)
        (job,), _ = await service.page()
        await service.cancel(job.id)
        assert registry.come.is_set()  # the sending of the blob has ended by now
        await asyncio.wait([sending])
        assert sending.exception() is not None
    assert not registry.blobs
    assert bench.spooled() == []


async def test_the_service_stops_what_is_under_way(bench: Bench, registry: Telling) -> None:
    registry.gate = asyncio.Event()
    async with at_work_early(bench) as service:
        sending = asyncio.create_task(pushed(service, held_back(LAYOUT, asyncio.Event())))
        await asyncio.wait_for(registry.waiting.wait(), 20)
    assert registry.come.is_set()
    sending.cancel()
    await asyncio.wait([sending])


async def test_a_blob_under_way_at_the_last_byte_is_waited_for_and_not_sent_twice(
    bench: Bench, registry: Telling
) -> None:
    registry.gate = asyncio.Event()
    async with at_work_early(bench) as service:
        sending = asyncio.create_task(pushed(service, held_back(LAYOUT, registry.waiting)))
        await asyncio.wait_for(registry.waiting.wait(), 20)
        (job,), _ = await service.page()
        async for seen in service.watch(job.id):
            if seen.images:
                break
        registry.gate.set()
        job = await sending
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5


async def test_what_goes_wrong_early_is_done_again(bench: Bench, registry: Telling) -> None:
    class Refusing(Telling):
        async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
            if not self.come.is_set():
                self.come.set()
                raise RegistryUnreachable("not yet")
            return await super().push_blob(repository, content)

    bench.registry = Refusing()
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LAYOUT, bench.registry.come))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert bench.registry.manifest("team/app", "1")


async def test_wrong_content_never_arrives(bench: Bench, registry: Telling) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(layout(wrong=True), registry.come))
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem.code == "digest_mismatch"
    assert not registry.tags


@pytest.mark.parametrize(
    "request_",
    [
        JobRequest(PushOptions(tag="team/app:1"), checksum="sha256:" + "0" * 64),
        JobRequest(PushOptions(prefix="team")),
        JobRequest(PushOptions(tag="team/app:1", dry_run=True)),
    ],
    ids=["a checksum", "no tag", "a dry run"],
)
async def test_nothing_is_sent_before_it_may_be(bench: Bench, registry: Telling, request_: JobRequest) -> None:
    async with at_work_early(bench) as service, await service.begin() as upload:
        upload.foresee(request_)
        await upload.receive("x.tar", at_once(LAYOUT))
        assert not registry.calls
        await upload.abandon(UploadIncomplete("enough"))


async def test_nothing_is_sent_before_its_signature_was_looked_at(bench: Bench, registry: Telling) -> None:
    async with at_work_early(bench, (SignaturePolicy(("*",), ()),)) as service, await service.begin() as upload:
        upload.foresee(REQUEST)
        await upload.receive("x.tar", at_once(LAYOUT))
        assert not registry.calls
        await upload.abandon(UploadIncomplete("enough"))


async def test_nothing_is_sent_where_the_token_may_not_push(bench: Bench, registry: Telling) -> None:
    early = EarlyPushes(lambda _: pytest.fail("looked"), bench.workshop().lanes)
    job = replace(Job.new(JobState.RECEIVING, bench.clock()), submitter=Submitter("ci", "", ("other",)))
    assert early.begin(job, "x-0", REQUEST.options, bench.workshop().registries["default"]) is None


@pytest.mark.parametrize(
    "archive", [layout(name="app:1"), docker_save([tagged(NOISE, "app:1")])], ids=["layout", "docker"]
)
async def test_blobs_whose_repository_is_not_known_yet_wait_in_the_staging_repository(
    bench: Bench, registry: Telling, archive: bytes
) -> None:
    bench.staging_repository = "below/staging"
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(archive, registry.come), STAGED)
    assert job.state is JobState.SUCCEEDED, job.problem
    (image,) = job.images
    assert {name.rpartition(":")[0] for name in image.destinations} == {"registry.test/team/library/app"}
    staged = {digest for repository, digest in registry.blobs if repository == "below/staging"}
    assert staged
    assert staged < {digest for repository, digest in registry.blobs if repository == "team/library/app"}
    assert registry.count("mount_blob") == len(staged)
    assert registry.count("push_blob") == 5  # four layers and the config, each once
    assert not [reference for repository, reference in registry.manifests if repository == "below/staging"]


async def test_nothing_is_staged_for_a_token_that_may_not_use_that_repository(bench: Bench, registry: Telling) -> None:
    early = EarlyPushes(lambda _: pytest.fail("looked"), bench.workshop().lanes)
    bench.staging_repository = "staging"
    configured = bench.workshop().registries["default"]
    job = replace(Job.new(JobState.RECEIVING, bench.clock()), submitter=Submitter("ci", "", ("team",)))
    assert early.begin(job, "x-0", STAGED.options, configured) is None


async def test_nothing_of_a_repository_that_a_token_may_not_use_is_mounted(bench: Bench, registry: Telling) -> None:
    """The archive claims to hold what another has pushed, by its digest alone."""
    stolen = bytearray(LAYOUT)
    stolen[400_000] ^= 1
    async with at_work_early(bench) as service:
        assert (await pushed(service, at_once(LAYOUT))).state is JobState.SUCCEEDED
        registry.calls.clear()
        thief = HeldJobs(service, Caller(Submitter("ci", "", ("other",)), frozenset({Role.PUSH})))
        async with await thief.begin() as upload:
            asked = JobRequest(PushOptions(tag="other/app:1"))
            await upload.receive("x.tar", at_once(bytes(stolen)))
            job = await ended(service, await upload.submit(asked))
    assert job.state is JobState.FAILED
    assert not registry.count("mount_blob")


@pytest.mark.parametrize(
    ("options", "repository"),
    [
        (PushOptions(tag="app:1"), "below/app"),
        (PushOptions(tag="app:1", prefix="team"), "below/team/app"),
        (PushOptions(), None),
        (PushOptions(tag="app:1", dry_run=True), None),
        (PushOptions(tag="app:1", images=("a*",)), None),
        (PushOptions(tag="app:1", platforms=(Platform.parse("linux/amd64"),)), None),
        (PushOptions(tag="app:1", on_existing_tag="error"), None),
        (PushOptions(tag="UPPER:1"), None),
        (PushOptions(tag="app:1", layer_compression=Compression.ZSTD), "below/app"),
    ],
)
def test_where_blobs_can_go_early(options: PushOptions, repository: str | None) -> None:
    assert early_repository(options, Destination("default", "registry.test", "below")) == repository
