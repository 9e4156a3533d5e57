"""Signature policies: cosign signatures by key, anywhere in the archives of a push, verified before anything is pushed.

Two forms are supported: "simple signing" (layers of `application/vnd.dev.cosign.simplesigning.v1+json`, with the
signature in an annotation) and sigstore's bundle (a DSSE envelope around an in-toto statement), which cosign 3 writes.
The signed digest counts, not the location of the signature. No transparency log is queried: behind an air gap there is
none.

A signature, attestation or SBOM of a signed image needs no signature itself. It is recognised by its content, never by
its tag: a tag such as `sha256-<hex>.sig` can have any content.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from app.archive import ReadAt
from app.archive.manifests.descendants import descendants
from app.archive.model import Archive, DockerImage
from app.errors import InvalidSettings, MalformedArchive, SignatureRequired
from app.oci import Descriptor, Digest, Manifest, strict_json
from app.oci.media_types import OCI_EMPTY
from app.push.plan.attached_manifests import manifests_beside
from app.push.plan.values import ImageTarget, PushPlan

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
SIGNATURE = "dev.cosignproject.cosign/signature"
MAX_SIGNATURES = 10_000  # per push; each costs about 0.1 ms
MAX_SIGNED_BYTES = 256 << 10  # per payload or bundle; real ones have 250 bytes and 10 KiB
SIGNED_TYPES = frozenset(  # `critical.type` of a simple signing payload: cosign 1 and 2, cosign 3, podman
    {
        "cosign container image signature",
        "https://sigstore.dev/cosign/sign/v1",
        "atomic container signature",
    }
)
IN_TOTO = "application/vnd.in-toto+json"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"  # any other predicate is a different statement about the image
_START = 512  # bytes checked: a tar has NUL bytes there
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
ATTESTATION_LAYERS = frozenset(
    {
        SIMPLE_SIGNING,
        OCI_EMPTY,
        IN_TOTO,
        "application/vnd.dsse.envelope.v1+json",
        "application/jose+json",  # signatures of Notary Project
        "application/spdx+json",
        "text/spdx",
        "text/spdx+json",
        "text/spdx+xml",
        "application/vnd.cyclonedx",
        "application/vnd.cyclonedx+json",
        "application/vnd.cyclonedx+xml",
        "application/vnd.syft+json",
    }
)


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
        places = {f"{reference.registry}/{reference.repository}" for reference in image.destinations}
        return any(fnmatchcase(place, pattern) for place in places for pattern in self.destinations)


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
    found = [signed for pair in zip(plan.archives, files, strict=True) for signed in _signed(*pair)][:MAX_SIGNATURES]
    check = _Check(plan, files, found)
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
    def __init__(self, plan: PushPlan, files: Sequence[ReadAt], found: Sequence[_SignedPayload]) -> None:
        self._plan, self._files = plan, files
        self._found: dict[str, list[_SignedPayload]] = {}
        for signed in found:
            for encoded in signed.digests:
                self._found.setdefault(encoded, []).append(signed)
        self._by_policy: dict[int, frozenset[Digest]] = {}  # by the identity of the policy

    def image(self, image: ImageTarget, policy: SignaturePolicy) -> str | None:
        """Return the notice, or None for an attestation of a signed image. Raises SignatureRequired."""
        name = ", ".join(str(reference) for reference in image.destinations[:3])
        if self._is_attestation_of_signed(image, policy):
            return None
        root = self._root(image, name)
        key = self._key(root.digest, policy)
        if key is None:
            raise self._missing(name, root.digest, policy)
        for manifest in manifests_beside(self._plan.archives[image.archive], image.entry):
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
        for key in policy.keys:
            if any(key.verifies(signed.signature, signed.message) for signed in self._of(digest)):
                return key
        return None

    def _of(self, digest: Digest) -> Sequence[_SignedPayload]:
        return self._found.get(digest.encoded, ())

    def _missing(self, name: str, digest: Digest, policy: SignaturePolicy) -> SignatureRequired:
        words = "its signatures are by other keys" if self._of(digest) else "no signature of it is in this request"
        return SignatureRequired(
            f"{name} ({digest}) must be signed by {' or '.join(key.name for key in policy.keys)}, but {words}; put "
            "its signature into the archive, or send both in one request"
        )

    def _is_attestation_of_signed(self, image: ImageTarget, policy: SignaturePolicy) -> bool:
        root = image.entry.root
        if isinstance(root, DockerImage):
            return False
        manifest = self._plan.archives[image.archive].manifests[root.digest]
        beside = manifests_beside(self._plan.archives[image.archive], image.entry)
        if not all(self._is_attestation(image, item) for item in (manifest, *beside)):
            return False
        return any(subject in self._signed_by(policy) for subject in _subjects(manifest, image))

    def _is_attestation(self, image: ImageTarget, manifest: Manifest) -> bool:
        """Return whether every layer is a signature, an attestation or an SBOM, by its media type and its bytes."""
        archive, file = self._plan.archives[image.archive], self._files[image.archive]
        return bool(manifest.layers) and all(_attests(archive, file, layer) for layer in manifest.layers)

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


def _attests(archive: Archive, file: ReadAt, layer: Descriptor) -> bool:
    if layer.media_type not in ATTESTATION_LAYERS and not layer.media_type.startswith(BUNDLE):
        return False
    extent = archive.blobs.get(layer.digest)
    start = (layer.data or b"")[:_START] if extent is None else file.read_at(extent.offset, min(extent.size, _START))
    return b"\0" not in start and not start.startswith(_COMPRESSED)


def _subjects(manifest: Manifest, image: ImageTarget) -> Iterator[Digest]:
    """Yield the subjects of an attestation: its subject, and the digest in a tag of cosign."""
    if manifest.subject is not None:
        yield manifest.subject.digest
    for reference in image.destinations:
        algorithm, _, rest = (reference.tag or "").partition("-")
        try:
            yield Digest.parse(f"{algorithm}:{rest.partition('.')[0]}")
        except MalformedArchive:
            continue


def _signed(archive: Archive, file: ReadAt) -> Iterator[_SignedPayload]:
    for manifest in archive.manifests.values():
        for layer in manifest.layers:
            if layer.size > MAX_SIGNED_BYTES:
                continue
            if layer.media_type == SIMPLE_SIGNING and SIGNATURE in layer.annotations:
                yield from _simple(_content(archive, file, layer), layer.annotations[SIGNATURE])
            elif layer.media_type.startswith(BUNDLE):
                yield from _bundled(_content(archive, file, layer))


def _content(archive: Archive, file: ReadAt, layer: Descriptor) -> bytes:
    extent = archive.blobs.get(layer.digest)
    if extent is None:
        return layer.data or b""
    if extent.size != layer.size:
        return b""
    content = file.read_at(extent.offset, extent.size)
    # the declaration is only trusted if the bytes match the digest
    return content if hashlib.new(layer.digest.algorithm, content).hexdigest() == layer.digest.encoded else b""


def _simple(payload: bytes, signature: str) -> Iterator[_SignedPayload]:
    critical = _within(_members(payload), "critical")
    if critical.get("type") in SIGNED_TYPES:
        yield from _one({_within(critical, "image").get("docker-manifest-digest")}, payload, signature)


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
