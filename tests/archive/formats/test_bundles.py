"""Manifests that a manifest lists among its layers: packages in a bundle, as uds-cli writes them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.archive import DEFAULT_LIMITS
from app.errors import DigestMismatch, LimitExceeded
from app.oci import Digest
from app.push import PushOptions
from tests.hostile.landing import land
from tests.support import archives
from tests.support.archives import (
    OCI_INDEX,
    OCI_MANIFEST,
    Member,
    descriptor,
    entry,
    oci_image,
    oci_layout,
    sha256,
    tar,
    to_json,
)
from tests.support.nested import layout_in
from tests.support.opening import opened
from tests.support.uds import FILE, IMAGE, bundle, manifest_of, zarf_package

BUNDLE = "application/vnd.defenseunicorns.uds.bundle.v1"
TAG = PushOptions(tag="bundles/field:0.1.0")
PACKAGES = (zarf_package("podinfo"), zarf_package("nginx", oci_image(archives.image({"app": b"nginx"}))))


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, FILE])
async def test_everything_of_a_bundle_lands(media_type: str) -> None:
    node = bundle(*PACKAGES, media_type=media_type)
    data = oci_layout([entry(node, ref="0.1.0")], outer="zstd")
    archive = opened(data)
    assert archive.notes == ()
    assert [image.bare_tags for image in archive.images] == [("0.1.0",)]
    assert {str(digest) for digest in archive.blobs} >= node.content.keys() - {node.digest}
    listed = {package.digest for package in PACKAGES} if media_type == OCI_MANIFEST else set()
    assert {str(digest) for digest in archive.manifests} == {node.digest, *listed}
    landed = await land(data, TAG)
    assert (landed.codes, landed.tags) == ([], ("bundles/field:0.1.0",))


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, FILE])
async def test_a_package_without_its_optional_parts_goes_as_far_as_it_is_there(media_type: str) -> None:
    """uds leaves components out that a bundle does not ask for, and keeps the manifest as it is."""
    node = bundle(*PACKAGES, media_type=media_type)
    gone = next(iter(IMAGE.blobs))
    data = oci_layout([entry(node, ref="0.1.0")], without=[gone])
    archive = opened(data)
    assert PACKAGES[0].digest not in map(str, archive.manifests)
    assert {str(digest) for digest in archive.blobs} >= node.content.keys() - {node.digest, gone}
    assert any(PACKAGES[0].digest in note for note in archive.notes) is (media_type == OCI_MANIFEST)
    landed = await land(data, TAG)
    assert (landed.codes, landed.tags) == ([], ("bundles/field:0.1.0",))


@pytest.mark.parametrize("content", [b"{}", b"no manifest", b'{"schemaVersion":2,"manifests":[]}', b"[]"])
async def test_what_is_called_a_manifest_and_is_none_is_a_layer(content: bytes) -> None:
    node = manifest_of(
        b"{}", [descriptor(OCI_MANIFEST, content), descriptor(FILE, content)], {sha256(content): content}
    )
    landed = await land(oci_layout([entry(node, ref="a.test/x:1")]))
    assert (landed.codes, landed.tags) == ([], ("x:1",))


def test_a_package_with_other_bytes_than_its_digest_is_refused() -> None:
    node = bundle(*PACKAGES)
    members = archives.oci_members([entry(node, ref="1")])
    place = f"blobs/{PACKAGES[0].digest.replace(':', '/')}"
    changed = PACKAGES[0].raw.replace(b"amd64", b"arm64") if b"amd64" in PACKAGES[0].raw else b" " + PACKAGES[0].raw[1:]
    with pytest.raises(DigestMismatch):
        opened(tar(Member(place, changed) if member.name == place else member for member in members))


def test_bundles_in_bundles_have_a_depth() -> None:
    node = PACKAGES[0]
    for _ in range(20):
        node = bundle(node)
    with pytest.raises(LimitExceeded, match="16"):
        opened(oci_layout([entry(node, ref="1")]))
    assert len(opened(oci_layout([entry(node, ref="1")]), replace(DEFAULT_LIMITS, depth=30)).manifests) == 21


@pytest.mark.parametrize("directory", ["", "oci"])
async def test_an_index_json_that_says_what_it_is_is_the_artifact(directory: str) -> None:
    """uds-cli of late 2026: every package is an entry with a tag alone."""
    definition = archives.oci_artifact(b"bundle.uds.hcl")
    entries = [entry(definition), *(entry(node, ref=name) for node, name in zip(PACKAGES, "ab", strict=True))]
    members = layout_in(directory, entries)
    place = f"{directory}/index.json".lstrip("/")
    index = json.loads(next(member.data for member in members if member.name == place))
    raw = to_json({**index, "artifactType": BUNDLE, "mediaType": OCI_INDEX})
    data = tar(Member(place, raw) if member.name == place else member for member in members)
    (image,) = opened(data).images
    assert (getattr(image.root, "digest", None), image.called) == (Digest.of(raw), ())
    assert (await land(data, TAG)).tags == ("bundles/field:0.1.0",)
