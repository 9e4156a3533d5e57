"""What every Registry promises, whatever stands behind it. A new adapter adds its factory to ADAPTERS and is held to
all of this."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.errors import DigestMismatch, RegistryError, RegistryRejected, SizeMismatch
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest, media_types
from app.registry import MAX_CONFIG_BYTES, Registry
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import Verification, VerifyingRegistry
from tests.registry.vendors import VENDORS
from tests.registry.vendors.nexus import Nexus
from tests.registry.vendors.pushing import at_home, opened
from tests.registry.vendors.vendor import Vendor
from tests.support.blob_content import BytesContent, EndlessContent, FailingContent, LyingContent, UndecidedContent
from tests.support.docker_registry import DockerRegistry
from tests.support.lapse import Lapse
from tests.support.memory_registry import MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, served

Factory = Callable[[Path], AbstractAsyncContextManager[Registry]]


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[Registry]:
    async with MemoryRegistry().client() as registry:
        yield registry


@asynccontextmanager
async def docker(folder: Path) -> AsyncIterator[Registry]:
    with DockerRegistry(folder) as server:
        async with HttpRegistry(HttpRegistrySettings(parse_registry_url(server.address, "url"))) as registry:
            yield registry


@asynccontextmanager
async def retrying(folder: Path) -> AsyncIterator[Registry]:
    async with MemoryRegistry().client() as registry:
        yield RetryingRegistry(registry, pause=Lapse().pause)


@asynccontextmanager
async def layout(folder: Path) -> AsyncIterator[Registry]:
    yield LayoutRegistry(folder)


@asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[Registry]:
    """The registry in memory, over sockets."""
    faithful = MemoryRegistry()
    async with (
        ScriptedRegistry(route=lambda seen: served(faithful)) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"))) as registry,
    ):
        yield VerifyingRegistry(registry, Verification.BLOBS)


def at(vendor: type[Vendor]) -> Factory:
    """Return the registry of a vendor as the application opens it; `team` stands for the project that exists there."""

    @asynccontextmanager
    async def factory(folder: Path) -> AsyncIterator[Registry]:
        async with opened(vendor()) as ground, ground.client() as registry:
            yield at_home(registry, vendor.home)

    factory.__name__ = vendor.__name__
    return factory


class AnyContent(Nexus):
    """Without strict content type validation, which is a setting of a repository."""

    strict = False


AT_VENDORS = tuple(at(AnyContent if vendor is Nexus else vendor) for vendor in VENDORS)


@dataclass(frozen=True, slots=True)
class Traits:
    """How an adapter keeps a promise in which registries differ. `mounts`: it mounts blobs. `notes`: it takes note of
    a manifest's subject. `names`: it says which blob is missing. `streams`: it takes a body of unknown length."""

    mounts: bool = True
    notes: bool = True
    names: bool = True
    streams: bool = True


TRAITS = {
    "docker": Traits(notes=False),
    "GitLab": Traits(notes=False),
    "AnyContent": Traits(mounts=False, notes=False),
    "Quay": Traits(notes=False),
    "Gitea": Traits(notes=False, names=False),
    "Forgejo": Traits(notes=False, names=False),
    "Zot": Traits(names=False),
    "Ecr": Traits(mounts=False),
    "Acr": Traits(streams=False),
    "Gar": Traits(notes=False),
    "Ghcr": Traits(notes=False),
}
ADAPTERS: tuple[Factory, ...] = (memory, docker, retrying, layout, scripted, *AT_VENDORS)


@pytest.fixture(params=ADAPTERS, ids=lambda factory: factory.__name__)
def factory(request: pytest.FixtureRequest) -> Factory:
    found: Factory = request.param
    return found


@pytest.fixture
async def registry(factory: Factory, tmp_path: Path) -> AsyncIterator[Registry]:
    async with factory(tmp_path / "registry") as adapter:
        yield adapter


@pytest.fixture
def traits(factory: Factory) -> Traits:
    return TRAITS.get(factory.__name__, Traits())


def absent(text: str) -> Digest:
    return Digest.of(text.encode())


async def an_image(registry: Registry, repository: str, text: str = "image") -> tuple[Descriptor, bytes]:
    """Blobs in place; the manifest is returned, not yet pushed."""
    config, layer = BytesContent(json.dumps({"text": text}).encode()), BytesContent(b"layer of " + text.encode())
    members = []
    for media_type, content in ((media_types.OCI_CONFIG, config), (media_types.OCI_LAYER, layer)):
        digest, size = await registry.push_blob(repository, content)
        members.append({"mediaType": media_type, "digest": str(digest), "size": size})
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, "config": members[0], "layers": members[1:]}
    return described(json.dumps(document, indent=3).encode(), media_types.OCI_MANIFEST)


def described(raw: bytes, media_type: str) -> tuple[Descriptor, bytes]:
    return Descriptor(media_type, Digest.of(raw), len(raw)), raw


async def test_a_blob_is_there_once_it_was_pushed_and_not_before(registry: Registry) -> None:
    content = BytesContent(b"some layer")
    assert not await registry.blob_exists("team/app", absent("some layer"))
    assert await registry.push_blob("team/app", content) == (absent("some layer"), 10)
    assert await registry.blob_exists("team/app", absent("some layer"))


async def test_a_blob_of_unknown_digest_is_stored_under_the_one_it_turns_out_to_have(registry: Registry) -> None:
    content = BytesContent(b"made while it is sent" * 1000, known=False, cut=4096)
    digest, size = await registry.push_blob("team/app", content)
    assert (digest, size) == (Digest.of(content.data), len(content.data))
    assert await registry.blob_exists("team/app", digest)


async def test_an_empty_blob_and_one_of_many_chunks_arrive(registry: Registry) -> None:
    for content in (BytesContent(b""), BytesContent(b"x", known=False), BytesContent(bytes(3_000_000), cut=70_001)):
        digest, size = await registry.push_blob("team/app", content)
        assert size == content.sent == len(content.data)
        assert await registry.blob_exists("team/app", digest)


@pytest.mark.parametrize("known", [True, False])
async def test_what_may_not_be_wanted_becomes_no_blob_before_it_is_known(
    registry: Registry, traits: Traits, known: bool
) -> None:
    content = UndecidedContent(b"0123456789", known=known)
    pushing = asyncio.create_task(registry.push_blob("team/app", content))
    await asyncio.wait_for(content.asked.wait(), 20)
    assert content.reads == (1 if known or traits.streams else 2)  # its bytes have gone
    async with asyncio.timeout(20):
        while content.held:  # the thread that wrote the last one may be about to let go of it
            await asyncio.sleep(0)
    assert not await registry.blob_exists("team/app", absent("0123456789"))
    content.word.set()
    assert await pushing == (absent("0123456789"), 10)
    assert await registry.blob_exists("team/app", absent("0123456789"))


async def test_what_turns_out_not_to_be_wanted_never_becomes_a_blob(registry: Registry) -> None:
    content = UndecidedContent(b"0123456789")
    pushing = asyncio.create_task(registry.push_blob("team/app", content))
    await asyncio.wait_for(content.asked.wait(), 20)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    assert not await registry.blob_exists("team/app", absent("0123456789"))


async def test_a_blob_can_be_pushed_twice(registry: Registry) -> None:
    content = BytesContent(b"again")
    assert await registry.push_blob("team/app", content) == await registry.push_blob("team/app", content)


async def test_a_blob_is_mounted_from_a_repository_that_has_it(registry: Registry, traits: Traits) -> None:
    digest, _ = await registry.push_blob("team/one", BytesContent(b"shared"))
    assert await registry.mount_blob("team/two", digest, "team/one") == traits.mounts
    assert await registry.blob_exists("team/two", digest) or not traits.mounts


async def test_mounting_what_is_not_there_is_no_error(registry: Registry) -> None:
    assert not await registry.mount_blob("team/two", absent("nothing"), "team/one")


async def test_wrong_content_is_refused_with_its_own_error_and_never_stored(registry: Registry) -> None:
    content = FailingContent(b"0123456789", DigestMismatch("the layer is not what it should be"))
    with pytest.raises(DigestMismatch, match="not what it should be"):
        await registry.push_blob("team/app", content)
    assert not await registry.blob_exists("team/app", Digest.of(b"0123456789"))


@pytest.mark.parametrize("stated", [3, 9, 11, 40])
async def test_content_of_another_size_than_stated_is_never_stored(registry: Registry, stated: int) -> None:
    with pytest.raises(SizeMismatch):
        await registry.push_blob("team/app", LyingContent(b"0123456789", stated))
    assert not await registry.blob_exists("team/app", Digest.of(b"0123456789"))


async def test_a_cancelled_blob_is_not_stored(registry: Registry) -> None:
    content = EndlessContent(b"0123456789")
    pushing = asyncio.create_task(registry.push_blob("team/app", content))
    await content.begun.wait()
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    assert not await registry.blob_exists("team/app", Digest.of(b"0123456789"))


async def test_a_manifest_comes_back_byte_for_byte_under_its_tag_and_its_digest(registry: Registry) -> None:
    descriptor, raw = await an_image(registry, "team/app")
    assert await registry.find_manifest("team/app", "1.0") is None
    assert await registry.read_manifest("team/app", "1.0") is None
    await registry.push_manifest("team/app", "1.0", (descriptor, raw))
    for reference in ("1.0", str(descriptor.digest)):
        assert await registry.find_manifest("team/app", reference) == descriptor.digest
        stored = await registry.read_manifest("team/app", reference)
        assert stored is not None
        assert (stored.raw, stored.digest, stored.media_type) == (raw, descriptor.digest, descriptor.media_type)


async def test_a_manifest_can_be_pushed_by_digest_alone(registry: Registry) -> None:
    descriptor, raw = await an_image(registry, "team/app")
    await registry.push_manifest("team/app", str(descriptor.digest), (descriptor, raw))
    assert await registry.find_manifest("team/app", str(descriptor.digest)) == descriptor.digest


async def test_a_tag_moves_to_the_manifest_that_was_pushed_last(registry: Registry) -> None:
    first, second = await an_image(registry, "team/app", "first"), await an_image(registry, "team/app", "second")
    for manifest in (first, second, second):
        await registry.push_manifest("team/app", "latest", manifest)
    assert await registry.find_manifest("team/app", "latest") == second[0].digest


async def test_an_index_is_pushed_after_its_children(registry: Registry) -> None:
    descriptor, raw = await an_image(registry, "team/app")
    await registry.push_manifest("team/app", str(descriptor.digest), (descriptor, raw))
    child = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [child]}
    index = described(json.dumps(document).encode(), media_types.OCI_INDEX)
    await registry.push_manifest("team/app", "multi", index)
    stored = await registry.read_manifest("team/app", "multi")
    assert stored is not None
    assert (stored.media_type, stored.raw) == (media_types.OCI_INDEX, index[1])


async def test_a_manifest_whose_blobs_are_missing_is_refused(registry: Registry, traits: Traits) -> None:
    blob = {"mediaType": media_types.OCI_CONFIG, "digest": str(absent("config")), "size": 6}
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, "config": blob, "layers": []}
    with pytest.raises(RegistryError, match=str(absent("config")) if traits.names else None):
        await registry.push_manifest(
            "team/app", "1", described(json.dumps(document).encode(), media_types.OCI_MANIFEST)
        )
    assert await registry.find_manifest("team/app", "1") is None


async def test_what_is_in_one_repository_is_not_tagged_in_another(registry: Registry) -> None:
    manifest = await an_image(registry, "team/one")
    await registry.push_manifest("team/one", "1", manifest)
    assert await registry.find_manifest("team/two", "1") is None
    assert await registry.read_manifest("team/two", "1") is None


async def test_many_verbs_may_run_at_once(registry: Registry) -> None:
    contents = [BytesContent(f"blob {number}".encode()) for number in range(12)]
    async with asyncio.TaskGroup() as group:
        for content in contents:
            group.create_task(registry.push_blob("team/app", content))
    assert all([await registry.blob_exists("team/app", Digest.of(content.data)) for content in contents])


async def test_a_config_is_read_back_verified(registry: Registry) -> None:
    content = BytesContent(b'{"os":"linux"}')
    digest, size = await registry.push_blob("team/app", content)
    await registry.push_manifest("team/app", "1", await an_image(registry, "team/app"))
    config = Descriptor(media_types.OCI_CONFIG, digest, size)
    assert await registry.read_config("team/app", config) == content.data
    assert await registry.read_config("team/app", replace(config, digest=absent("config"))) is None
    with pytest.raises(RegistryError, match="damaged"):
        await registry.read_config("team/app", replace(config, size=size - 1))


async def test_a_config_of_absurd_size_is_not_read(registry: Registry) -> None:
    config = Descriptor(media_types.OCI_CONFIG, absent("config"), MAX_CONFIG_BYTES + 1)
    with pytest.raises(RegistryRejected, match=str(config.size)):
        await registry.read_config("team/app", config)


async def test_a_manifest_without_a_subject_is_never_taken_note_of(registry: Registry) -> None:
    assert not await registry.push_manifest("team/app", "1", await an_image(registry, "team/app"))


async def test_a_registry_that_takes_note_of_a_subject_says_so(registry: Registry, traits: Traits) -> None:
    """distribution 2.8 takes the manifest and no note."""
    subject = await an_image(registry, "team/app")
    await registry.push_manifest("team/app", "1", subject)
    _, raw = await an_image(registry, "team/app", "referrer")
    described_subject = {"mediaType": subject[0].media_type, "digest": str(subject[0].digest), "size": subject[0].size}
    document = {**json.loads(raw), "subject": described_subject}
    manifest = described(json.dumps(document).encode(), media_types.OCI_MANIFEST)
    noted = await registry.push_manifest("team/app", str(manifest[0].digest), manifest)
    assert noted == traits.notes
