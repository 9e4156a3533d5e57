"""Honest archives that are then bent: one small image, named team/app:1, as docker archive and as OCI layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.archive.tar_blocks import END, file
from tests.support import archives
from tests.support.archives import Node, blob_name, entry, oci_image, oci_layout, sha256, tagged, to_json

NAME = "example.com/team/app:1"
ONE = tagged(archives.image({"bin/app": b"one"}, {"etc/app": b"two"}), NAME)
OTHER = tagged(archives.image({"bin/app": b"other"}, label="other"), "example.com/team/other:1")
DOCKER = archives.docker_save([ONE], style="podman")
MEMBERS: Mapping[str, bytes] = {
    member.name: member.data for member in archives.docker_members([ONE], style="podman") if member.link is None
}
CONFIG = next(name for name in MEMBERS if name.endswith(".json") and name != "manifest.json")
LAYERS = tuple(name for name in MEMBERS if name.endswith(".tar"))
IMAGE = oci_image(ONE)
OCI = oci_layout([entry(IMAGE, ref=NAME)])
LAYOUT: Mapping[str, bytes] = {member.name: member.data for member in archives.oci_members([entry(IMAGE, ref=NAME)])}


def raw(members: Mapping[str, bytes], *, before: bytes = b"", after: bytes = b"", end: bytes = END) -> bytes:
    """A tar of `members` with raw blocks before and after them."""
    return before + b"".join(file(name, data) for name, data in members.items()) + after + end


def docker(before: bytes = b"", after: bytes = b"", end: bytes = END) -> bytes:
    return raw(MEMBERS, before=before, after=after, end=end)


def without(members: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: data for name, data in members.items() if name not in names}


def docker_with(**fields: object) -> bytes:
    """The docker archive with fields of its one entry in manifest.json changed; `None` writes null."""
    entry_ = {"Config": CONFIG, "RepoTags": [NAME], "Layers": list(LAYERS)} | fields
    return docker_json(to_json([entry_]))


def docker_json(manifest: bytes) -> bytes:
    return raw({**MEMBERS, "manifest.json": manifest})


def docker_config(config: bytes) -> bytes:
    """The docker archive with another config, called by its true digest."""
    name = f"{sha256(config).removeprefix('sha256:')}.json"
    manifest = to_json([{"Config": name, "RepoTags": [NAME], "Layers": list(LAYERS)}])
    return raw({**without(MEMBERS, CONFIG), name: config, "manifest.json": manifest})


def layout(index: object, *blobs: bytes, base: Node = IMAGE, marker: bytes | None = None) -> bytes:
    """A layout with `index` as its index.json, and the blobs of `base` and `blobs` in it."""
    held = {**base.content, **{sha256(data): data for data in blobs}}
    return raw(
        {
            "oci-layout": to_json({"imageLayoutVersion": "1.0.0"}) if marker is None else marker,
            "index.json": index if isinstance(index, bytes) else to_json(index),
            **{blob_name(digest): data for digest, data in held.items()},
        }
    )


def listing(*descriptors: object, **members: object) -> dict[str, object]:
    """An index.json over `descriptors`; the first is given the name."""
    return {"schemaVersion": 2, "manifests": list(descriptors), **members}


def named(descriptor: Mapping[str, Any], name: str = NAME) -> dict[str, Any]:
    return {**descriptor, "annotations": {**descriptor.get("annotations", {}), archives.REF_NAME: name}}


def layout_of(manifest: Mapping[str, Any] | bytes, *blobs: bytes, **descriptor: Any) -> bytes:
    """A layout whose one image has `manifest`; `descriptor` are other fields of its entry in index.json."""
    data = manifest if isinstance(manifest, bytes) else to_json(manifest)
    described = archives.descriptor(archives.OCI_MANIFEST, data) | descriptor
    return layout(listing(named(described)), data, *blobs)


def manifest_with(**fields: Any) -> dict[str, Any]:
    """The sample's manifest with fields changed; `...` leaves one out."""
    members = {
        "schemaVersion": 2,
        "mediaType": archives.OCI_MANIFEST,
        "config": archives.descriptor(archives.OCI_CONFIG, ONE.config),
        "layers": [layer_descriptor(number) for number in range(2)],
    } | fields
    return {key: value for key, value in members.items() if value is not ...}


def layer_descriptor(number: int, **fields: Any) -> dict[str, Any]:
    data = archives.wrap(ONE.layers[number], "gzip")
    members = archives.descriptor(archives.OCI_LAYER + "+gzip", data) | fields
    return {key: value for key, value in members.items() if value is not ...}
