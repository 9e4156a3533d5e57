"""Tars as `imgpkg copy --to-tar` writes them (imgpkg, pkg/imgpkg/imagedesc/types.go and imagetar/tar_writer.go):
manifest.json first, then the layers sorted by digest and each once, all at the root."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.archives import Member, Node, tar


def described(node: Node, repository: str, tag: str = "") -> dict[str, Any]:
    """An element of manifest.json."""
    if node.children:
        return {"ImageIndex": _index(node, repository, tag), "Image": None}
    return {"ImageIndex": None, "Image": _image(node, repository, tag)}


def _index(node: Node, repository: str, tag: str) -> dict[str, Any]:
    images = [_image(child, repository, tag) for child in node.children if not child.children]
    indexes = [_index(child, repository, tag) for child in node.children if child.children]
    return {
        "Refs": [f"{repository}@{node.digest}"],
        "Images": images or None,
        "Indexes": indexes or None,
        "MediaType": node.media_type,
        "Digest": node.digest,
        "Raw": node.raw.decode(),
        "Tag": tag,
        "OrigRef": "",
        "Labels": None,
    }


def _image(node: Node, repository: str, tag: str) -> dict[str, Any]:
    members = json.loads(node.raw)
    config = members["config"]["digest"]
    return {
        "Refs": [f"{repository}@{node.digest}"],
        "Layers": [
            {"MediaType": layer["mediaType"], "Digest": layer["digest"], "DiffID": "", "Size": layer["size"]}
            for layer in members["layers"]
        ],
        "Config": {"Digest": config, "Raw": node.blobs[config].decode()},
        "Manifest": {"MediaType": node.media_type, "Digest": node.digest, "Raw": node.raw.decode()},
        "Tag": tag,
        "OrigRef": "",
        "Labels": None,
    }


def layers_of(nodes: Sequence[Node]) -> Mapping[str, bytes]:
    """The layers of all images, by the name of their member."""
    found: dict[str, bytes] = {}
    for node in nodes:
        found |= layers_of(node.children)
        if not node.children:
            layers = json.loads(node.raw)["layers"]
            found |= {
                layer["digest"].replace(":", "-") + ".tar.gz": node.blobs[layer["digest"]]
                for layer in layers
                if layer["digest"] in node.blobs
            }
    return found


def imgpkg_tar(descriptors: Sequence[Mapping[str, Any]], layers: Mapping[str, bytes]) -> bytes:
    members = [Member("manifest.json", json.dumps(list(descriptors), separators=(",", ":")).encode())]
    return tar([*members, *(Member(name, layers[name]) for name in sorted(layers))])
