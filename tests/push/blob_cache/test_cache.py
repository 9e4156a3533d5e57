"""What is remembered of layers spares the reading; what it says of registries is believed by nobody."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable, Mapping, Sequence

import pytest

from app.archive import Compression
from app.errors import RegistryDenied, RegistryRejected
from app.oci import Digest
from app.oci.media_types import OCI_CONFIG, OCI_LAYER_GZIP
from app.push import ImageState, Outcome, PushResources, execute
from app.push.blob_cache import cache as memory_module
from app.push.blob_cache.cache import KnownBlob
from tests.push.given import Run, prepared
from tests.support.archives import (
    OCI_MANIFEST,
    Compress,
    Node,
    descriptor,
    docker_save,
    entry,
    image,
    image_of,
    oci_image,
    oci_layout,
    sha256,
    tagged,
    to_json,
)
from tests.support.fake_registry import FakeRegistry

LARGE = b"large layer " * 800_000  # above what is compressed in memory first
LAYERS = (b"base", LARGE)
TAR = docker_save([tagged(image_of(LAYERS), "app:1")])


class DictMemory:
    """A Memory that counts."""

    def __init__(self) -> None:
        self.found: dict[Digest, KnownBlob] = {}
        self.asked = self.told = 0

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]:
        assert registry == "registry.local:5000"
        self.asked += 1
        return {id_: self.found[id_] for id_ in diff_ids if id_ in self.found}

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None:
        assert registry == "registry.local:5000"
        self.told += 1
        self.found |= found


async def pushed(
    registry: FakeRegistry, memory: DictMemory, tag: str, compression: str = "gzip", archive: bytes = TAR
) -> Run:
    run = prepared(archive, tag=tag, layer_compression=compression)
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert run.states == [ImageState.PUSHED]
    return run


async def learnt() -> tuple[FakeRegistry, DictMemory]:
    registry, memory = FakeRegistry(), DictMemory()
    await pushed(registry, memory, "app:1")
    registry.calls.clear()
    return registry, memory


def read_of(run: Run) -> int:
    return run.sources[0].bytes_read


async def test_another_tag_of_known_layers_reads_none_and_sends_none() -> None:
    registry, memory = await learnt()
    run = await pushed(registry, memory, "app:2")
    assert read_of(run) == len(image_of(LAYERS).config)
    assert registry.count("push_blob", "mount_blob") == 0
    assert registry.count("blob_exists") == 3
    assert registry.manifest("app", "2") == registry.manifest("app", "1")


async def test_another_repository_has_known_layers_mounted() -> None:
    registry, memory = await learnt()
    run = await pushed(registry, memory, "other:1")
    assert read_of(run) < len(LARGE) // 100
    assert len(run.outcomes(Outcome.MOUNTED)) == 3  # the config too, however small
    assert registry.count("push_blob") == 0
    assert {found_item.repository for found_item in memory.found.values()} == {"other"}


STORED = random.Random(1).randbytes(100_000)
LAYOUT = oci_layout([entry(oci_image(image({"bin/app": STORED})))])


async def test_a_blob_of_a_layout_is_mounted_from_where_it_was_pushed_to() -> None:
    registry, memory = FakeRegistry(), DictMemory()
    await pushed(registry, memory, "app:1", archive=LAYOUT)
    registry.calls.clear()
    run = await pushed(registry, memory, "other:1", archive=LAYOUT)
    assert len(run.outcomes(Outcome.MOUNTED)) == 2
    assert registry.count("push_blob") == 0
    assert read_of(run) < len(STORED) // 10


@pytest.mark.parametrize(
    ("archive", "compression"),
    [
        (docker_save([tagged(image_of(LAYERS), "app:1")], style="crane"), "gzip"),
        (docker_save([tagged(image_of(LAYERS), "app:1")], compress="gzip"), "zstd"),
        (docker_save([tagged(image_of(LAYERS), "app:1")], compress="zstd"), "gzip"),
        (TAR, "none"),
    ],
)
async def test_a_layer_that_stays_as_it_is_in_a_docker_archive_is_mounted_too(archive: bytes, compression: str) -> None:
    registry, memory = FakeRegistry(), DictMemory()
    await pushed(registry, memory, "app:1", compression, archive)
    registry.calls.clear()
    run = await pushed(registry, memory, "other:1", compression, archive)
    assert len(run.outcomes(Outcome.MOUNTED)) == 3
    assert registry.count("push_blob") == 0
    registry.blobs.clear()
    await pushed(registry, memory, "third:1", compression, archive)
    assert {repository for repository, _ in registry.blobs} == {"third"}


async def test_a_blob_of_a_layout_that_has_gone_from_there_is_sent() -> None:
    registry, memory = FakeRegistry(), DictMemory()
    await pushed(registry, memory, "app:1", archive=LAYOUT)
    registry.blobs.clear()
    await pushed(registry, memory, "other:1", archive=LAYOUT)
    assert {repository for repository, _ in registry.blobs} == {"other"}
    assert len(registry.blobs) == 2


@pytest.mark.parametrize("repository", ["app", "other"])
@pytest.mark.parametrize("changed", [b'"linux"', b"small layer"])
async def test_a_small_blob_that_is_wrong_in_the_archive_is_found_though_the_registry_has_it(
    changed: bytes, repository: str
) -> None:
    layout = oci_layout([entry(oci_image(image_of([b"small layer"]), compression="none"))])
    registry, memory = FakeRegistry(), DictMemory()
    await pushed(registry, memory, "app:1", archive=layout)
    run = prepared(layout.replace(changed, changed.upper()), tag=f"{repository}:2")
    registry.manifests.clear()
    registry.tags.clear()
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert run.problem().code == "digest_mismatch"
    assert registry.count("push_blob") == 2
    assert not registry.manifests


async def test_a_memory_that_says_another_digest_of_a_stored_blob_is_not_believed() -> None:
    registry, memory = FakeRegistry(), DictMemory()
    await pushed(registry, memory, "app:1", archive=LAYOUT)
    digest, known = max(memory.found.items(), key=lambda item: item[1].size)
    other = b"something else"
    registry.blobs["app", Digest.of(other)] = other
    memory.found[digest] = KnownBlob(Digest.of(other), len(other), known.repository)
    await pushed(registry, memory, "other:1", archive=LAYOUT)
    assert ("other", digest) in registry.blobs
    assert ("other", Digest.of(other)) not in registry.blobs


async def test_what_is_there_already_asks_no_memory() -> None:
    registry, memory = await learnt()
    memory.asked = 0
    run = prepared(TAR, tag="app:1")
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert run.states == [ImageState.ALREADY_PRESENT]
    assert memory.asked == 0


async def test_a_registry_that_was_emptied_is_sent_all_anew() -> None:
    _, memory = await learnt()
    emptied = FakeRegistry()
    run = await pushed(emptied, memory, "app:1")
    assert emptied.count("push_blob") == 3
    assert read_of(run) >= len(LARGE)


async def test_a_layer_that_was_deleted_there_is_sent_and_the_others_are_not() -> None:
    registry, memory = await learnt()
    gone = max(memory.found.values(), key=lambda each: each.size)
    del registry.blobs["app", gone.digest]
    await pushed(registry, memory, "app:2")
    assert registry.count("push_blob") == 1
    assert ("app", gone.digest) in registry.blobs


async def test_a_repository_that_was_deleted_is_no_place_to_mount_from() -> None:
    registry, memory = await learnt()
    registry.blobs.clear()
    await pushed(registry, memory, "other:1")
    assert registry.count("push_blob") == 3
    assert {repository for repository, _ in registry.blobs} == {"other"}


async def test_a_layer_that_an_encoder_of_another_release_made_is_used_while_it_is_there_and_replaced_after() -> None:
    registry, memory = await learnt()
    (diff_id, made), *_ = sorted(memory.found.items(), key=lambda item: -item[1].size)
    other = b"as another release compressed it"
    earlier = KnownBlob(Digest.of(other), len(other), "app")
    memory.found[diff_id] = earlier
    registry.blobs["app", earlier.digest] = other
    await pushed(registry, memory, "app:2")
    assert str(earlier.digest).encode() in registry.manifest("app", "2")
    del registry.blobs["app", earlier.digest], registry.blobs["app", made.digest]
    await pushed(registry, memory, "app:3")
    assert memory.found[diff_id] == made
    assert str(made.digest).encode() in registry.manifest("app", "3")


async def test_layers_compressed_one_way_say_nothing_of_another() -> None:
    registry, memory = await learnt()
    run = prepared(TAR, tag="app:plain", layer_compression="none")
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert run.states == [ImageState.PUSHED]
    assert len(run.outcomes(Outcome.PUSHED)) == 2  # all but the config


async def test_a_registry_that_says_it_has_a_layer_and_then_refuses_the_manifest_is_sent_it() -> None:
    registry, memory = await learnt()
    gone = max(memory.found.values(), key=lambda each: each.size)

    class Forgetful(FakeRegistry):
        async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
            return (await super().blob_exists(repository, digest, size)) or digest == gone.digest

        def _admit(self, repository: str, descriptor: object, raw: bytes) -> None:
            try:
                super()._admit(repository, descriptor, raw)  # type: ignore[arg-type]
            except RegistryRejected as error:
                raise type(error)(str(error), missing=(str(gone.digest),)) from None

    forgetful = Forgetful()
    forgetful.blobs = {key: data for key, data in registry.blobs.items() if key[1] != gone.digest}
    await pushed(forgetful, memory, "app:2")
    assert forgetful.count("push_blob") == 1


async def test_what_was_learnt_is_kept_where_the_push_fails() -> None:
    registry, memory = FakeRegistry(), DictMemory()
    registry.fail("push_manifest", RegistryDenied("no"))
    run = prepared(TAR)
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert run.states == [ImageState.FAILED]
    assert len(memory.found) == 3


async def test_much_that_is_learnt_is_told_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "FLUSH_COUNT", 2)
    memory = DictMemory()
    run = prepared(docker_save([tagged(image(*({f"f{n}": b"x"} for n in range(5))), "app:1")]))
    await execute(run.plan, run.sources, FakeRegistry(), run.events.append, resources=PushResources(blob_cache=memory))
    assert memory.told > 2
    assert len(memory.found) == 6


def manifest_of(config: bytes, layers: Sequence[bytes]) -> Node:
    """Return an image with this config, whatever its layers are."""
    members = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER_GZIP, layer) for layer in layers],
    }
    return Node(to_json(members), OCI_MANIFEST, {sha256(blob): blob for blob in (config, *layers)})


@pytest.mark.parametrize("compress", ["none", "gzip"])
@pytest.mark.parametrize("merge", [False, True])
async def test_what_a_manifest_says_of_a_layer_is_not_learned(compress: Compress, merge: bool) -> None:
    """Anybody who may push to one repository could otherwise choose the layers of images in all others."""
    registry, memory = FakeRegistry(), DictMemory()
    sample = image_of((b"base layer", b"second layer"))
    evil = [gzip.compress(b"evil one"), gzip.compress(b"evil two")]
    await pushed(registry, memory, "mine:1", archive=oci_layout([entry(manifest_of(sample.config, evil))]))
    both = docker_save([tagged(sample, "mine:1", "theirs:1")], compress=compress)
    how = "merge-with-retain" if merge else "overwrite"
    run = prepared(both, rename=["mine:1=mine:1", "theirs:1=theirs:1"], on_existing_tag=how)
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert run.states == [ImageState.PUSHED]
    await pushed(registry, memory, "prod:1", archive=docker_save([tagged(sample, "prod:1")]))
    learned = {found.digest for found in memory.found.values() if found.repository != "mine"}
    for blob in evil:
        assert Digest.of(blob) not in learned
        assert sha256(blob).encode() not in registry.manifest("theirs", "1") + registry.manifest("prod", "1")


async def test_a_layer_that_was_learned_is_mounted_from_where_its_image_is() -> None:
    registry, memory = await learnt()
    run = prepared(
        docker_save([tagged(image_of(LAYERS), "app:1", "other:1")]), rename=["app:1=app:1", "other:1=other:1"]
    )
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(blob_cache=memory))
    assert registry.count("push_blob") == 0
    assert registry.manifest("other", "1") == registry.manifest("app", "1")
