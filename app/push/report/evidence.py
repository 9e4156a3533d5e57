"""Evidence about an image in its archive: signatures, SBOMs, attestations; pure.

It is recognised by names, never by content: the tags of cosign, the artifactType of a referrer, and in an index of
BuildKit the annotations of its attestation manifests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from app.archive.model import Archive, DockerImage, ImageEntry
from app.oci import Descriptor, Manifest
from app.oci.manifest import referrer
from app.push.plan.image_content import manifests

MAX_EVIDENCE = 200  # reported per image
_REFERENCE, _SUBJECT = "vnd.docker.reference.type", "vnd.docker.reference.digest"
_PREDICATE = "in-toto.io/predicate-type"


class Kind(StrEnum):
    SIGNATURE = "signature"
    SBOM = "sbom"
    ATTESTATION = "attestation"
    OTHER = "other"


_TAGS = {"sig": Kind.SIGNATURE, "att": Kind.ATTESTATION, "sbom": Kind.SBOM}
_KEYWORDS = (
    (Kind.SBOM, ("spdx", "cyclonedx", "syft", "sbom")),
    (Kind.ATTESTATION, ("in-toto", "attestation", "slsa", "provenance", "dsse", "sigstore.bundle")),
    (Kind.SIGNATURE, ("signature", "cosign", "notary")),
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence.

    `type`: the predicate, artifactType or tag that identifies it. `platform`: that of its subject, if the subject is
    one of several. `digest`: that of its manifest.
    """

    kind: Kind
    type: str
    platform: str | None
    digest: str


def evidence_of(archive: Archive, entry: ImageEntry) -> tuple[Evidence, ...]:
    """Return the first MOST pieces of evidence."""
    return tuple(islice(_all(archive, entry), MAX_EVIDENCE))


def kind_of(text: str) -> Kind:
    """Return the kind of a predicate or an artifactType."""
    low = text.lower()
    return next((kind for kind, keywords in _KEYWORDS if any(keyword in low for keyword in keywords)), Kind.OTHER)


def _all(archive: Archive, entry: ImageEntry) -> Iterator[Evidence]:
    for attached in entry.attached:
        kind = _TAGS.get(attached.tag.rpartition(".")[2], Kind.OTHER)
        yield Evidence(kind, attached.tag, None, str(attached.root.digest))
    for item in entry.referrers:
        found = archive.manifests.get(item.digest)
        stated = (item if found is None else referrer(found)).artifact_type or ""
        yield Evidence(kind_of(stated), stated, None, str(item.digest))
    if not isinstance(entry.root, DockerImage):
        for manifest in manifests(archive, entry):
            yield from _within(archive, manifest)


def _within(archive: Archive, index: Manifest) -> Iterator[Evidence]:
    about = {str(manifest.digest): manifest.platform for manifest in index.manifests}
    for manifest in index.manifests:
        if manifest.annotations.get(_REFERENCE) == "attestation-manifest":
            platform = about.get(manifest.annotations.get(_SUBJECT, ""))
            for predicate in _predicates(archive, manifest):
                yield Evidence(
                    kind_of(predicate), predicate, None if platform is None else str(platform), str(manifest.digest)
                )


def _predicates(archive: Archive, descriptor: Descriptor) -> Iterator[str]:
    manifest = archive.manifests.get(descriptor.digest)
    for layer in () if manifest is None else manifest.layers:
        yield layer.annotations.get(_PREDICATE, layer.media_type)
