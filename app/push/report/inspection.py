"""Information about an archive before a push, as JSON members, for `tarmac inspect` and dry runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from app.archive.model import Archive, DockerImage, ImageEntry, ReadAt
from app.errors import MalformedArchive, Problem
from app.oci import Descriptor, strict_json
from app.oci.media_types import DOCKER_CONFIG, OCI_CONFIG
from app.push.plan.completeness import contradictions_of
from app.push.plan.image_content import image_identity, manifests
from app.push.plan.planning import NO_IMAGES
from app.push.plan.values import PushPlan
from app.push.report.evidence import evidence_of
from app.push.report.transfer_sizes import TransferSize, transfer_sizes

RECOGNITION_REASONS = {
    "docker-archive": "manifest.json contains docker's list of images",
    "oci-archive": "oci-layout and index.json are at the root or in directories",
    "mindthegap-bundle": "docker/registry/v2 and images.yaml or charts.yaml are at the root",
    "oc-mirror": "docker/registry/v2 and working-dir or the image set configuration (isc_…) are at the root",
    "registry-storage": "docker/registry/v2 is at the root or in a directory",
    "imgpkg": "manifest.json contains imgpkg's list of images",
    "hauler": "the entries of index.json have hauler's annotation kind",
    "helm-chart": "Chart.yaml is in the only directory of a packaged chart",
    "kots-airgap": "airgap.yaml at the root has the kind Airgap of kots.io",
    "kubekey": "HOST/REPOSITORY/manifests/layout lists tags, and blobs/sha256:<hex> lies beside the hosts",
    "oc-image-mirror": "v2/REPOSITORY contains blobs and manifests named by their digests",
    "oci-artifact": "manifest.json at the root is itself an OCI manifest or index",
    "zarf": "zarf.yaml is at the root, with checksums.txt or an image layout in images/",
}
NEW_DIGESTS = (
    "a docker archive has no manifests: those of its images are generated, so the digests that they had at their "
    "source cannot be restored"
)
MAX_INSPECTED_IMAGES = 1_000  # images of one archive in a job's document; 300 usual ones are 300 KB of JSON
MAX_BYTES = 1 << 20  # about all archives in one document
MAX_NOTICES, MAX_NOTICE = 20, 1_000  # per archive in a document; characters of each
MAX_CONFIGS = 1_000  # read for the creation time of images; each costs a read of the file
MAX_CONFIG_BYTES = 1 << 20  # per config; the largest seen is below 200 KiB
MAX_CREATED = 64  # characters; RFC 3339 with nanoseconds and an offset has 35


def inspect(archive: Archive, source: ReadAt) -> dict[str, Any]:
    """Return `format` and `why` it was recognised, `producer` (empty if unknown), `images` in order, and `notices`.

    Sizes are bytes in the archive; `to_send` is what an empty registry would need. Blocks. Raises the errors of
    `source`.
    """
    configs = _Configs(archive, source)
    transfers = transfer_sizes(archive)
    readable = [entry for entry in archive.images if entry.fault is None]
    made = any(isinstance(entry.root, DockerImage) and entry.original is None for entry in readable)
    notices = (
        *archive.notes,
        *_refused(archive),
        *([NEW_DIGESTS] if made else []),
        *([] if archive.images else [NO_IMAGES]),
    )
    return {
        "format": archive.format,
        "why": RECOGNITION_REASONS.get(archive.format, "it cannot be read"),
        "producer": archive.producer,
        **_sums(transfers),
        "images": [
            {**_image(archive, entry, configs), **_size_members(transfer)}
            for entry, transfer in zip(archive.images, transfers, strict=True)
        ],
        "notices": list(notices),
    }


def _refused(archive: Archive) -> Iterator[str]:
    """Yield the refusals that are not yet among the problems of the images."""
    for entry in archive.images if archive.contradictions else ():
        if entry.fault is None:
            yield from (f"would be refused: {text}" for text in contradictions_of(archive, entry))


def inspect_all(archives: Sequence[Archive], sources: Sequence[ReadAt]) -> tuple[dict[str, Any], ...]:
    """Return the inspection for a document that is sent often.

    It has the first MAX_INSPECTED_IMAGES images of each archive, together below MAX_BYTES of JSON, and a notice if
    there are more.
    """
    left, found = MAX_BYTES, []
    for archive, source in zip(archives, sources, strict=True):
        report = _inspect_some(archive, source, left)
        left -= len(json.dumps(report))
        found.append(report)
    return tuple(found)


def _inspect_some(archive: Archive, source: ReadAt, left: int) -> dict[str, Any]:
    report = inspect(replace(archive, images=archive.images[: MAX_INSPECTED_IMAGES if left > 0 else 0]), source)
    images: list[dict[str, Any]] = []
    for image in report["images"]:
        left -= len(json.dumps(image))
        if left < 0:
            break
        images.append(image)
    notices = [text[:MAX_NOTICE] for text in report["notices"][: MAX_NOTICES if left > 0 else 0]]
    if len(images) < len(archive.images):
        notices.append(f"only the first {len(images)} of {len(archive.images)} images are listed here")
    return {**report, "images": images, "notices": notices}


def with_registry_state(
    inspection: Sequence[Mapping[str, Any]], plan: PushPlan, found: Sequence[TransferSize]
) -> tuple[dict[str, Any], ...]:
    """Return the `inspection` of the archives of `plan` with the results of a dry run for each image.

    `to_send` is what the registry lacks, `at_registry` what it has.
    """
    sizes: dict[object, TransferSize] = {}
    for target, transfer in zip(plan.images, found, strict=True):
        sizes.setdefault((target.archive, image_identity(target.entry)), transfer)
    return tuple(
        _with_sizes(item, [sizes.get((number, image_identity(entry)), TransferSize()) for entry in archive.images])
        for number, (item, archive) in enumerate(zip(inspection, plan.archives, strict=True))
    )


def _with_sizes(inspection: Mapping[str, Any], transfers: Sequence[TransferSize]) -> dict[str, Any]:
    images = [
        {**image, **_size_members(transfer)} for image, transfer in zip(inspection["images"], transfers, strict=False)
    ]
    return {**inspection, **_sums(transfers), "images": images}


def _size_members(transfer: TransferSize) -> dict[str, int | None]:
    return {"to_send": transfer.to_send, "at_registry": transfer.at_registry}


def _sums(transfers: Sequence[TransferSize]) -> dict[str, int | None]:
    """Return the sums; None if the registry was not asked, or if the size of one is unknown."""
    columns = {
        "to_send": [transfer.to_send for transfer in transfers],
        "at_registry": [transfer.at_registry for transfer in transfers],
    }
    return {name: None if None in sizes else sum(filter(None, sizes)) for name, sizes in columns.items()}


class _Configs:
    def __init__(self, archive: Archive, source: ReadAt) -> None:
        self._archive = archive
        self._source = source
        self._left = MAX_CONFIGS

    def created(self, entry: ImageEntry) -> str | None:
        """Return the creation time in the first config that has one; for display, so the config is not verified."""
        for config in _configs(self._archive, entry):
            if self._left == 0:
                return None
            self._left -= 1
            if (created := self._created(config)) is not None:
                return created
        return None

    def _created(self, config: Descriptor) -> str | None:
        extent = self._archive.blobs.get(config.digest)
        size = config.size if extent is None else extent.size
        if size > MAX_CONFIG_BYTES or (extent is None and config.data is None):
            return None
        raw = config.data if extent is None else self._source.read_at(extent.offset, extent.size)
        try:
            members = strict_json(raw or b"", what="config", limit=MAX_CONFIG_BYTES)
        except MalformedArchive:
            return None
        created = members.get("created") if isinstance(members, dict) else None
        return created if isinstance(created, str) and len(created) <= MAX_CREATED else None


def _configs(archive: Archive, entry: ImageEntry) -> Iterator[Descriptor]:
    if isinstance(entry.root, DockerImage):
        yield entry.root.config
    for manifest in manifests(archive, entry):
        if manifest.config is not None and manifest.config.media_type in {OCI_CONFIG, DOCKER_CONFIG}:
            yield manifest.config


def _image(archive: Archive, entry: ImageEntry, configs: _Configs) -> dict[str, Any]:
    root = entry.root
    layers = list(_layers(archive, entry))
    return {
        "names": list(entry.called),
        "digest": None if isinstance(root, DockerImage) else str(root.digest),
        "config": str(root.config.digest) if isinstance(root, DockerImage) else None,
        "media_type": None if isinstance(root, DockerImage) else root.media_type,
        "platforms": [str(platform) for platform in entry.platforms],
        "created": configs.created(entry),
        "size": sum(layer["size"] for layer in layers),
        "layers": layers,
        "referrers": [str(referrer.digest) for referrer in entry.referrers],
        "attached": [item.tag for item in entry.attached],
        "evidence": [asdict(item) for item in evidence_of(archive, entry)],
        "problem": None if entry.fault is None else _problem(entry.fault.error.problem),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {"code": problem.code, "title": problem.title, "detail": problem.detail}


def _layers(archive: Archive, entry: ImageEntry) -> Iterator[dict[str, Any]]:
    """Yield each layer once, even if platforms share it. A docker archive identifies its layers by DiffID."""
    if isinstance(entry.root, DockerImage):
        for plain in dict.fromkeys(entry.root.layers):
            stored = str(plain.compression)
            yield {"digest": None, "diff_id": str(plain.diff_id), "size": plain.extent.size, "stored": stored}
        return
    found = {layer.digest: layer for manifest in manifests(archive, entry) for layer in manifest.layers}
    for layer in found.values():
        yield {"digest": str(layer.digest), "diff_id": None, "size": layer.size, "stored": layer.media_type}
