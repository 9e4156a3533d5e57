"""Completeness of the selected images, checked for each after `images` and `platforms` were applied; pure.

An image is incomplete if a manifest or blob that it refers to is missing from the archive (the image-spec permits
that), or exists and is unusable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from app.archive.model import Archive, DockerImage, Fault, ImageEntry
from app.errors import DigestMismatch, MissingContent, SizeMismatch, join_limited
from app.oci import Descriptor, Manifest
from app.oci.media_types import NON_DISTRIBUTABLE, is_manifest
from app.push.plan.image_content import display_name, manifests, referrers

MAX_SHOWN = 10  # items in one message
MAX_NAME = 300  # characters of a name in a message; a valid one is shorter
_SAVE = "save it again with all of its content"
_CHOOSE = (
    "save it again with all of its platforms, select the existing ones with `platforms`, or pass allow_missing=true "
    "to push the incomplete index"
)


def with_faults(archive: Archive, prefix: str = "", *, allow_missing: bool = False) -> Archive:
    """Return the archive with a fault for each incomplete image.

    The message begins with `prefix` and the name of the image. `allow_missing`: an index may lack children.
    """
    return replace(
        archive, images=tuple(_with_fault(archive, entry, prefix, allow_missing) for entry in archive.images)
    )


def _with_fault(archive: Archive, entry: ImageEntry, prefix: str, allow_missing: bool) -> ImageEntry:
    fault = entry.fault
    if fault is None and (contradictions := contradictions_of(archive, entry)):
        fault = Fault(DigestMismatch, "; ".join(contradictions[:MAX_SHOWN]))
    if fault is None:
        lacks = lacking(archive, entry, allow_missing=allow_missing)
        fault = None if lacks.is_nothing else _fault(archive, entry, lacks)
    if fault is None:
        return entry
    name = display_name(entry)[:MAX_NAME]
    named = fault.message if name in fault.message or not entry.called else f"{name}: {fault.message}"
    return replace(entry, fault=replace(fault, message=f"{prefix}{named}"))


@dataclass(frozen=True, slots=True)
class Lacks:
    """What is missing, and why existing content is unusable."""

    missing: dict[str, None] = field(default_factory=dict)
    unusable: dict[Fault, None] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        return not self.missing and not self.unusable

    def add(self, what: Fault | str) -> None:
        if isinstance(what, Fault):
            self.unusable[what] = None
        else:
            self.missing[what] = None


def contradictions_of(archive: Archive, entry: ImageEntry) -> list[str]:
    """Return the reasons why manifests of the image contradict their configs, one for each such manifest."""
    held = (manifest.descriptor.digest for manifest in manifests(archive, entry))
    return [archive.contradictions[digest] for digest in held if digest in archive.contradictions]


def lacking(archive: Archive, entry: ImageEntry, *, allow_missing: bool = False) -> Lacks:
    """Return all content that the image, and what is pushed with it, refers to and the archive lacks."""
    lacks = Lacks()
    roots = () if isinstance(entry.root, DockerImage) else (entry.root,)
    for root in (*roots, *entry.referrers, *(attached.root for attached in entry.attached)):
        if root.digest not in archive.manifests:
            lacks.add(_fault_or_label(archive, root, f"manifest {root.digest}"))
    for manifest in (*manifests(archive, entry), *referrers(archive, entry)):
        if not allow_missing:
            for what in _children(archive, manifest):
                lacks.add(what)
        for what in absent_blobs(archive, manifest):
            lacks.add(what)
    return lacks


def _fault(archive: Archive, entry: ImageEntry, lacks: Lacks) -> Fault:
    reasons = [fault.message for fault in lacks.unusable]
    if lacks.missing:
        reasons.append(f"the archive lacks {join_limited(list(lacks.missing))}")
    is_index = any(manifest.is_index for manifest in manifests(archive, entry))
    there = ", ".join(_whole_platforms(archive, entry)) or "no complete platform"
    holds, remedy = (f"; it has {there}", _CHOOSE) if is_index else ("", archive.advice or _SAVE)
    first = next(iter(lacks.unusable), Fault(MissingContent, ""))
    return replace(
        first, message=f"{display_name(entry)[:MAX_NAME]}: {'; '.join(reasons[:MAX_SHOWN])}{holds}; {remedy}"
    )


def _whole_platforms(archive: Archive, entry: ImageEntry) -> list[str]:
    held = manifests(archive, entry)
    platforms = {child.digest: child.platform for manifest in held for child in manifest.manifests}
    whole = []
    for manifest in held:
        platform = platforms.get(manifest.descriptor.digest) or manifest.descriptor.platform
        lacks = (*_children(archive, manifest), *absent_blobs(archive, manifest))
        if platform is not None and platform.known and not manifest.is_index and not lacks:
            whole.append(str(platform))
    return list(dict.fromkeys(whole))


def _children(archive: Archive, manifest: Manifest) -> Iterator[Fault | str]:
    for child in manifest.manifests:
        if is_manifest(child.media_type) and child.digest not in archive.manifests:
            known = child.platform is not None and child.platform.known
            yield _fault_or_label(
                archive, child, f"manifest {child.digest}" + (f" ({child.platform})" if known else "")
            )
        elif not is_manifest(child.media_type):
            yield from _absent(archive, child, f"content {child.digest} of index {manifest.descriptor.digest}")


def absent_blobs(archive: Archive, manifest: Manifest) -> Iterator[Fault | str]:
    """Yield each blob of the manifest that the archive lacks, or has with another size."""
    for blob in manifest.blobs:
        yield from _absent(archive, blob, f"blob {blob.digest} of manifest {manifest.descriptor.digest}")


def _absent(archive: Archive, descriptor: Descriptor, what: str) -> Iterator[Fault | str]:
    extent = archive.blobs.get(descriptor.digest)
    may_be = descriptor.urls or descriptor.media_type in NON_DISTRIBUTABLE or descriptor.data is not None
    if descriptor.digest in archive.faults:
        yield archive.faults[descriptor.digest]
    elif extent is None:
        if not may_be:
            yield what
    elif extent.size != descriptor.size:
        sizes = f"has {extent.size} bytes in the archive instead of the {descriptor.size} in its descriptor"
        yield Fault(SizeMismatch, f"{what} {sizes}")


def _fault_or_label(archive: Archive, descriptor: Descriptor, what: str) -> Fault | str:
    return archive.faults.get(descriptor.digest, what)
