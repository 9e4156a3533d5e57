"""Who signed what: cosign's signatures by key, found anywhere in the archives of a push, checked before anything is
pushed.

Two forms are read: "simple signing" (layers of `application/vnd.dev.cosign.simplesigning.v1+json`, the signature in an
annotation) and sigstore's bundle (a DSSE envelope around an in-toto statement), which cosign 3 writes. What counts is
the digest that was signed, not where the signature hangs. Without a transparency log: behind an air gap there is none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from app.archive import ReadAt
from app.archive.model import Archive
from app.errors import InvalidSettings, MalformedArchive, SignatureRequired
from app.oci import Descriptor, strict_json
from app.push.plan import ImageTarget, PushPlan

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
SIGNATURE = "dev.cosignproject.cosign/signature"
MAX_SIGNATURES = 10_000  # of one push; each costs about 0.1 ms
MAX_SIGNED_BYTES = 256 << 10  # of one payload or bundle; real ones have 250 bytes and 10 KiB
_COSIGN_TAG = re.compile(r"sha256-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")


class Key(Protocol):
    """A public key. `name` is shown."""

    @property
    def name(self) -> str: ...

    def verifies(self, signature: bytes, message: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """Images whose destination (`host/repository`) matches one of `destinations` (globs, `*` also for `/`) need a
    signature by one of `keys`."""

    destinations: tuple[str, ...]
    keys: tuple[Key, ...]

    def covers(self, image: ImageTarget) -> bool:
        """What stands under a tag as cosign makes them (`sha256-<hex>.sig`) is a signature and not signed itself."""
        if all(each.tag is not None and _COSIGN_TAG.fullmatch(each.tag) for each in image.destinations):
            return False
        places = {f"{each.registry}/{each.repository}" for each in image.destinations}
        return any(fnmatchcase(place, pattern) for place in places for pattern in self.destinations)


@dataclass(frozen=True, slots=True)
class _Signed:
    """`digests` as hex: what the message says is signed."""

    digests: frozenset[str]
    message: bytes
    signature: bytes


def check_signatures(plan: PushPlan, files: Sequence[ReadAt], policies: Sequence[SignaturePolicy]) -> tuple[str, ...]:
    """A notice for each image that had to be signed, saying by whom. `files`: one per archive of the plan. Blocks.
    Raises SignatureRequired naming the first image without a signature that counts."""
    covered = [(image, each) for image in plan.images for each in policies if each.covers(image)]
    if not covered:
        return ()
    signed = [each for pair in zip(plan.archives, files, strict=True) for each in _signed(*pair)][:MAX_SIGNATURES]
    return tuple(_checked(plan, image, policy, signed) for image, policy in covered)


def _checked(plan: PushPlan, image: ImageTarget, policy: SignaturePolicy, signed: Sequence[_Signed]) -> str:
    name = ", ".join(str(each) for each in image.destinations[:3])
    root = image.entry.root
    if not isinstance(root, Descriptor):
        raise SignatureRequired(
            f"{name} has to be signed, and a docker archive cannot carry a signature: the digest of its image is made "
            "when it is pushed; save it as an OCI layout together with its signature, as `cosign save` does"
        )
    if plan.media_types != "keep" or plan.on_existing_tag.startswith("merge"):
        raise SignatureRequired(
            f"{name} has to be signed, and media_types or on_existing_tag would make another manifest of it than the "
            "one that was signed; leave these options out"
        )
    found = [each for each in signed if root.digest.encoded in each.digests]
    for key in policy.keys:
        if any(key.verifies(each.signature, each.message) for each in found):
            return f"{name} is signed by {key.name}"
    words = "its signatures are by other keys" if found else "no signature of it is in the archives of this request"
    raise SignatureRequired(
        f"{name} ({root.digest}) has to be signed by {' or '.join(key.name for key in policy.keys)}, and {words}; "
        "put its signature into the archive, or send both in one request"
    )


def _signed(archive: Archive, file: ReadAt) -> Iterator[_Signed]:
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
    content = file.read_at(extent.offset, extent.size)
    # what is said to be signed is believed only of the very bytes that the digest names
    return content if hashlib.new(layer.digest.algorithm, content).hexdigest() == layer.digest.encoded else b""


def _simple(payload: bytes, signature: str) -> Iterator[_Signed]:
    image = _within(_members(payload), "critical", "image")
    yield from _one({image.get("docker-manifest-digest")}, payload, signature)


def _bundled(text: bytes) -> Iterator[_Signed]:
    envelope = _within(_members(text), "dsseEnvelope")
    kind, signatures = envelope.get("payloadType"), envelope.get("signatures")
    payload = _decoded(envelope.get("payload"))
    subjects = _members(payload).get("subject")
    if not isinstance(kind, str) or not isinstance(signatures, list) or not isinstance(subjects, list):
        return
    digests = {f"sha256:{_within(each, 'digest').get('sha256')}" for each in subjects if isinstance(each, dict)}
    # the pre-authentication encoding of DSSE 1.0
    message = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
    for each in signatures:
        yield from _one(digests, message, each.get("sig") if isinstance(each, dict) else None)


def _one(digests: set[Any], message: bytes, signature: object) -> Iterator[_Signed]:
    hexes = frozenset(each.removeprefix("sha256:") for each in digests if isinstance(each, str))
    decoded = _decoded(signature)
    if hexes and decoded:
        yield _Signed(hexes, message, decoded)


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


def load_key(file: Path) -> Key:
    """A public key in PEM, as `cosign generate-key-pair` writes it: ECDSA, Ed25519 or RSA. Blocks. Raises
    InvalidSettings."""
    try:
        from app.push.public_keys import parse_key
    except ImportError:
        raise InvalidSettings("signatures are checked by the extra `verify`: pip install 'tarmac[verify]'") from None
    try:
        return parse_key(file.name, file.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{file} is no public key in PEM: {error}") from None
