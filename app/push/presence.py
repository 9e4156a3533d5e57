"""What the destination has of an image already, asked with as few requests as can be: one for each tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.archive.model import Compression, DockerImage
from app.errors import ArchiveError, TagExists
from app.oci import Descriptor, Manifest, Reference, parse_manifest
from app.push.content import stored_as
from app.push.graph import repositories
from app.push.plan import ImageTarget, PushPlan
from app.registry import Registry


@dataclass(frozen=True, slots=True)
class Presence:
    """held       repository -> the manifest of the image there (for an OCI image None: it is the archive's)
    missing    destinations that are to be written
    skipped    destinations where another image stands and is to stay
    bare       repositories where the image stands but not all that refers to it
    """

    held: Mapping[str, Manifest | None]
    missing: tuple[Reference, ...]
    skipped: tuple[Reference, ...]
    bare: tuple[str, ...] = ()

    @property
    def to_fill(self) -> tuple[str, ...]:
        """The repositories that manifests, and the blobs they need, have to go to."""
        wanted = (each for each in repositories(self.missing) if each not in self.held)
        return tuple(dict.fromkeys((*wanted, *self.bare)))


async def look(plan: PushPlan, target: ImageTarget, registry: Registry) -> Presence:
    """Ask for every destination of one image. Raises TagExists where another image has the tag and the request says
    `on_existing_tag=error`, and what the registry raises."""
    held: dict[str, Manifest | None] = {}
    missing: list[Reference] = []
    skipped: list[Reference] = []
    for destination in target.destinations:
        found = await _find(plan, target, destination, registry)
        if found.same:
            held[destination.repository] = found.manifest
        elif found.taken and destination.tag is not None and plan.on_existing_tag == "error":
            raise TagExists(f"{destination} exists and is another image; to replace it pass on_existing_tag=overwrite")
        elif found.taken and destination.tag is not None and plan.on_existing_tag == "skip":
            skipped.append(destination)
        else:
            missing.append(destination)
    bare = [each for each in held if not await _has_referrers(target, each, registry)]
    return Presence(held, tuple(missing), tuple(skipped), tuple(bare))


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands at one destination: the same image, another one (`taken`), or nothing."""

    same: bool = False
    taken: bool = False
    manifest: Manifest | None = None


async def _find(plan: PushPlan, target: ImageTarget, destination: Reference, registry: Registry) -> _Found:
    root, repository = target.entry.root, destination.repository
    reference = destination.tag or (None if destination.digest is None else str(destination.digest))
    if reference is None:
        return _Found()
    if isinstance(root, Descriptor):
        digest = await registry.find_manifest(repository, reference)
        return _Found(same=digest == root.digest, taken=digest is not None)
    stored = await registry.read_manifest(repository, reference)
    if stored is None:
        return _Found()
    manifest = _read(stored.raw, Descriptor(stored.media_type, stored.digest, len(stored.raw)))
    same = manifest is not None and _is_of(manifest, root, plan.layer_compression)
    return _Found(same=same, taken=True, manifest=manifest if same else None)


def _read(raw: bytes, descriptor: Descriptor) -> Manifest | None:
    """None for what we cannot read, such as schema 1: it is another image."""
    try:
        return parse_manifest(raw, descriptor)
    except ArchiveError:
        return None


def _is_of(manifest: Manifest, image: DockerImage, wanted: Compression) -> bool:
    """The config digest is the image: it names the DiffIDs. The layers must be wrapped as this request wants them."""
    if manifest.config is None or manifest.config.digest != image.config.digest:
        return False
    expected = [stored_as(layer, wanted) for layer in image.layers]
    return [_compression_of(layer.media_type) for layer in manifest.layers] == expected


def _compression_of(media_type: str) -> Compression | None:
    for ending in (Compression.GZIP, Compression.ZSTD):
        if media_type.endswith((f"+{ending}", f".{ending}")):
            return ending
    return Compression.NONE if media_type.endswith(".tar") else None


async def _has_referrers(target: ImageTarget, repository: str, registry: Registry) -> bool:
    for referrer in target.entry.referrers:
        if await registry.find_manifest(repository, str(referrer.digest)) is None:
            return False
    return True
