"""The program that wrote an archive, detected from marks in it; for display only. Pure.

The marks were seen in archives that the programs wrote. If several programs leave the same mark, all are named."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.archive.model import Archive
from app.archive.tar.index import MemberKind, TarIndex
from app.oci import Descriptor

_CREATED = "org.opencontainers.image.created"
_BASE_NAME = "org.opencontainers.image.base.name"
_IMAGE_NAME = "io.containerd.image.name"
_SHORT_TAG = "io.deckhouse.image.short_tag"
_ZOT = frozenset({"cache.db", "_trivy"})  # next to its repositories
_HEX = r"[0-9a-f]{64}"
_CRANE_CONFIG = re.compile(rf"sha256:{_HEX}")
_LAYER_FILE = re.compile(rf"{_HEX}\.tar")
_LAYER_DIRECTORY = re.compile(rf"{_HEX}/layer\.tar")

DOCKER = "docker save (25 or newer)"
DOCKER_OLD = "docker save (before 25)"
PODMAN = "podman, skopeo or buildah"
BUILDX = "docker buildx"
_FORMATS = {
    "mindthegap-bundle": "mindthegap",
    "oc-mirror": "oc-mirror",
    "imgpkg": "imgpkg",
    "hauler": "hauler",
    "zarf": "zarf",
    "kots-airgap": "Replicated (KOTS)",
    "kubekey": "KubeKey 4",
    "oc-image-mirror": "oc image mirror, oc adm release mirror or oc-mirror v1",
    "oci-artifact": "docker model package",
}


def producer_of(index: TarIndex, archive: Archive) -> str:
    """Return a name such as `docker save (25 or newer)`; empty if the archive has no mark."""
    if archive.format == "docker-archive":
        return _of_docker_archive(index)
    if archive.format == "oci-archive" and not _ZOT.isdisjoint(index.roots):
        return "zot"
    if archive.format == "oci-archive":
        return _of_layout(index, tuple(_annotated(archive)))
    return _FORMATS.get(archive.format, "")


def _of_docker_archive(index: TarIndex) -> str:
    if any(_CRANE_CONFIG.fullmatch(name) for name in index.roots):
        return "crane"
    files = {member.name for member in index.files()}
    if any(map(_LAYER_FILE.fullmatch, files)):
        linked = any(
            _LAYER_DIRECTORY.fullmatch(name) and members[0].kind is MemberKind.SYMLINK
            for name, members in index.members.items()
        )
        return PODMAN if linked else ""
    # crane --format=legacy writes the same files, but no members for their directories
    return DOCKER_OLD if any(_LAYER_DIRECTORY.fullmatch(name) and name[:64] in index.members for name in files) else ""


def _annotated(archive: Archive) -> Iterator[Descriptor]:
    """Yield the entries of index.json that are images."""
    for image in archive.images:
        root = image.root if isinstance(image.root, Descriptor) else image.original
        if root is not None:
            yield root


def _of_layout(index: TarIndex, roots: tuple[Descriptor, ...]) -> str:
    keys = {key for root in roots for key in root.annotations}
    if _CREATED in keys and _BASE_NAME not in keys:
        return BUILDX
    if index.roots[0] == "oci-layout" and _IMAGE_NAME in keys:
        return "regctl"
    if "manifest.json" in index.members:
        return DOCKER if "repositories" in index.members else f"{DOCKER} or ctr images export"
    if _SHORT_TAG in keys or _BASE_NAME in keys:
        return "d8 mirror pull" if _SHORT_TAG in keys else "crane"
    return "oras" if "ingest" in index.members else ""
