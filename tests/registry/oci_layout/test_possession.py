"""A repository of the embedded destination has what was pushed or mounted to it, and nothing that it refers to only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import RegistryRejected
from app.oci import Descriptor, Digest, media_types
from app.registry.oci_layout.registry import LayoutRegistry
from tests.registry.oci_layout.landing import described, land, land_blobs
from tests.registry.oci_layout.test_registry import write_index
from tests.support.archives import Node, descriptor, image, oci_image, oci_index, to_json
from tests.support.blob_content import BytesContent

SECRET = oci_image(image({"secret": b"of another tenant"}))
LAYER = next(data for digest, data in SECRET.blobs.items() if b"diff_ids" not in data)
WINDOWS = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def foreign_layer_manifest() -> Node:
    """Refers to the layer of SECRET as a foreign layer."""
    layer = {**descriptor(WINDOWS, LAYER), "urls": ["https://example.com/layer"]}
    config = descriptor(media_types.DOCKER_CONFIG, b"{}")
    members = {"schemaVersion": 2, "config": config, "layers": [layer]}
    return Node(to_json(members), media_types.DOCKER_MANIFEST, blobs={str(Digest.of(b"{}")): b"{}"})


def layer_as_child() -> Node:
    """Lists the layer of SECRET as a child that is no manifest."""
    return Node(
        to_json({"schemaVersion": 2, "manifests": [descriptor("application/octet-stream", LAYER)]}),
        media_types.OCI_INDEX,
    )


def manifest_as_child() -> Node:
    return Node(oci_index([SECRET]).raw, media_types.OCI_INDEX)


def manifest_as_grandchild() -> Node:
    inner = manifest_as_child()
    return Node(oci_index([inner]).raw, media_types.OCI_INDEX, children=(inner,))


def subject() -> Node:
    config = descriptor(media_types.OCI_EMPTY, b"{}")
    members = {"schemaVersion": 2, "config": config, "layers": [], "subject": SECRET.descriptor}
    return Node(to_json(members), media_types.OCI_MANIFEST, blobs={str(Digest.of(b"{}")): b"{}"})


THEFTS = (foreign_layer_manifest, layer_as_child, manifest_as_child, manifest_as_grandchild, subject)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "layout"


async def reads_anything(layout: LayoutRegistry, repository: str) -> bool:
    """Whether anything of SECRET can be read in `repository`."""
    digests = [Digest.parse(digest) for digest in (SECRET.digest, *SECRET.blobs)]
    sizes = [await layout.blob_size(repository, digest) for digest in digests]
    return any(sizes) or await layout.read_manifest(repository, SECRET.digest) is not None


@pytest.mark.parametrize("theft", THEFTS, ids=lambda theft: theft.__name__)
@pytest.mark.parametrize("victim_first", [True, False])
async def test_a_reference_gives_nothing_of_another_repository(theft: object, victim_first: bool, root: Path) -> None:
    layout, node = LayoutRegistry(root), theft()  # type: ignore[operator]
    if victim_first:
        await land(layout, "team/b", SECRET, "1")
        await land(layout, "team/a", node, "1")
    else:
        await land(layout, "team/a", node, "1")
        await land(layout, "team/b", SECRET, "1")
    for instance in (layout, LayoutRegistry(root)):
        assert await instance.read_manifest("team/a", "1") is not None
        assert not await reads_anything(instance, "team/a")
        assert await reads_anything(instance, "team/b")


async def test_optional_content_that_was_pushed_is_kept_after_a_restart(root: Path) -> None:
    layout = LayoutRegistry(root)
    for node in (foreign_layer_manifest(), layer_as_child()):
        await layout.push_blob("r", BytesContent(LAYER))
        await land(layout, "r", node)
    fresh = LayoutRegistry(root)
    assert await fresh.blob_size("r", Digest.of(LAYER)) == len(LAYER)
    assert await fresh.blob_size("other", Digest.of(LAYER)) is None


async def test_foreign_content_that_comes_with_a_second_push_is_kept(root: Path) -> None:
    layout, node = LayoutRegistry(root), foreign_layer_manifest()
    await land(layout, "r", node, "1")
    await layout.push_blob("r", BytesContent(LAYER))
    await land(layout, "r", node, "1")
    assert await LayoutRegistry(root).blob_size("r", Digest.of(LAYER)) == len(LAYER)


@pytest.mark.parametrize("media_type", ["text/html", "text/javascript", "application/json", media_types.OCI_LAYER])
async def test_what_is_no_manifest_is_refused_as_one_and_never_served_as_one(media_type: str, root: Path) -> None:
    layout = LayoutRegistry(root)
    await land_blobs(layout, "r", SECRET)
    raw = json.dumps({**json.loads(SECRET.raw), "mediaType": media_type}).encode()
    with pytest.raises(RegistryRejected, match="MANIFEST_INVALID"):
        await layout.push_manifest("r", "1", described(Node(raw, media_type)))
    child = descriptor(media_type, b"<script>")
    await layout.push_blob("r", BytesContent(b"<script>"))
    index = Node(to_json({"schemaVersion": 2, "manifests": [child]}), media_types.OCI_INDEX)
    await land(layout, "r", index, "2")
    for instance in (layout, LayoutRegistry(root)):
        assert await instance.read_manifest("r", str(Digest.of(b"<script>"))) is None
        assert await instance.blob_size("r", Digest.of(b"<script>")) == len(b"<script>")


async def test_entries_of_an_older_version_keep_what_they_had_and_get_nothing_later(root: Path) -> None:
    """Version 0.1.0 wrote entries without `tarmac.held`."""
    layout, index = LayoutRegistry(root), Node(oci_index([SECRET]).raw, media_types.OCI_INDEX)
    await land(layout, "team/b", SECRET, "1")
    await land(layout, "team/b", foreign_layer_manifest(), "2")
    await land(layout, "team/c", index, "1")
    document = json.loads((root / "index.json").read_bytes())
    for entry in document["manifests"]:
        del entry["annotations"]["tarmac.held"]
    (root / "index.json").write_bytes(json.dumps(document).encode())
    for instance in (LayoutRegistry(root), LayoutRegistry(root)):
        assert await reads_anything(instance, "team/b")
        assert await reads_anything(instance, "team/c")  # it was served to those who may see it
        await land(instance, "team/d", oci_image(image({"a": b"b"})), "1")  # writes the marks
    later = oci_image(image({"later": b"1"}))
    await land(layout, "team/b", later, "3")
    gap = Node(oci_index([later]).raw, media_types.OCI_INDEX)
    await land(layout, "team/e", gap, "1")
    assert await LayoutRegistry(root).find_manifest("team/e", later.digest) is None


async def test_marking_keeps_other_members_of_an_entry(root: Path) -> None:
    layout = LayoutRegistry(root)
    write_index(root, SECRET, "a:1")
    document = json.loads((root / "index.json").read_bytes())
    document["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    (root / "index.json").write_bytes(json.dumps(document).encode())
    await land(layout, "b", oci_image(image({"a": b"b"})), "1")
    entries = json.loads((root / "index.json").read_bytes())["manifests"]
    (entry,) = [entry for entry in entries if entry["digest"] == SECRET.digest]
    assert entry["platform"] == {"os": "linux", "architecture": "amd64"}
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "a:1", "tarmac.held": ""}


async def test_a_manifest_that_says_a_wrong_size_of_content_elsewhere_learns_nothing(root: Path) -> None:
    layout = LayoutRegistry(root)
    await land(layout, "team/b", SECRET, "1")
    child = Descriptor(media_types.OCI_MANIFEST, Digest.parse(SECRET.digest), len(SECRET.raw) + 1)
    entry = {"mediaType": child.media_type, "digest": str(child.digest), "size": child.size}
    index = Node(to_json({"schemaVersion": 2, "manifests": [entry]}), media_types.OCI_INDEX)
    await land(layout, "team/a", index, "1")
    assert not await reads_anything(layout, "team/a")
