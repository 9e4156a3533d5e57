"""Signature policies: cosign signatures by key, anywhere in the archives of a push, verified before anything is pushed.

Two forms are supported: "simple signing" (layers of `application/vnd.dev.cosign.simplesigning.v1+json`, with the
signature in an annotation) and sigstore's bundle (a DSSE envelope around an in-toto statement), which cosign 3 writes.
The signed digest counts, not the location of the signature. No transparency log is queried: behind an air gap there is
none.

A signature, attestation or SBOM of a signed image needs no signature itself. It is recognised by its content, never by
its tag: a tag such as `sha256-<hex>.sig` can have any content. It may have no other tag than one that names the
signed image, so it replaces no image.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from app.archive import ReadAt
from app.archive.manifests.descendants import descendants
from app.archive.model import Archive, DockerImage
from app.errors import InvalidSettings, MalformedArchive, SignatureRequired
from app.oci import Descriptor, Digest, Manifest, strict_json
from app.push.plan.attached_manifests import attached_manifests
from app.push.plan.values import ImageTarget, PushPlan
from app.push.signatures.attestations import BUNDLE, IN_TOTO, SIMPLE_SIGNING, LayerReader

SIGNATURE = "dev.cosignproject.cosign/signature"
MAX_SIGNATURES = 10_000  # read per push; each costs about 0.1 ms
MAX_SIGNED_BYTES = 256 << 10  # per payload or bundle; real ones have 250 bytes and 10 KiB
MAX_ALL_SIGNED_BYTES = 64 << 20  # of all payloads and bundles of a push; they are kept in memory
SIGNED_TYPES = frozenset(  # `critical.type` of a simple signing payload: cosign 1 and 2, cosign 3, podman
    {
        "cosign container image signature",
        "https://sigstore.dev/cosign/sign/v1",
        "atomic container signature",
    }
)
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"  # any other predicate is a different statement about the image


class VerificationKey(Protocol):
    """A public key. `name` is displayed."""

    @property
    def name(self) -> str: ...

    def verifies(self, signature: bytes, message: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """Images whose destination matches one of `destinations` require a signature by one of `keys`.

    Destinations are `host/repository`; the patterns are globs, and `*` also matches `/`.
    """

    destinations: tuple[str, ...]
    keys: tuple[VerificationKey, ...]

    def covers(self, image: ImageTarget) -> bool:
        names = {f"{reference.registry}/{reference.repository}" for reference in image.destinations}
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.destinations)


@dataclass(frozen=True, slots=True)
class _SignedPayload:
    """A signed message. `digests`, in hex, are what it declares as signed."""

    digests: frozenset[str]
    message: bytes
    signature: bytes


def check_signatures(
    plan: PushPlan, files: Sequence[ReadAt], policies: Sequence[SignaturePolicy]
) -> tuple[tuple[str, ...], dict[int, SignatureRequired]]:
    """Return the notices of signed images, and by number the errors of images that lack a required signature.

    A notice has the name of the key. `files`: one for each archive of the plan. Blocks.
    """
    wanted = [(number, image) for number, image in enumerate(plan.images) if number not in plan.refused]
    covered = [(number, image, policy) for number, image in wanted for policy in policies if policy.covers(image)]
    if not covered:
        return (), {}
    check = _Check(plan, files)
    notices: list[str] = []
    unsigned: dict[int, SignatureRequired] = {}
    for number, image, policy in covered:
        try:
            notice = check.image(image, policy)
            notices.extend([] if notice is None else [notice])
        except SignatureRequired as error:
            unsigned.setdefault(number, error)
    return tuple(notices), unsigned


class _Check:
    def __init__(self, plan: PushPlan, files: Sequence[ReadAt]) -> None:
        self._plan, self._files, self._layers = plan, files, LayerReader()
        self._found: dict[str, list[_SignedPayload]] = {}
        manifests = frozenset(digest.encoded for archive in plan.archives for digest in archive.manifests)
        for signed in self._payloads():
            for encoded in signed.digests & manifests:
                self._found.setdefault(encoded, []).append(signed)
        self._by_policy: dict[int, frozenset[Digest]] = {}  # by the identity of the policy
        self._keys: dict[tuple[int, Digest], VerificationKey | None] = {}  # the same, and the manifest
        self._attestations: dict[tuple[int, Digest], bool] = {}  # by archive and manifest

    def _payloads(self) -> Iterator[_SignedPayload]:
        reader, contents = LayerReader(MAX_ALL_SIGNED_BYTES), dict[Digest, bytes]()
        for archive, file, layer in islice(self._signature_layers(), MAX_SIGNATURES):
            content = contents.get(layer.digest) or reader.read(archive, file, layer)
            contents[layer.digest] = content
            yield from _bundled(content) if _is_bundle(layer) else _simple(content, layer)

    def _signature_layers(self) -> Iterator[tuple[Archive, ReadAt, Descriptor]]:
        """Yield the layers that may be signatures, each signature once."""
        seen = set[tuple[Digest, str | None]]()
        for archive, file in zip(self._plan.archives, self._files, strict=True):
            for layer in _signature_layers(archive):
                signature = layer.digest, None if _is_bundle(layer) else layer.annotations[SIGNATURE]
                if signature not in seen:
                    seen.add(signature)
                    yield archive, file, layer

    def image(self, image: ImageTarget, policy: SignaturePolicy) -> str | None:
        """Return the notice, or None for an attestation of a signed image. Raises SignatureRequired."""
        name = ", ".join(str(reference) for reference in image.destinations[:3])
        if self._is_attestation_of_signed(image, policy):
            return None
        root = self._root(image, name)
        key = self._key(root.digest, policy)
        if key is None:
            raise self._missing(name, root.digest, policy)
        for manifest in attached_manifests(self._plan.archives[image.archive], image.entry):
            digest = manifest.descriptor.digest
            if not self._is_attestation(image, manifest) and self._key(digest, policy) is None:
                raise self._missing(f"a manifest that refers to {name}", digest, policy)
        return f"{name} is signed by {key.name}"

    def _root(self, image: ImageTarget, name: str) -> Descriptor:
        root = image.entry.root
        if not isinstance(root, Descriptor):
            raise SignatureRequired(
                f"{name} must be signed, and a docker archive cannot contain a signature, because the digest of its "
                "image is generated by the push; save it as an OCI layout with its signature, as `cosign save` does"
            )
        if self._plan.media_types != "keep" or self._plan.on_existing_tag.startswith("merge"):
            raise SignatureRequired(
                f"{name} must be signed, and media_types or on_existing_tag would change the signed manifest; omit "
                "these options"
            )
        return root

    def _key(self, digest: Digest, policy: SignaturePolicy) -> VerificationKey | None:
        """Return the key of `policy` that signed `digest`."""
        asked = id(policy), digest
        if asked not in self._keys:
            signatures = [(key, signed) for key in policy.keys for signed in self._of(digest)]
            found = (key for key, signed in signatures if key.verifies(signed.signature, signed.message))
            self._keys[asked] = next(found, None)
        return self._keys[asked]

    def _of(self, digest: Digest) -> Sequence[_SignedPayload]:
        return self._found.get(digest.encoded, ())

    def _missing(self, name: str, digest: Digest, policy: SignaturePolicy) -> SignatureRequired:
        reason = "its signatures are by other keys" if self._of(digest) else "no signature of it is in this request"
        return SignatureRequired(
            f"{name} ({digest}) must be signed by {' or '.join(key.name for key in policy.keys)}, but {reason}; put "
            "its signature into the archive, or send both in one request"
        )

    def _is_attestation_of_signed(self, image: ImageTarget, policy: SignaturePolicy) -> bool:
        root = image.entry.root
        if isinstance(root, DockerImage):
            return False
        manifest = self._plan.archives[image.archive].manifests[root.digest]
        attached = attached_manifests(self._plan.archives[image.archive], image.entry)
        if not all(self._is_attestation(image, item) for item in (manifest, *attached)):
            return False
        subjects = _subjects(manifest, image)
        return bool(subjects) and subjects <= self._signed_by(policy)

    def _is_attestation(self, image: ImageTarget, manifest: Manifest) -> bool:
        """Return whether every layer is a signature, an attestation or an SBOM, by its media type and its bytes."""
        asked = image.archive, manifest.descriptor.digest
        if asked not in self._attestations:
            archive, file = self._plan.archives[image.archive], self._files[image.archive]
            attests = (self._layers.is_attestation(archive, file, layer) for layer in manifest.layers)
            self._attestations[asked] = bool(manifest.layers) and all(attests)
        return self._attestations[asked]

    def _signed_by(self, policy: SignaturePolicy) -> frozenset[Digest]:
        """Return the signed manifests of the request, and those within them."""
        known = self._by_policy.get(id(policy))
        if known is None:
            found = (digest for archive in self._plan.archives for digest in self._signed_in(archive, policy))
            known = self._by_policy[id(policy)] = frozenset(found)
        return known

    def _signed_in(self, archive: Archive, policy: SignaturePolicy) -> Iterator[Digest]:
        for digest, manifest in archive.manifests.items():
            if self._key(digest, policy) is not None:
                yield from descendants(manifest, archive.manifests)


def _subjects(manifest: Manifest, image: ImageTarget) -> frozenset[Digest | None]:
    """Return the subjects of an attestation: the digests in its cosign tags, or its subject if it has no tag.

    A tag without a digest adds None.
    """
    tags = [reference.tag for reference in image.destinations if reference.tag is not None]
    if tags:
        return frozenset(map(_digest_in, tags))
    return frozenset(() if manifest.subject is None else (manifest.subject.digest,))


def _digest_in(tag: str) -> Digest | None:
    algorithm, _, rest = tag.partition("-")
    try:
        return Digest.parse(f"{algorithm}:{rest.partition('.')[0]}")
    except MalformedArchive:
        return None


def _signature_layers(archive: Archive) -> Iterator[Descriptor]:
    """Yield the layers that may be signatures."""
    for manifest in archive.manifests.values():
        for layer in manifest.layers:
            is_simple = layer.media_type == SIMPLE_SIGNING and SIGNATURE in layer.annotations
            if layer.size <= MAX_SIGNED_BYTES and (is_simple or _is_bundle(layer)):
                yield layer


def _is_bundle(layer: Descriptor) -> bool:
    return layer.media_type.startswith(BUNDLE)


def _simple(payload: bytes, layer: Descriptor) -> Iterator[_SignedPayload]:
    critical = _within(_members(payload), "critical")
    if critical.get("type") in SIGNED_TYPES:
        yield from _one(
            {_within(critical, "image").get("docker-manifest-digest")}, payload, layer.annotations[SIGNATURE]
        )


def _bundled(text: bytes) -> Iterator[_SignedPayload]:
    envelope = _within(_members(text), "dsseEnvelope")
    kind, signatures = envelope.get("payloadType"), envelope.get("signatures")
    payload = _decoded(envelope.get("payload"))
    statement = _members(payload)
    subjects = statement.get("subject")
    if kind != IN_TOTO or statement.get("predicateType") != SIGN_PREDICATE:
        return
    if not isinstance(signatures, list) or not isinstance(subjects, list):
        return
    digests = {
        f"sha256:{_within(subject, 'digest').get('sha256')}" for subject in subjects if isinstance(subject, dict)
    }
    # the pre-authentication encoding of DSSE 1.0
    message = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)
    for signature in signatures:
        yield from _one(digests, message, signature.get("sig") if isinstance(signature, dict) else None)


def _one(digests: set[Any], message: bytes, signature: object) -> Iterator[_SignedPayload]:
    hexes = frozenset(digest.removeprefix("sha256:") for digest in digests if isinstance(digest, str))
    decoded = _decoded(signature)
    if hexes and decoded:
        yield _SignedPayload(hexes, message, decoded)


def _members(text: bytes) -> Mapping[str, Any]:
    try:
        members = strict_json(text, what="a signature", limit=MAX_SIGNED_BYTES)
    except MalformedArchive:
        return {}
    return members if isinstance(members, dict) else {}


def _within(members: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = members.get(name)
        members = inner if isinstance(inner, dict) else {}
    return members


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        return b""


def load_key(file: Path) -> VerificationKey:
    """Load a public key in PEM, as `cosign generate-key-pair` writes it.

    It is ECDSA, Ed25519 or RSA. Blocks. Raises InvalidSettings.
    """
    try:
        from app.push.signatures.public_keys import parse_key
    except ImportError:
        raise InvalidSettings(
            "signature policies need the extra `verify`; install it with pip install 'tarmac[verify]'"
        ) from None
    try:
        return parse_key(file.name, file.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{file} is not a public key in PEM: {error}") from None
