"""helm-chart: charts as `helm package` writes them. They reach us as members of a tar: of one that Intake makes of a
chart that was sent alone, or of somebody's own. Pushed as `helm push` does (helm, pkg/registry/client.go): the metadata
as the config, the file as it was sent as the one layer, the version as the tag with `_` for `+`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from app.archive.chart import HEAD_BYTES, MAX_CHART_BYTES, MAX_UNPACKED_BYTES, read_chart_yaml, starts_a_chart
from app.archive.formats.contents import Contents, enumerated
from app.archive.model import Archive, Compression, Extent, ImageEntry, Limits
from app.archive.tar_index import Member
from app.archive.yaml import Node, read_members
from app.errors import MalformedArchive
from app.oci import Descriptor, Digest, Manifest, new_manifest
from app.oci.media_types import OCI_MANIFEST

CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MAX_CHARTS = 1_000  # in one tar
MAX_TOTAL_BYTES = 512 << 20  # of all of them unpacked, which takes about a second
_PREFIX = "org.opencontainers.image."
_ANNOTATIONS = {"title": "name", "version": "version", "description": "description", "url": "home"}
_BOOLEANS = {"true": True, "false": False}  # of Chart.yaml: `deprecated`, and `enabled` of a dependency
_BOOLEAN_KEYS = frozenset({"deprecated", "enabled"})


class HelmChart:
    name = "helm-chart"

    def recognises(self, contents: Contents) -> bool:
        files = list(islice(contents.index.files(), MAX_CHARTS + 1))
        return 0 < len(files) <= MAX_CHARTS and all(_is_chart(contents, member) for member in files)

    def read(self, contents: Contents) -> Archive:
        images: dict[Digest, ImageEntry] = {}
        manifests: dict[Digest, Manifest] = {}
        blobs: dict[Digest, Extent] = {}
        notes: dict[str, None] = {}
        left = MAX_TOTAL_BYTES
        for member in contents.index.files():
            raw = contents.read(member.name, MAX_CHART_BYTES) or b""
            chart_yaml, unpacked = read_chart_yaml(raw, _limits(contents.limits, left))
            left -= unpacked
            metadata, note = _metadata(chart_yaml, member.name)
            manifest = _manifest(metadata, raw)
            digest = manifest.descriptor.digest
            manifests[digest] = manifest
            blobs[manifest.layers[0].digest] = member.extent
            images[digest] = ImageEntry(manifest.descriptor, paths=(_place(metadata, member.name),))
            notes.update(dict.fromkeys(note))
        return Archive(self.name, tuple(images.values()), manifests, blobs, tuple(notes))


def _limits(limits: Limits, left: int) -> Limits:
    return replace(limits, unpacked_bytes=min(limits.unpacked_bytes, MAX_UNPACKED_BYTES, left))


def _is_chart(contents: Contents, member: Member) -> bool:
    if "/" in member.name or not member.name.endswith(".tgz"):
        return False
    head = contents.source.read_at(member.extent.offset, min(member.extent.size, HEAD_BYTES))
    return contents.compression(member.extent) is Compression.GZIP and starts_a_chart(head, contents.limits)


def _metadata(chart_yaml: bytes, what: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Chart.yaml as JSON members, and a note if not all of it could be read. Raises LimitExceeded, MalformedArchive."""
    where = f"Chart.yaml of {what!r:.200}"
    members, problems = read_members(chart_yaml, what=where)
    note = (
        f"of {where} only {', '.join(members)} are in the chart's config at the registry: {enumerated(list(problems))}"
    )
    metadata = {key: _json(key, value) for key, value in members.items() if value is not None}
    return metadata, (note,) if problems else ()


def _json(key: str, node: Node) -> Any:
    if isinstance(node, dict):
        return {each: _json(each, value) for each, value in node.items() if value is not None}
    if isinstance(node, list):
        return [_json("", each) for each in node if each is not None]
    return _BOOLEANS.get(node or "", node) if key in _BOOLEAN_KEYS else node


def _place(metadata: Mapping[str, Any], what: str) -> str:
    name, version = metadata.get("name"), metadata.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise MalformedArchive(f"Chart.yaml of {what!r:.200} lacks its name or its version")
    return f"{name}:{version.replace('+', '_')}"


def _manifest(metadata: Mapping[str, Any], raw: bytes) -> Manifest:
    """Of the same chart always the same: helm also writes down the time of the push, which nobody asks for."""
    config = json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()
    told = {_PREFIX + key: metadata[member] for key, member in _ANNOTATIONS.items() if metadata.get(member)}
    members = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _described(CHART_CONFIG, config),
        "layers": [_described(CHART_LAYER, raw)],
        "annotations": {key: text for key, text in told.items() if isinstance(text, str)},
    }
    made = new_manifest(json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode(), OCI_MANIFEST)
    return replace(made, config=Descriptor(CHART_CONFIG, Digest.of(config), len(config), data=config))


def _described(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}
