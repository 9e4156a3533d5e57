"""Manifest: an image manifest, image index or artifact, with its unchanged bytes.

Sources: image-spec manifest.md, image-index.md; Docker's image manifest v2 schema 2. The bytes are never serialized
again, so the digest does not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import DigestMismatch, LimitExceeded, MalformedArchive, SizeMismatch
from app.oci import media_types
from app.oci.descriptor import Descriptor, parse_annotations, parse_media_type
from app.oci.digest import Digest
from app.oci.strict_json import refuse_lookalikes, strict_json

MAX_MANIFEST_BYTES = 4 << 20  # distribution-spec: registries accept at least 4 MiB; distribution rejects more
_FIELDS = ("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations")
MAX_REFERENCES = 20_000  # descriptors in one manifest; real indexes have below 100, images below 200
_Plain = tuple[str, str, int]  # media type, digest, size


@dataclass(frozen=True, slots=True)
class Manifest:
    """A verified manifest: its bytes and what they refer to.

    `blobs` are config and layers, `manifests` the children of an index; both are in document order. `carried` are blobs
    that are pushed with the manifest although its document does not list them."""

    descriptor: Descriptor
    raw: bytes
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str]
    carried: tuple[Descriptor, ...] = ()

    @property
    def is_index(self) -> bool:
        return self.descriptor.media_type in media_types.INDEXES

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """Return the entries of an index, or the manifests among the layers (bundles of packages, UDS)."""
        return self.manifests or tuple(layer for layer in self.layers if media_types.is_manifest(layer.media_type))

    def has_digest(self, digest: Digest | None) -> bool:
        """Return whether `digest` is a digest of this manifest, in any algorithm."""
        return self.descriptor.digest.is_same(digest, self.raw)

    @property
    def blobs(self) -> Iterator[Descriptor]:
        if self.config is not None:
            yield self.config
        yield from self.layers


def parse_manifest(raw: bytes, descriptor: Descriptor) -> Manifest:
    """Check `raw` against the digest, size and media type of `descriptor`, then read it.

    Raises SizeMismatch, DigestMismatch, LimitExceeded, MalformedArchive."""
    what = f"manifest {descriptor.digest}"
    verify(raw, descriptor, what)
    members = strict_json(raw, what=what, limit=MAX_MANIFEST_BYTES)
    if not isinstance(members, dict):
        raise MalformedArchive(f"{what} is not an object")
    refuse_lookalikes(members, _FIELDS, what)
    stated = members.get("mediaType")
    if stated is not None and parse_media_type(stated, what) != descriptor.media_type:
        raise MalformedArchive(f"{what} has the media type {stated}, but its descriptor has {descriptor.media_type}")
    if "manifests" in members and ("layers" in members or "config" in members):
        # CVE-2021-41190: one document is an index for one reader and an image for another
        raise MalformedArchive(f"{what} has both `manifests` and `layers` or `config`")
    return _read(members, raw, descriptor, what)


def verify(raw: bytes, descriptor: Descriptor, what: str) -> None:
    """Raise SizeMismatch or DigestMismatch if `raw` does not match `descriptor`."""
    if len(raw) != descriptor.size:
        raise SizeMismatch(f"{what} has {len(raw)} bytes, but its descriptor has {descriptor.size}")
    hasher = descriptor.digest.hasher()
    hasher.update(raw)
    if hasher.hexdigest() != descriptor.digest.encoded:
        raise DigestMismatch(
            f"{what} does not match its digest: its bytes have {descriptor.digest.algorithm}:{hasher.hexdigest()}"
        )


def _read(members: dict[str, Any], raw: bytes, descriptor: Descriptor, what: str) -> Manifest:
    is_index = descriptor.media_type in media_types.INDEXES
    if is_index != ("manifests" in members):
        has = "no `manifests`" if is_index else "`manifests`"
        raise MalformedArchive(f"{what} has {has}, unlike its media type {descriptor.media_type}")
    config, subject = members.get("config"), members.get("subject")
    if not is_index and config is None:
        raise MalformedArchive(f"{what} has no config")
    return Manifest(
        descriptor=descriptor,
        raw=raw,
        config=None if config is None else Descriptor.parse(config, f"the config of {what}"),
        layers=_descriptors(members.get("layers"), f"layer {{}} of {what}"),
        manifests=_descriptors(members.get("manifests"), f"entry {{}} of {what}"),
        subject=None if subject is None else Descriptor.parse(subject, f"the subject of {what}"),
        annotations=parse_annotations(members.get("annotations"), what),
    )


def _descriptors(value: object, what: str) -> tuple[Descriptor, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MalformedArchive(f"{what.format('list')} is not a list")
    if len(value) > MAX_REFERENCES:
        raise LimitExceeded(f"{what.format(len(value))}: at most {MAX_REFERENCES} descriptors are read")
    known: dict[_Plain, Descriptor] = {}
    return tuple(_descriptor(entry, what.format(number), known) for number, entry in enumerate(value, 1))


def _descriptor(entry: object, what: str, known: dict[_Plain, Descriptor]) -> Descriptor:
    """Parse a descriptor; equal descriptors are parsed once and share one value.

    Without `known`, 100,000 entries for the same layer took 0.8 s and 30 MB."""
    plain = _plain(entry)
    if plain is None:
        return Descriptor.parse(entry, what)
    found = known.get(plain)
    if found is None:
        found = known[plain] = Descriptor.parse(entry, what)
    return found


def _plain(entry: object) -> _Plain | None:
    """Return the key of a descriptor that has exactly these three members, or None for any other entry."""
    if not isinstance(entry, dict) or len(entry) != 3:
        return None
    plain = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    return plain if tuple(map(type, plain)) == (str, str, int) else None  # type: ignore[return-value]


def media_type_of(members: Mapping[str, Any]) -> str:
    """Return the stated media type, or the one implied by the members (image-spec: `mediaType` is optional)."""
    stated = members.get("mediaType")
    if isinstance(stated, str):
        return stated
    return media_types.OCI_INDEX if "manifests" in members else media_types.OCI_MANIFEST


def new_manifest(raw: bytes, media_type: str) -> Manifest:
    """Return a manifest that Tarmac made: its descriptor is computed from its bytes."""
    return parse_manifest(raw, Descriptor(media_type, Digest.of(raw), len(raw)))


def referrer(manifest: Manifest) -> Descriptor:
    """Return the descriptor that lists `manifest` as a referrer (distribution-spec "Listing Referrers").

    It has the manifest's annotations and artifactType. Without an artifactType, it has the media type of the config."""
    stated = strict_json(manifest.raw, what="manifest", limit=MAX_MANIFEST_BYTES).get("artifactType")
    kind = stated if isinstance(stated, str) and stated else None
    if kind is None and manifest.config is not None:
        kind = manifest.config.media_type
    old = manifest.descriptor
    return Descriptor(old.media_type, old.digest, old.size, annotations=manifest.annotations, artifact_type=kind)
