"""Hauls as `hauler store save` writes them: an OCI layout with the annotation `kind`, a manifest.json for docker, all
in zstd (hauler, cmd/hauler/cli/store/save.go, pkg/store/store.go, pkg/artifacts)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.support.archives import (
    IMAGE_NAME,
    OCI_MANIFEST,
    REF_NAME,
    Entry,
    Member,
    Node,
    descriptor,
    oci_members,
    sha256,
    tar,
    to_json,
    wrap,
)

CURRENT, LEGACY = "dev.hauler", "dev.cosignproject.cosign"
FILE_LAYER = "application/vnd.content.hauler.file.layer.v1"
FILE_CONFIG = "application/vnd.content.hauler.file.local.config.v1+json"
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Held:
    """An entry of the store: `name` as ggcr's Name() spells it (index.docker.io/library/nginx:1), of `kind`."""

    node: Node
    name: str
    kind: str = "image"

    def entry(self, prefix: str) -> Entry:
        kind = f"{prefix}/{self.kind}" + (f"/{self.node.digest[7:]}" if self.kind == "referrers" else "")
        short = self.name.partition("/")[2]
        names = {"kind": kind, REF_NAME: short, IMAGE_NAME: self.name, "hauler.dev/original-ref": self.name}
        return Entry(self.node, names)


@dataclass(frozen=True, slots=True)
class Stored:
    """A chart or file, which has no name but its reference in the store: `hauler/x:1`."""

    node: Node
    reference: str

    def entry(self, prefix: str) -> Entry:
        return Entry(self.node, {"kind": f"{prefix}/image", REF_NAME: self.reference})


def held_file(content: bytes, title: str) -> Node:
    layer = descriptor(FILE_LAYER, content, annotations={"org.opencontainers.image.title": title})
    return _artifact(FILE_CONFIG, b"{}", layer, content)


def held_chart(content: bytes, metadata: Mapping[str, str]) -> Node:
    return _artifact(CHART_CONFIG, to_json(dict(metadata)), descriptor(CHART_LAYER, content), content)


def _artifact(config_type: str, config: bytes, layer: Mapping[str, object], content: bytes) -> Node:
    members = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config_type, config)}
    raw = to_json({**members, "layers": [layer]})
    return Node(raw, OCI_MANIFEST, {sha256(config): config, sha256(content): content})


def haul(store: Sequence[Held | Stored], *, prefix: str = CURRENT, containerd: bool = False) -> bytes:
    """`containerd`: without oci-layout, as with --containerd."""
    ordered = sorted(store, key=lambda each: isinstance(each, Held) and "image" not in each.kind)
    members = {member.name: member for member in oci_members([item.entry(prefix) for item in ordered])}
    index = json.loads(members["index.json"].data)
    members["index.json"] = replace(members["index.json"], data=to_json(index))
    if containerd:
        del members["oci-layout"]
    exports = [
        {"Config": name, "RepoTags": [item.name.removeprefix("index.docker.io/library/")], "Layers": layers}
        for item in ordered
        if isinstance(item, Held) and item.kind == "image"
        for name, layers in [_export(item.node)]
    ]
    members["manifest.json"] = Member("manifest.json", to_json(exports) + b"\n")
    blobs = [Member("blobs", directory=True), Member("blobs/sha256", directory=True)]
    return wrap(tar([*blobs, *(members[name] for name in sorted(members))]), "zstd")


def _export(node: Node) -> tuple[str, list[str]]:
    members = json.loads(node.raw)
    names = ["blobs/" + member["digest"].replace(":", "/") for member in (members["config"], *members["layers"])]
    return names[0], names[1:]
