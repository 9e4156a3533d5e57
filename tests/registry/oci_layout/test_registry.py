from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import InvalidReference, RegistryFault, RegistryRejected
from app.oci import Descriptor, Digest, media_types
from app.registry.oci_layout import adoption as layout_adoption
from app.registry.oci_layout.registry import LayoutRegistry
from tests.registry.oci_layout.landing import described, land, land_blobs
from tests.support.archives import Node, digest_of, image, oci_artifact, oci_image, oci_index, to_json
from tests.support.blob_content import BytesContent, EndlessContent

APP = oci_image(image({"bin/app": b"one"}, {"etc/app": b"two"}))
OTHER = oci_image(image({"bin/app": b"another"}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def layout(root: Path) -> LayoutRegistry:
    return LayoutRegistry(root)


def digest_named(node: Node) -> Digest:
    return Digest.parse(node.digest)


def stored_blobs(root: Path) -> list[Path]:
    return [path for path in (root / "blobs").rglob("*") if path.is_file()]


def write_index(root: Path, node: Node, name: str) -> None:
    """An entry as another tool writes it; children and blobs are put in place."""
    entry = node.descriptor | {"annotations": {"org.opencontainers.image.ref.name": name}}
    for digest, data in node.content.items():
        algorithm, _, encoded = digest.partition(":")
        (root / "blobs" / algorithm / encoded).write_bytes(data)
    (root / "new").write_bytes(to_json({"schemaVersion": 2, "manifests": [entry]}))
    (root / "new").rename(root / "index.json")


async def test_skopeo_reads_an_image_from_the_layout_by_its_full_name(
    layout: LayoutRegistry, root: Path, tmp_path: Path, skopeo: str
) -> None:
    await land(layout, "library/x", APP, "1", "latest")
    await land(layout, "team/other", OTHER, "1")
    for name, node in (("library/x:1", APP), ("library/x:latest", APP), ("team/other:1", OTHER)):
        target = tmp_path / name.replace("/", "-").replace(":", "-")
        command = [skopeo, "copy", "--insecure-policy", f"oci:{root}:{name}", f"dir:{target}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert (target / "manifest.json").read_bytes() == node.raw


async def test_what_skopeo_writes_into_the_layout_can_be_pulled(
    layout: LayoutRegistry, root: Path, tmp_path: Path, skopeo: str
) -> None:
    await land(LayoutRegistry(tmp_path / "source"), "a", APP, "1")
    command = [skopeo, "copy", "--insecure-policy", f"oci:{tmp_path / 'source'}:a:1", f"oci:{root}:library/x:2"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert await layout.find_manifest("library/x", "2") == digest_named(APP)


async def test_fifty_pushes_of_one_blob_at_once_leave_one_blob_and_nothing_else(
    layout: LayoutRegistry, root: Path
) -> None:
    data = b"shared layer" * 10_000
    async with asyncio.TaskGroup() as group:
        pushes = [
            group.create_task(layout.push_blob(f"team/app{n}", BytesContent(data, cut=30_000))) for n in range(50)
        ]
    assert {push.result() for push in pushes} == {(Digest.of(data), len(data))}
    assert [path.read_bytes() for path in stored_blobs(root)] == [data]
    assert list((root / ".incoming").iterdir()) == []


async def test_fifty_tags_at_once_all_land_through_several_instances(layout: LayoutRegistry, root: Path) -> None:
    instances = [layout, LayoutRegistry(root), LayoutRegistry(root)]
    for instance in instances:
        await land_blobs(instance, "team/app", APP)
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(instances[number % 3].push_manifest("team/app", f"t{number:02}", described(APP)))
    expected = [f"t{number:02}" for number in range(50)]
    assert [await instance.tags("team/app") for instance in (*instances, LayoutRegistry(root))] == [expected] * 4


async def test_tags_that_wait_for_each_other_are_written_at_once(
    layout: LayoutRegistry, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await land_blobs(layout, "team/app", APP)
    writes: list[bytes] = []
    replace_index = layout.files.replace_index

    def counted(raw: bytes) -> object:
        writes.append(raw)
        return replace_index(raw)

    monkeypatch.setattr(layout.files, "replace_index", counted)
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(layout.push_manifest("team/app", f"t{number}", described(APP)))
    assert len(await LayoutRegistry(root).tags("team/app") or ()) == 40
    assert len(writes) < 40


async def test_one_push_that_cannot_be_written_does_not_take_others_with_it(
    layout: LayoutRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await land_blobs(layout, "team/app", APP)
    replace_index, failures = layout.files.replace_index, [RegistryFault("no room left")]

    def fail_once(raw: bytes) -> object:
        if failures:
            raise failures.pop()
        return replace_index(raw)

    monkeypatch.setattr(layout.files, "replace_index", fail_once)
    pushes = (layout.push_manifest("team/app", f"t{number}", described(APP)) for number in range(10))
    results = await asyncio.gather(*pushes, return_exceptions=True)
    assert [str(result) for result in results if isinstance(result, BaseException)] == ["no room left"]
    assert len(await layout.tags("team/app") or ()) == 9


async def test_a_push_that_is_cancelled_while_it_waits_is_not_written(layout: LayoutRegistry, root: Path) -> None:
    await land_blobs(layout, "team/app", APP)
    async with layout._write_lock:
        push = asyncio.create_task(layout.push_manifest("team/app", "1", described(APP)))
        while not layout._waiting:
            await asyncio.sleep(0)
        push.cancel()
        with pytest.raises(asyncio.CancelledError):
            await push
    await land(layout, "team/app", APP, "2")
    assert await LayoutRegistry(root).tags("team/app") == ["2"]


async def test_a_cancelled_blob_leaves_no_file(layout: LayoutRegistry, root: Path) -> None:
    content = EndlessContent(b"0123456789")
    push = asyncio.create_task(layout.push_blob("team/app", content))
    await content.begun.wait()
    push.cancel()
    with pytest.raises(asyncio.CancelledError):
        await push
    assert list((root / ".incoming").iterdir()) == []
    assert stored_blobs(root) == []


async def test_an_instance_sees_what_another_wrote(layout: LayoutRegistry, root: Path) -> None:
    await land(layout, "team/app", APP, "1")
    other = LayoutRegistry(root)
    await land(other, "team/app", OTHER, "1")
    assert await layout.find_manifest("team/app", "1") == digest_named(OTHER)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_an_image_of_either_algorithm_lands(layout: LayoutRegistry, algorithm: str) -> None:
    node = oci_image(image({"a": b"b"}), algorithm=algorithm)
    for digest, data in node.blobs.items():
        assert await layout.push_blob("r", Announced(data, Digest.parse(digest))) == (Digest.parse(digest), len(data))
    await layout.push_manifest("r", "1", described(node))
    assert await layout.find_manifest("r", "1") == digest_named(node)


class Announced(BytesContent):
    """Bytes under a digest of our choice."""

    def __init__(self, data: bytes, digest: Digest) -> None:
        super().__init__(data)
        self.announced = digest

    @property
    def digest(self) -> Digest:
        return self.announced


async def test_an_index_may_lack_children_and_an_image_no_layers(layout: LayoutRegistry) -> None:
    """What a job may lack is its plan's to say; whoever asks for a child that is not here is told so."""
    index = oci_index([APP, OTHER])
    await land(layout, "r", APP, "app")
    await layout.push_manifest("r", "1", described(index))
    assert await layout.find_manifest("r", "1") == digest_named(index)
    assert await layout.find_manifest("r", APP.digest) == digest_named(APP)
    assert await layout.find_manifest("r", OTHER.digest) is None
    with pytest.raises(RegistryRejected, match="MANIFEST_BLOB_UNKNOWN"):
        await layout.push_manifest("r", "2", described(OTHER))


async def test_a_message_names_the_first_missing_blobs_and_counts_the_rest(layout: LayoutRegistry) -> None:
    node = oci_image(image({"a": b"1"}, {"b": b"2"}, {"c": b"3"}, {"d": b"4"}))
    with pytest.raises(RegistryRejected, match=r"MANIFEST_BLOB_UNKNOWN.* and 2 more"):
        await layout.push_manifest("r", "1", described(node))


async def test_a_subject_may_be_missing(layout: LayoutRegistry) -> None:
    await land(layout, "r", oci_artifact(b"signature", subject=APP), "1")
    assert await layout.tags("r") == ["1"]


async def test_a_foreign_layer_that_is_to_be_had_elsewhere_may_be_missing(layout: LayoutRegistry) -> None:
    config = b"{}"
    await layout.push_blob("r", BytesContent(config))

    def manifest(**more: object) -> tuple[Descriptor, bytes]:
        layer = {"mediaType": media_types.DOCKER_FOREIGN_LAYER, "digest": digest_of(b"windows"), "size": 7, **more}
        described_config = {"mediaType": media_types.DOCKER_CONFIG, "digest": digest_of(config), "size": 2}
        members = {"schemaVersion": 2, "config": described_config, "layers": [layer]}
        return described(Node(to_json(members), media_types.DOCKER_MANIFEST))

    await layout.push_manifest("r", "1", manifest(urls=["https://example.com/layer"]))
    with pytest.raises(RegistryRejected, match="MANIFEST_BLOB_UNKNOWN"):
        await layout.push_manifest("r", "2", manifest())


async def test_a_manifest_with_a_wrong_size_in_it_is_refused(layout: LayoutRegistry) -> None:
    await layout.push_blob("r", BytesContent(b"{}"))
    config = {"mediaType": media_types.OCI_CONFIG, "digest": digest_of(b"{}"), "size": 3}
    node = Node(to_json({"schemaVersion": 2, "config": config, "layers": []}), media_types.OCI_MANIFEST)
    with pytest.raises(RegistryRejected, match=rf"states 3 bytes for {digest_of(b'{}')}, which has 2"):
        await layout.push_manifest("r", "1", described(node))


async def test_a_manifest_that_is_not_what_it_was_announced_as_is_refused(layout: LayoutRegistry) -> None:
    await land_blobs(layout, "r", APP)
    descriptor, raw = described(APP)
    with pytest.raises(RegistryRejected, match="DIGEST_INVALID"):
        await layout.push_manifest("r", "1", (descriptor, raw + b" "))
    with pytest.raises(RegistryRejected, match="DIGEST_INVALID"):
        await layout.push_manifest("r", OTHER.digest, (descriptor, raw))
    with pytest.raises(RegistryRejected, match="MANIFEST_INVALID"):
        await layout.push_manifest("r", "1", described(Node(b"[]", media_types.OCI_MANIFEST)))
    assert await layout.repositories() == []


async def test_a_name_never_becomes_a_path(layout: LayoutRegistry) -> None:
    for name in ("../up", "/etc", "Upper", "a//b", ""):
        with pytest.raises(InvalidReference):
            await layout.blob_exists(name, digest_named(APP))
        with pytest.raises(InvalidReference):
            await layout.push_blob(name, BytesContent(b""))
        with pytest.raises(InvalidReference):
            await layout.mount_blob("fine", digest_named(APP), name)
        with pytest.raises(InvalidReference):
            await layout.push_manifest(name, "1", described(APP))
        with pytest.raises(InvalidReference):
            await layout.find_manifest(name, "1")
        with pytest.raises(InvalidReference):
            await layout.read_manifest(name, "1")
    with pytest.raises(InvalidReference):
        await layout.push_manifest("fine", "../tag", described(APP))


@pytest.mark.parametrize("reference", [".INVALID", "sha256:short", "", "sha256:", "a:b", OTHER.digest])
async def test_a_reference_that_can_name_nothing_names_nothing(layout: LayoutRegistry, reference: str) -> None:
    await land(layout, "r", APP, "1")
    assert await layout.find_manifest("r", reference) is None
    assert await layout.read_manifest("r", reference) is None


async def test_a_manifest_of_one_repository_is_not_in_another(layout: LayoutRegistry) -> None:
    await land(layout, "one", APP, "1")
    await land(layout, "two", oci_index([OTHER]), "1")
    assert await layout.find_manifest("two", APP.digest) is None
    assert await layout.find_manifest("three", APP.digest) is None


async def test_the_children_of_an_index_are_there_even_where_only_the_index_is_listed(
    layout: LayoutRegistry, root: Path
) -> None:
    index = oci_index([oci_index([APP]), OTHER])
    write_index(root, index, "library/multi:1")
    for node in (APP, OTHER, *index.children):
        stored = await layout.read_manifest("library/multi", node.digest)
        assert stored is not None
        assert (stored.raw, stored.media_type) == (node.raw, node.media_type)


async def test_the_search_below_indexes_comes_to_an_end(
    layout: LayoutRegistry, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = oci_index([oci_index([oci_index([APP])])])
    write_index(root, index, "r:1")
    monkeypatch.setattr(layout_adoption, "MAX_WALKED", 2)
    assert await layout.find_manifest("r", APP.digest) is None


async def test_an_index_may_lack_and_repeat_its_children(layout: LayoutRegistry, root: Path) -> None:
    inner = oci_index([APP])
    write_index(root, oci_index([inner, inner, oci_index([OTHER])]), "r:1")
    await layout.push_blob("r", BytesContent(b"no manifest of this repository"))
    layout.files.blob_path(digest_named(oci_index([OTHER]))).unlink()
    assert await layout.find_manifest("r", digest_of(b"no manifest of this repository")) is None


async def test_a_damaged_index_of_another_tool_hides_its_children_and_nothing_else(
    layout: LayoutRegistry, root: Path
) -> None:
    await layout.push_blob("r", BytesContent(b"wanted"))
    write_index(root, Node(b"[]", media_types.OCI_INDEX), "r:1")
    assert await layout.find_manifest("r", digest_of(b"wanted")) is None
    (root / "blobs/sha256" / digest_of(b"[]").partition(":")[2]).write_bytes(b"{}")
    with pytest.raises(RegistryFault, match="damaged content"):
        await layout.read_manifest("r", "1")


async def test_content_that_was_damaged_on_disk_is_never_served_as_a_manifest(layout: LayoutRegistry) -> None:
    await land(layout, "r", APP, "1")
    layout.files.blob_path(digest_named(APP)).write_bytes(APP.raw.replace(b"2", b"3", 1))
    with pytest.raises(RegistryFault, match="damaged content"):
        await layout.read_manifest("r", "1")


async def test_a_manifest_whose_file_is_gone_is_not_there_and_can_be_pushed_again(layout: LayoutRegistry) -> None:
    await land(layout, "r", APP, "1")
    layout.files.blob_path(digest_named(APP)).unlink()
    assert await layout.find_manifest("r", "1") is None
    assert await layout.read_manifest("r", "1") is None
    await land(layout, "r", APP, "1")
    assert await layout.find_manifest("r", "1") == digest_named(APP)


async def test_listings_are_sorted_and_know_what_is_not_there(layout: LayoutRegistry) -> None:
    await land(layout, "b/two", APP, "v2", "v10")
    await land(layout, "a/one", APP)
    assert await layout.repositories() == ["a/one", "b/two"]
    assert await layout.tags("b/two") == ["v10", "v2"]
    assert await layout.tags("a/one") == []
    assert await layout.tags("c/three") is None


async def test_a_repository_has_what_came_to_it_and_what_its_manifests_refer_to(
    layout: LayoutRegistry, root: Path
) -> None:
    await land(layout, "one", oci_index([APP, OTHER]), "1")
    layers = [Digest.of(data) for data in APP.blobs.values()]
    for instance in (layout, LayoutRegistry(root)):
        assert all([await instance.blob_exists("one", digest) for digest in layers])
        assert not any([await instance.blob_exists("two", digest) for digest in layers])
        assert await instance.blob_size("two", layers[0]) is None
        assert not await instance.mount_blob("three", layers[0], "two")
    assert await layout.mount_blob("two", layers[0], "one")
    assert await layout.blob_exists("two", layers[0])
    with pytest.raises(RegistryRejected, match="MANIFEST_BLOB_UNKNOWN"):
        await layout.push_manifest("two", "1", described(APP))  # the others are in the layout, not in this repository
    await land(layout, "two", APP, "1")
    assert await LayoutRegistry(root).blob_exists("two", layers[0])


async def test_a_damaged_manifest_keeps_the_blobs_of_the_others_in_reach(layout: LayoutRegistry, root: Path) -> None:
    await land(layout, "one", APP, "1")
    await land(layout, "one", OTHER, "2")
    file = root / "blobs" / "sha256" / APP.digest.partition(":")[2]
    file.write_bytes(b"x" * len(APP.raw))
    fresh = LayoutRegistry(root)
    assert all([await fresh.blob_exists("one", Digest.of(data)) for data in OTHER.blobs.values()])
    assert not await fresh.blob_exists("one", Digest.of(b"nothing"))


async def test_referrers_are_listed_with_their_type_and_annotations(layout: LayoutRegistry) -> None:
    signature = oci_artifact(b"signature", artifact_type="application/vnd.example.signature", subject=APP)
    image_beside = oci_image(image({"a": b"sbom"}), subject=APP)
    subject = described(APP)[0]
    index_beside = oci_index(
        [OTHER],
        subject={"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
        annotations={"of": "the index"},
    )
    for node in (APP, signature, image_beside, index_beside):
        await land(layout, "r", node)
    await land(layout, "r", signature, "tagged")
    await land(layout, "elsewhere", oci_artifact(b"other", subject=APP))
    found = {str(entry.digest): entry for entry in await layout.referrers("r", digest_named(APP))}
    assert set(found) == {signature.digest, image_beside.digest, index_beside.digest}
    assert found[signature.digest].artifact_type == "application/vnd.example.signature"
    assert found[image_beside.digest].artifact_type == media_types.OCI_CONFIG
    assert found[index_beside.digest].artifact_type is None
    assert dict(found[index_beside.digest].annotations) == {"of": "the index"}
    assert await layout.referrers("r", digest_named(OTHER)) == ()
    assert await layout.referrers("unknown", digest_named(APP)) == ()


async def test_a_referrer_whose_file_is_gone_is_left_out(layout: LayoutRegistry) -> None:
    signature = oci_artifact(b"signature", subject=APP)
    await land(layout, "r", signature)
    layout.files.blob_path(digest_named(signature)).unlink()
    assert await layout.referrers("r", digest_named(APP)) == ()


def test_an_index_that_cannot_be_read_stops_the_start_with_words(root: Path) -> None:
    LayoutRegistry(root)
    (root / "index.json").write_bytes(b"{")
    with pytest.raises(RegistryFault, match=r"fix index\.json"):
        LayoutRegistry(root)


async def test_the_written_index_is_one_json_document_at_every_moment(layout: LayoutRegistry, root: Path) -> None:
    for number in range(5):
        await land(layout, f"r{number}", APP, "1")
        assert len(json.loads((root / "index.json").read_bytes())["manifests"]) == number + 1


async def test_content_that_comes_in_pieces_is_stored_whole(layout: LayoutRegistry) -> None:
    class Slow(BytesContent):
        async def chunks(self) -> AsyncIterator[bytes]:
            for byte in self.data:
                await asyncio.sleep(0)
                yield bytes([byte])

    digest, size = await layout.push_blob("r", Slow(b"one byte at a time"))
    assert await layout.read_blob(digest, 0, size) == b"one byte at a time"
