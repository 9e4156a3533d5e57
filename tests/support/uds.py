"""Bundles of uds-cli: a manifest that lists the manifests of zarf packages among its layers.

bundle(package("podinfo"), package("nginx"))      the bundle, with everything below it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support import archives
from tests.support.archives import OCI_MANIFEST, Node, descriptor, oci_image, sha256, to_json

FILE = "application/vnd.zarf.layer.v1.blob"
TITLE = "org.opencontainers.image.title"
IMAGE = oci_image(archives.image({"app": b"podinfo"}))


def zarf_package(name: str, image: Node = IMAGE) -> Node:
    """A zarf package as an artifact: each of its files is a layer, the images and their manifests too."""
    images = {f"images/blobs/{digest.replace(':', '/')}": data for digest, data in image.content.items()}
    files = {
        "zarf.yaml": f"kind: ZarfPackageConfig\nmetadata:\n  name: {name}\n".encode(),
        "checksums.txt": b"",
    } | images
    config = to_json({"architecture": "amd64"})
    layers = [descriptor(FILE, data, annotations={TITLE: title}) for title, data in files.items()]
    return manifest_of(config, layers, {sha256(data): data for data in files.values()})


def manifest_of(config: bytes, layers: Sequence[dict[str, Any]], blobs: dict[str, bytes]) -> Node:
    members = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.zarf.config.v1+json", config),
        "layers": layers,
    }
    return Node(to_json(members), OCI_MANIFEST, {sha256(config): config, **blobs})


def bundle(*packages: Node, media_type: str = OCI_MANIFEST) -> Node:
    """The bundle's manifest has the packages' as layers; of the media type of the manifest, or since 2025 of a file."""
    definition = b"kind: UDSBundle\n"
    layers = [descriptor(media_type, package.raw) for package in packages]
    layers.append(descriptor(FILE, definition, annotations={TITLE: "uds-bundle.yaml"}))
    held = {sha256(definition): definition}
    for package in packages:
        held |= package.content
    return manifest_of(b"{}", layers, held)
