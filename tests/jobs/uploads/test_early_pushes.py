"""Blobs are at the registry before the last byte of their archive has come, and nothing else is different for it."""

from __future__ import annotations

import asyncio
import io
import random
import re
import tarfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.archive import Compression
from app.archive.model import Extent
from app.archive.tar.index import Member, MemberKind
from app.auth.model import Caller, Role, Submitter
from app.errors import Conflict, Forbidden, RegistryUnreachable, SourceChanged, TarmacError, UploadIncomplete
from app.jobs import Job, JobRequest, JobService, JobState, run_job_service
from app.jobs.authorization import AuthorizedJobs
from app.jobs.store.memory import MemoryJobStore
from app.jobs.uploads.early_pushes import EarlyPushes, PartialArchive
from app.oci import Digest, Platform
from app.push import Destination, PushOptions, PushResources
from app.push.blob_cache.sqlite import SqliteBlobInfoCache
from app.push.early.early_push import EarlyPush, EarlyTarget
from app.push.early.targets import early_repository
from app.push.signatures.policy import SignaturePolicy
from app.registry import BlobContent
from app.spool import OpenFile
from app.spool.disk import DiskSpool
from tests.jobs.bench import Bench, ended
from tests.support import archives
from tests.support.archives import Compress, Style, docker_save, entry, image, oci_image, oci_layout, tagged, tar
from tests.support.fake_registry import FakeRegistry
from tests.support.storage_tree import bundle

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


def members_of(data: bytes) -> list[archives.Member]:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return [archives.Member(m.name, file.read()) for m in opened if (file := opened.extractfile(m)) is not None]


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def bench(tmp_path: Path, registry: FakeRegistry) -> Bench:
    return Bench(tmp_path, MemoryJobStore(), registry)


@asynccontextmanager
async def at_work_early(
    bench: Bench, signatures: tuple[SignaturePolicy, ...] = (), resources: PushResources | None = None
) -> AsyncIterator[JobService]:
    resources = resources or PushResources(blob_cache=SqliteBlobInfoCache(bench.root / "layers.sqlite"))
    runtime = replace(bench.runtime(), resources=resources, signatures=signatures)
    runtime = replace(runtime, early=EarlyPushes(resources, runtime.tracker))
    async with run_job_service(runtime, keep=timedelta(days=1)) as service:
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


async def pushed(
    service: JobService,
    chunks: AsyncIterator[bytes],
    request: JobRequest = REQUEST,
    foreseen: JobRequest | None = None,
) -> Job:
    """`foreseen`: what is known of the request before the archive, where that is not all of it."""
    async with await service.begin() as upload:
        upload.set_expected_request(foreseen or request)
        await upload.receive("x.tar", chunks, len(LAYOUT))
        job = await upload.submit(request)
    return await ended(service, job)


async def at_once(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), MIB):
        yield content[start : start + MIB]


async def test_a_layout_in_a_directory_is_sent_early_too(bench: Bench, registry: FakeRegistry) -> None:
    nested = tar(replace(member, name=f"oci/{member.name}") for member in members_of(LAYOUT))
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(nested, registry.held))
    assert (job.state, registry.count("push_blob"), job.progress.blobs_reused) == (JobState.SUCCEEDED, 5, 0)


async def test_what_lies_in_a_directory_does_not_go_where_the_names_at_the_root_lead(
    bench: Bench, registry: FakeRegistry
) -> None:
    root = members_of(oci_layout([entry(oci_image(image({"app": b"root"})), name="a.test/root:1")]))
    nested = members_of(layout(name="a.test/nested:1"))
    content = tar([*root, *(replace(member, name=f"nested/{member.name}") for member in nested)])
    async with at_work_early(bench) as service:
        job = await pushed(service, at_once(content), JobRequest(PushOptions()))
    assert (job.state, registry.count("push_blob")) == (JobState.SUCCEEDED, 7)
    assert {tag for tag, _ in registry.tags} == {"root", "nested"}


async def test_a_layer_is_there_before_the_last_byte_and_is_not_sent_again(
    bench: Bench, registry: FakeRegistry
) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LAYOUT, registry.held))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5  # four layers and the config, each once
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes


NOISE = image(*({f"bin/{n}": random.Random(n).randbytes(700_000)} for n in range(4)))
UNKNOWN = image({"bin/unknown": random.Random(9).randbytes(700_000)})
FORMS = {
    "gzip": LAYOUT,
    "zstd": layout("zstd"),
    "plain": layout("none"),
    "plain, its index behind": oci_layout([entry(oci_image(NOISE, compression="none"))], index_last=True),
    "a blob of no image": oci_layout([entry(oci_image(NOISE))], more=oci_image(UNKNOWN).content),
    "docker, compressed": docker_save([NOISE], style="podman", compress="gzip"),
    **{style: docker_save([NOISE], style=style) for style in ("classic", "podman", "docker25", "crane")},
}


@pytest.mark.parametrize("style", ["classic", "podman", "docker25"])
async def test_a_plain_layer_is_compressed_and_sent_early_and_once(
    bench: Bench, registry: FakeRegistry, style: Style
) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(docker_save([NOISE], style=style), registry.held))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes


@pytest.mark.parametrize("form", FORMS)
async def test_the_registry_holds_the_same_in_the_end(bench: Bench, registry: FakeRegistry, form: str) -> None:
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


def is_empty(registry: FakeRegistry) -> bool:
    """Nothing came to it, and nothing waits to."""
    return not (registry.blobs or registry.manifests or registry.tags or registry.under_way)


async def test_an_upload_that_breaks_leaves_nothing_at_the_registry(bench: Bench, registry: FakeRegistry) -> None:
    async with at_work_early(bench) as service:
        with pytest.raises(UploadIncomplete):
            await pushed(service, held_back(LAYOUT, registry.held, UploadIncomplete("the line is cut")))
        (job,), _ = await service.page()
    assert job.state is JobState.FAILED
    assert is_empty(registry)
    assert bench.spooled() == []


async def test_cancelling_stops_what_is_under_way(bench: Bench, registry: FakeRegistry) -> None:
    registry.gate = asyncio.Event()
    never = asyncio.Event()
    async with at_work_early(bench) as service:
        sending = asyncio.create_task(pushed(service, held_back(LAYOUT, never)))
        await asyncio.wait_for(registry.waiting.wait(), 20)
        (job,), _ = await service.page()
        await service.cancel(job.id)
        assert not registry.under_way
        await asyncio.wait([sending])
        assert sending.exception() is not None
    assert not registry.blobs
    assert bench.spooled() == []


async def test_the_service_stops_what_is_under_way(bench: Bench, registry: FakeRegistry) -> None:
    registry.gate = asyncio.Event()
    async with at_work_early(bench) as service:
        sending = asyncio.create_task(pushed(service, held_back(LAYOUT, asyncio.Event())))
        await asyncio.wait_for(registry.waiting.wait(), 20)
    assert not registry.under_way
    sending.cancel()
    await asyncio.wait([sending])


async def test_a_blob_under_way_at_the_last_byte_is_waited_for_and_not_sent_twice(
    bench: Bench, registry: FakeRegistry
) -> None:
    registry.gate = asyncio.Event()
    async with at_work_early(bench) as service:
        sending = asyncio.create_task(pushed(service, held_back(LAYOUT, registry.waiting)))
        await asyncio.wait_for(registry.waiting.wait(), 20)
        (job,), _ = await service.page()
        async for seen in service.subscribe(job.id):
            if seen.images:
                break
        registry.gate.set()
        job = await sending
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5


async def test_what_goes_wrong_early_is_done_again(bench: Bench, registry: FakeRegistry) -> None:
    class Refusing(FakeRegistry):
        async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
            if not self.held.is_set():
                self.held.set()
                raise RegistryUnreachable("not yet")
            return await super().push_blob(repository, content)

    bench.registry = Refusing()
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LAYOUT, bench.registry.held))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert bench.registry.manifest("team/app", "1")


async def test_wrong_content_never_arrives(bench: Bench, registry: FakeRegistry) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, at_once(layout(wrong=True)))
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem.code == "digest_mismatch"
    assert not registry.tags


@pytest.mark.parametrize(
    "request_",
    [
        JobRequest(PushOptions(prefix="team")),
        JobRequest(PushOptions(tag="team/app:1", dry_run=True)),
    ],
    ids=["no tag", "a dry run"],
)
async def test_nothing_is_sent_before_it_may_be(bench: Bench, registry: FakeRegistry, request_: JobRequest) -> None:
    async with at_work_early(bench) as service, await service.begin() as upload:
        upload.set_expected_request(request_)
        await upload.receive("x.tar", at_once(LAYOUT))
        assert not registry.calls
        await upload.abandon(UploadIncomplete("enough"))


async def test_nothing_is_sent_before_its_signature_was_looked_at(bench: Bench, registry: FakeRegistry) -> None:
    async with at_work_early(bench, (SignaturePolicy(("*",), ()),)) as service, await service.begin() as upload:
        upload.set_expected_request(REQUEST)
        await upload.receive("x.tar", at_once(LAYOUT))
        assert not registry.calls
        await upload.abandon(UploadIncomplete("enough"))


async def test_nothing_is_sent_where_the_token_may_not_push(bench: Bench, registry: FakeRegistry) -> None:
    early = EarlyPushes(bench.runtime().resources)
    job = replace(Job.new(JobState.RECEIVING, bench.clock()), submitter=Submitter("ci", "", ("other",)))
    configured = bench.runtime().registries["default"]
    assert early.start(job, REQUEST.options, configured, PartialArchive(0, lambda: pytest.fail("looked"))) is None


@pytest.mark.parametrize(
    "archive", [layout(name="app:1"), docker_save([tagged(NOISE, "app:1")])], ids=["layout", "docker"]
)
async def test_blobs_whose_repository_is_not_known_yet_wait_in_the_staging_repository(
    bench: Bench, registry: FakeRegistry, archive: bytes
) -> None:
    bench.staging_repository = "below/staging"
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(archive, registry.held), STAGED)
    assert job.state is JobState.SUCCEEDED, job.problem
    (image,) = job.images
    assert {name.rpartition(":")[0] for name in image.destinations} == {"registry.test/team/library/app"}
    staged = {digest for repository, digest in registry.blobs if repository == "below/staging"}
    assert staged
    assert staged < {digest for repository, digest in registry.blobs if repository == "team/library/app"}
    assert registry.count("mount_blob") == len(staged)
    assert registry.count("push_blob") == 5  # four layers and the config, each once
    assert not [reference for repository, reference in registry.manifests if repository == "below/staging"]


async def test_nothing_is_staged_for_a_token_that_may_not_use_that_repository(
    bench: Bench, registry: FakeRegistry
) -> None:
    bench.staging_repository = "staging"
    async with at_work_early(bench) as service:
        held = AuthorizedJobs(service, Caller(Submitter("ci", "", ("team",)), frozenset({Role.PUSH})))
        async with await held.begin() as upload:
            upload.set_expected_request(STAGED)
            await upload.receive("x.tar", at_once(LAYOUT))
            assert not registry.calls
            await upload.abandon(UploadIncomplete("enough"))


async def test_nothing_of_a_repository_that_a_token_may_not_use_is_mounted(
    bench: Bench, registry: FakeRegistry
) -> None:
    """The archive claims to hold what another has pushed, by its digest alone."""
    stolen = bytearray(LAYOUT)
    stolen[400_000] ^= 1
    async with at_work_early(bench) as service:
        assert (await pushed(service, at_once(LAYOUT))).state is JobState.SUCCEEDED
        registry.calls.clear()
        thief = AuthorizedJobs(service, Caller(Submitter("ci", "", ("other",)), frozenset({Role.PUSH})))
        async with await thief.begin() as upload:
            asked = JobRequest(PushOptions(tag="other/app:1"))
            await upload.receive("x.tar", at_once(bytes(stolen)))
            job = await ended(service, await upload.submit(asked))
    assert job.state is JobState.FAILED
    assert not registry.count("mount_blob")


def bound(service: JobService, name: str, *repositories: str) -> AuthorizedJobs:
    return AuthorizedJobs(service, Caller(Submitter(name, "", repositories), frozenset({Role.PUSH})))


async def staged(service: JobService, content: bytes, registry: FakeRegistry, *, tag: str | None = None) -> Job:
    """The end of the archive comes when its layers wait at the registry, or at once if nothing goes early."""
    async with await service.begin() as upload:
        if tag is None:
            upload.set_expected_request(STAGED)
        await upload.receive("x.tar", at_once(content))
        request = STAGED if tag is None else JobRequest(PushOptions(tag=tag))
        return await ended(service, await upload.submit(request))


@pytest.mark.parametrize("victim", [(), ("other/b", "staging")], ids=["unbound", "bound"])
@pytest.mark.parametrize("prefix", ["team", "team/library"])
async def test_what_others_have_staged_is_not_mounted_for_a_bound_token(
    bench: Bench, registry: FakeRegistry, victim: tuple[str, ...], prefix: str
) -> None:
    """The thief's archive names the victim's layers by their digests, and has other bytes of the same size."""
    bench.staging_repository = "staging"
    stolen = bytearray(layout(name="app:1"))
    stolen[400_000] ^= 1
    async with at_work_early(bench) as service:
        async with await bound(service, "victim", *victim).begin() as upload:
            upload.set_expected_request(JobRequest(PushOptions(prefix="other/b")))
            await upload.receive("x.tar", held_back(layout(name="app:1"), registry.held))
            job = await ended(service, await upload.submit(JobRequest(PushOptions(prefix="other/b"))))
        assert job.state is JobState.SUCCEEDED, job.problem
        before = {digest for repository, digest in registry.blobs if repository.startswith("staging")}
        assert before
        thief = bound(service, "thief", prefix, "staging")
        job = await staged(thief, bytes(stolen), registry)
        assert job.state is JobState.FAILED
        for tag in ("staging:1", "staging/x:1"):
            with pytest.raises(Forbidden):
                await staged(thief, layout(name="app:1"), registry, tag=tag)
    changed = {digest for repository, digest in registry.blobs if repository.startswith("other/")}
    gained = {digest for repository, digest in registry.blobs if repository.startswith("team/")}
    assert len(changed) == 5
    assert len(changed & gained) < 5  # the layer whose bytes the thief does not have


async def test_a_bound_token_stages_in_a_repository_of_its_own(bench: Bench, registry: FakeRegistry) -> None:
    bench.staging_repository = "staging"
    async with at_work_early(bench) as service:
        for name in ("anna", "bert"):
            async with await bound(service, name, "team", "staging").begin() as upload:
                upload.set_expected_request(STAGED)
                await upload.receive("x.tar", held_back(layout(name=f"{name}:1"), registry.held))
                job = await ended(service, await upload.submit(STAGED))
            assert job.state is JobState.SUCCEEDED, job.problem
    staging = {repository for repository, _ in registry.blobs if repository.startswith("staging")}
    assert len(staging) == 2
    assert all(re.fullmatch(r"staging/[0-9a-f]{16}", repository) for repository in staging)


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


GIVEN_BEFORE = JobRequest(PushOptions(tag="team/app:1"))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (JobRequest(PushOptions(tag="team/app:1"), checksum="sha256:" + "0" * 64), "checksum_mismatch"),
        (JobRequest(PushOptions(tag="team/app:1", format="docker-archive")), "format_mismatch"),
        (JobRequest(PushOptions(tag="team/app:1"), "elsewhere"), "unknown_registry"),
    ],
    ids=["a checksum", "a format", "a registry"],
)
async def test_a_field_behind_the_archive_may_still_forbid_the_push(
    bench: Bench, registry: FakeRegistry, request_: JobRequest, code: str
) -> None:
    """As a form has them: its parts may come in any order."""
    async with at_work_early(bench) as service:
        with pytest.raises(TarmacError) as refused:
            await pushed(service, held_back(LAYOUT, registry.held), request_, GIVEN_BEFORE)
    assert refused.value.code == code
    assert registry.count("push_blob")
    assert is_empty(registry)


async def test_a_field_behind_the_archive_may_still_make_it_a_dry_run(bench: Bench, registry: FakeRegistry) -> None:
    tried = JobRequest(PushOptions(tag="team/app:1", dry_run=True))
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LAYOUT, registry.held), tried, GIVEN_BEFORE)
    assert job.state is JobState.SUCCEEDED
    assert registry.count("push_blob")
    assert is_empty(registry)


@pytest.mark.parametrize(
    ("options", "repository"),
    [
        (PushOptions(tag="team/app:1", prefix="below"), "below/team/app"),
        (PushOptions(tag="team/app:1", layer_compression=Compression.ZSTD), "team/app"),
        (PushOptions(tag="team/app:1", platforms=(Platform.parse("linux/amd64"),)), "team/app"),
        (PushOptions(tag="team/app:1", on_existing_tag="error"), "team/app"),
    ],
    ids=["prefix", "compression", "platforms", "tag"],
)
async def test_a_field_behind_the_archive_may_lead_it_elsewhere(
    bench: Bench, registry: FakeRegistry, options: PushOptions, repository: str
) -> None:
    archive = docker_save([NOISE], style="podman")
    request = JobRequest(options)
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(archive, registry.held), request, GIVEN_BEFORE)
    assert job.state is JobState.SUCCEEDED, job.problem
    (bench.root / "other").mkdir()
    other = Bench(bench.root / "other", MemoryJobStore())
    async with other.service() as service:
        await pushed(service, at_once(archive), request)
    assert registry.blobs == other.registry.blobs
    assert {place for place, _ in registry.blobs} == {repository}


async def test_a_form_that_says_more_behind_its_archive_has_it_pushed_early_all_the_same(
    bench: Bench, registry: FakeRegistry
) -> None:
    said = JobRequest(GIVEN_BEFORE.options, labels={"release": "42"}, checksum=str(Digest.of(LAYOUT)))
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LAYOUT, registry.held), said, GIVEN_BEFORE)
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes


async def test_nothing_becomes_a_blob_before_the_checksum_was_compared(bench: Bench, registry: FakeRegistry) -> None:
    right = JobRequest(REQUEST.options, checksum=str(Digest.of(LAYOUT)))
    async with at_work_early(bench) as service, await service.begin() as upload:
        upload.set_expected_request(right)
        await upload.receive("x.tar", held_back(LAYOUT, registry.held))
        assert not registry.blobs
        job = await ended(service, await upload.submit(right))
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes


async def test_what_is_known_elsewhere_is_mounted_when_all_is_known(bench: Bench, registry: FakeRegistry) -> None:
    other = JobRequest(PushOptions(tag="other/app:1"))
    async with at_work_early(bench) as service:
        await pushed(service, at_once(LAYOUT))
        before = dict(registry.blobs)
        registry.calls.clear()
        async with await service.begin() as upload:
            upload.set_expected_request(other)
            await upload.receive("x.tar", at_once(LAYOUT))
            assert registry.blobs == before
            job = await ended(service, await upload.submit(other))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 0
    assert registry.count("mount_blob") == 5


async def test_no_more_than_so_many_wait_at_the_registry(
    bench: Bench, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.push.early.early_push.MAX_SESSIONS", 1)
    async with at_work_early(bench) as service, await service.begin() as upload:
        upload.set_expected_request(REQUEST)
        await upload.receive("x.tar", held_back(LAYOUT, registry.held))
        assert registry.under_way == 1
        job = await ended(service, await upload.submit(REQUEST))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5


def index_first(*names: str) -> bytes:
    """As regctl writes it: what the images are called comes before them."""
    return oci_layout([entry(oci_image(NOISE), name=name) for name in names])


LED = {
    "index.json": index_first("docker.io/library/app:1", "docker.io/library/app:2"),
    "manifest.json": docker_save([tagged(NOISE, "app:1")], style="podman", manifest_first=True),
}


@pytest.mark.parametrize("leader", LED)
async def test_an_archive_that_begins_with_its_names_is_pushed_early(
    bench: Bench, registry: FakeRegistry, leader: str
) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(LED[leader], registry.held), STAGED)
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5
    assert {place for place, _ in registry.blobs} == {"team/library/app"}
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes


@pytest.mark.parametrize(
    "archive",
    [
        index_first("app:1", "other:1"),
        oci_layout([entry(oci_image(NOISE), ref="1")]),
        LAYOUT,
        index_first("UPPER:1"),
        docker_save([tagged(NOISE, "app:1"), image({"a": b""})], style="podman", manifest_first=True),
    ],
    ids=["two repositories", "a tag alone", "no name", "no reference", "one without a name"],
)
async def test_nothing_is_sent_where_the_names_do_not_lead_to_one_repository(
    bench: Bench, registry: FakeRegistry, archive: bytes
) -> None:
    async with at_work_early(bench) as service, await service.begin() as upload:
        upload.set_expected_request(STAGED)
        await upload.receive("x.tar", at_once(archive))
        assert not registry.calls
        await upload.abandon(UploadIncomplete("enough"))


async def test_the_blobs_of_a_bundle_wait_in_the_staging_repository(bench: Bench, registry: FakeRegistry) -> None:
    bench.staging_repository = "staging"
    archive = bundle({"team/app": {"1": oci_image(NOISE)}}, images={"docker.io": {"team/app": ["1"]}})
    async with at_work_early(bench) as service:
        job = await pushed(service, held_back(archive, registry.held), JobRequest(PushOptions()))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("mount_blob") >= 1
    assert registry.count("push_blob") == 5


LARGE = image({"bin/large": random.Random(5).randbytes(9 * MIB)})


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.push.early.early_push.MIN_FOLLOWED_BYTES", 3 * MIB)
    monkeypatch.setattr("app.push.early.early_push.LOOK_AHEAD", 5 * MIB // 2)


async def on_its_way(content: bytes, registry: FakeRegistry, error: Exception | None = None) -> AsyncIterator[bytes]:
    """The second half comes when the registry has got some of the first."""
    registry.gate = asyncio.Event()
    half = len(content) // 2
    async for chunk in at_once(content[:half]):
        yield chunk
    await asyncio.wait_for(registry.waiting.wait(), 20)
    registry.gate.set()
    if error is not None:
        raise error
    async for chunk in at_once(content[half:]):
        yield chunk


FOLLOWED = {
    "layout": oci_layout([entry(oci_image(LARGE, compression="gzip"))]),
    "podman": docker_save([LARGE], style="podman"),
    "docker25": docker_save([LARGE], style="docker25"),
}


@pytest.mark.parametrize("form", FOLLOWED)
@pytest.mark.usefixtures("following")
async def test_a_large_blob_is_sent_as_fast_as_it_comes(bench: Bench, registry: FakeRegistry, form: str) -> None:
    async with at_work_early(bench) as service:
        job = await pushed(service, on_its_way(FOLLOWED[form], registry))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 2
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes


@pytest.mark.usefixtures("following")
async def test_a_large_blob_that_does_not_come_to_its_end_leaves_nothing(bench: Bench, registry: FakeRegistry) -> None:
    broken = on_its_way(FOLLOWED["podman"], registry, UploadIncomplete("the line is cut"))
    async with at_work_early(bench) as service:
        with pytest.raises(UploadIncomplete):
            await pushed(service, broken)
        assert is_empty(registry)


@pytest.mark.usefixtures("following")
async def test_a_large_blob_that_is_wrong_never_arrives(bench: Bench, registry: FakeRegistry) -> None:
    content = bytearray(FOLLOWED["layout"])
    content[3 * MIB] ^= 1
    async with at_work_early(bench) as service:
        job = await pushed(service, on_its_way(bytes(content), registry))
    assert job.problem is not None
    assert job.problem.code == "digest_mismatch"
    assert not registry.tags
    assert len(registry.blobs) <= 1  # its config


@pytest.mark.usefixtures("following")
async def test_an_upload_that_stands_still_holds_no_lane_and_its_blob_goes_when_it_is_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Letting(FakeRegistry):
        left = asyncio.Event()

        async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
            try:
                return await super().push_blob(repository, content)
            finally:
                self.left.set()

    monkeypatch.setattr("app.push.early.early_push.STALL_SECONDS", 0.01)
    bench.registry = registry = Letting()
    content = FOLLOWED["layout"]
    half = len(content) // 2

    async def halting() -> AsyncIterator[bytes]:
        async for chunk in at_once(content[:half]):
            yield chunk
        await asyncio.wait_for(registry.left.wait(), 20)
        assert not registry.under_way
        async for chunk in at_once(content[half:]):
            yield chunk

    async with at_work_early(bench) as service:
        job = await pushed(service, halting())
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 3
    assert {digest for _, digest in registry.blobs} == {Digest.of(data) for data in registry.blobs.values()}


@pytest.mark.usefixtures("following")
async def test_a_large_blob_waits_for_no_upload_that_takes_its_time(bench: Bench, registry: FakeRegistry) -> None:
    resources = PushResources()
    while not resources.follow_slots.locked():
        await resources.follow_slots.acquire()
    async with at_work_early(bench, resources=resources) as service:
        job = await pushed(service, at_once(FOLLOWED["layout"]))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 2


@pytest.mark.usefixtures("following")
async def test_two_large_blobs_that_want_the_last_lane_at_once_arrive_both(
    bench: Bench, registry: FakeRegistry
) -> None:
    resources = PushResources(transfers=2)  # one of them may follow
    async with at_work_early(bench, resources=resources) as service, asyncio.TaskGroup() as group:
        requests = [JobRequest(PushOptions(tag=f"team/{name}:1")) for name in ("one", "two")]
        tasks = [group.create_task(pushed(service, at_once(FOLLOWED["podman"]), request)) for request in requests]
    assert [task.result().state for task in tasks] == [JobState.SUCCEEDED] * 2
    assert not resources.follow_slots.locked()


class Peeked:
    """A file whose opening takes its time."""

    size = 0

    def __init__(self) -> None:
        self.asked, self.may_go_on, self.closed = threading.Event(), threading.Event(), threading.Event()

    def __call__(self) -> Peeked:
        self.asked.set()
        self.may_go_on.wait(20)
        return self

    def read_at(self, offset: int, size: int) -> bytes:
        raise AssertionError

    def close(self) -> None:
        self.closed.set()


class Met:
    """An archive that begins with a blob."""

    def files_since(self, number: int) -> list[Member]:
        extent = Extent(512, MIB)
        return [Member(f"blobs/sha256/{'0' * 64}", MemberKind.FILE, extent, "")][number:]


async def test_a_file_that_is_opened_too_late_is_closed(bench: Bench) -> None:
    file, configured = Peeked(), bench.runtime().registries["default"]
    early = EarlyPushes(PushResources())
    job = Job.new(JobState.RECEIVING, bench.clock())
    push = early.start(job, REQUEST.options, configured, PartialArchive(0, file))
    assert push is not None
    push.on_data(Met())
    assert await asyncio.to_thread(file.asked.wait, 20)
    await early.cancel(job.id)
    file.may_go_on.set()
    assert await asyncio.to_thread(file.closed.wait, 20)


async def test_an_archive_that_has_come_before_the_first_look_at_it_is_no_fault(bench: Bench) -> None:
    def gone() -> OpenFile:
        raise SourceChanged("it is no longer being saved")

    push = EarlyPush(gone, PushResources(), None, lambda _: None, lambda _: None)
    push.target = EarlyTarget(bench.registry, "registry.test", "team/app", Compression.GZIP)
    push.on_data(Met())
    await push.run()
    assert not bench.registry.calls


async def test_an_upload_that_is_cancelled_at_its_first_byte_sends_nothing(
    bench: Bench, registry: FakeRegistry
) -> None:
    """The cancel comes while it is looked whether there is room."""
    service: JobService
    runtime = bench.runtime()

    class Cancelling(DiskSpool):
        def check_space(self, size: int) -> None:
            (job,) = asyncio.run_coroutine_threadsafe(service.page(), loop).result(20)[0]
            asyncio.run_coroutine_threadsafe(service.cancel(job.id), loop).result(20)

    loop, resources = asyncio.get_running_loop(), PushResources()
    runtime = replace(
        runtime, spool=Cancelling(bench.root / "spool"), resources=resources, early=EarlyPushes(resources)
    )
    async with run_job_service(runtime, keep=timedelta(days=1)) as service:
        with pytest.raises(Conflict):
            await pushed(service, at_once(LAYOUT))
    assert not registry.calls
