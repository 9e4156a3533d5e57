"""Images that have to be signed are pushed only with a signature by a key that counts."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.archive import open_archive
from app.errors import InvalidSettings, SignatureRequired
from app.push import Destination, PushOptions, make_plan
from app.push.signatures.attestations import BUNDLE, IN_TOTO, SIMPLE_SIGNING
from app.push.signatures.policy import (
    MAX_SIGNED_BYTES,
    SIGN_PREDICATE,
    SIGNATURE,
    SignaturePolicy,
    check_signatures,
    load_key,
)
from tests.support.archives import (
    OCI_EMPTY,
    OCI_MANIFEST,
    Node,
    descriptor,
    docker_save,
    entry,
    image,
    oci_image,
    oci_index,
    oci_layout,
    sha256,
    tagged,
    to_json,
)
from tests.support.opening import taken_in

Private = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
EC, OTHER, ED = new_ec(SECP256R1()), new_ec(SECP256R1()), Ed25519PrivateKey.generate()
RSA = new_rsa(65537, 2048)
APP = oci_image(image({"bin/app": b"one"}))
COSIGN_TYPE = "cosign container image signature"


def signed(key: Private, message: bytes) -> str:
    if isinstance(key, EllipticCurvePrivateKey):
        made = key.sign(message, ECDSA(SHA256()))
    elif isinstance(key, Ed25519PrivateKey):
        made = key.sign(message)
    else:
        made = key.sign(message, PKCS1v15(), SHA256())
    return base64.b64encode(made).decode()


def artifact(media_type: str, blob: bytes, **annotations: str) -> Node:
    layer = descriptor(media_type, blob) | ({"annotations": annotations} if annotations else {})
    members = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_EMPTY, b"{}"),
        "layers": [layer],
    }
    return Node(to_json(members), OCI_MANIFEST, {sha256(b"{}"): b"{}", sha256(blob): blob})


def payload_of(digest: str, kind: str = COSIGN_TYPE) -> bytes:
    return to_json({"critical": {"image": {"docker-manifest-digest": digest}, "type": kind}, "optional": None})


def simple(key: Private, of: Node = APP, says: str | None = None, kind: str = COSIGN_TYPE) -> Node:
    """What `cosign sign --key` puts beside an image."""
    payload = payload_of(says or of.digest, kind)
    return artifact(SIMPLE_SIGNING, payload, **{SIGNATURE: signed(key, payload)})


def bundled(key: Private, of: Node = APP, predicate: str = SIGN_PREDICATE, kind: str = IN_TOTO) -> Node:
    """What cosign 3 puts beside an image."""
    subject = [{"digest": {"sha256": of.digest[7:]}}]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate}
    payload = to_json(statement)
    message = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"sig": signed(key, message)}],
    }
    return artifact(f"{BUNDLE}.v0.3+json", to_json({"dsseEnvelope": envelope}))


def public(key: Private, place: Path, name: str = "ours.pub") -> Path:
    file = place / name
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


def policy(place: Path, key: Private = EC, *destinations: str) -> SignaturePolicy:
    return SignaturePolicy(destinations or ("*",), (load_key(public(key, place)),))


def checked(archives: list[bytes], *policies: SignaturePolicy, **options: Any) -> tuple[str, ...]:
    taken = [taken_in(item) for item in archives]
    pairs = [(open_archive(index, source), source) for index, source in taken]
    chosen = PushOptions.parse({name: [value] for name, value in options.items()})
    plan = make_plan([archive for archive, _ in pairs], chosen, Destination("default", "registry.test"))
    notices, unsigned = check_signatures(plan, [file for _, file in pairs], policies)
    for error in unsigned.values():
        raise error
    return notices


def with_signature(signature: Node) -> bytes:
    tag = "sha256-" + APP.digest[7:] + ".sig"
    return oci_layout([entry(APP, ref="example.com/prod/app:1"), entry(signature, ref=f"example.com/prod/app:{tag}")])


@pytest.mark.parametrize("key", [EC, ED, RSA], ids=["ecdsa", "ed25519", "rsa"])
@pytest.mark.parametrize("make", [simple, bundled])
def test_a_signature_by_the_key_counts_and_the_notice_says_whose_it_is(tmp_path: Path, key: Private, make: Any) -> None:
    (notice,) = checked([with_signature(make(key))], policy(tmp_path, key, "*/prod/*"))
    assert notice == "registry.test/prod/app:1 is signed by ours.pub"


def test_a_signature_in_another_archive_of_the_request_counts(tmp_path: Path) -> None:
    apart = oci_layout([entry(simple(EC), ref="example.com/elsewhere:1")])
    alone = oci_layout([entry(APP, ref="example.com/prod/app:1")])
    (notice,) = checked([alone, apart], policy(tmp_path, EC, "registry.test/prod/*"))
    assert notice == "registry.test/prod/app:1 is signed by ours.pub"


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (simple(OTHER), "by other keys"),
        (bundled(OTHER), "by other keys"),
        (simple(EC, says=sha256(b"another")), "no signature of it"),
        (simple(EC, kind="scan failed"), "no signature of it"),
        (bundled(EC, predicate="https://example.com/scan-failed"), "no signature of it"),
        (bundled(EC, predicate="https://slsa.dev/provenance/v1"), "no signature of it"),
        (bundled(EC, kind="text/plain"), "no signature of it"),
        (artifact(SIMPLE_SIGNING, b"{", **{SIGNATURE: "AAAA"}), "no signature of it"),
        (artifact(SIMPLE_SIGNING, b"[]", **{SIGNATURE: "AAAA"}), "no signature of it"),
        (
            artifact(SIMPLE_SIGNING, payload_of(APP.digest)),
            "no signature",
        ),
        (artifact(SIMPLE_SIGNING, to_json({"critical": {"image": 1}}), **{SIGNATURE: "!"}), "no signature of it"),
        (artifact(f"{BUNDLE}.v0.3+json", b'{"dsseEnvelope": {"payload": 1, "signatures": 2}}'), "no signature of it"),
        (artifact(f"{BUNDLE}.v0.3+json", b'{"dsseEnvelope": {"signatures": [1]}}'), "no signature of it"),
    ],
)
def test_what_is_no_signature_by_the_key_does_not_count(tmp_path: Path, signature: Node, words: str) -> None:
    with pytest.raises(SignatureRequired, match=words):
        checked([with_signature(signature)], policy(tmp_path, EC, "registry.test/prod/app"))


def test_where_no_policy_covers_the_destination_nothing_is_asked(tmp_path: Path) -> None:
    assert checked([oci_layout([entry(APP, ref="example.com/dev/app:1")])], policy(tmp_path, EC, "*/prod/*")) == ()


def test_a_docker_archive_cannot_be_signed_and_is_told_so(tmp_path: Path) -> None:
    archive = docker_save([tagged(image({"a": b"1"}), "example.com/prod/app:1")])
    with pytest.raises(SignatureRequired, match="OCI layout"):
        checked([archive], policy(tmp_path))


@pytest.mark.parametrize("options", [{"media_types": "docker"}, {"on_existing_tag": "merge-with-overwrite"}])
def test_options_that_make_another_manifest_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(SignatureRequired, match="media_types or on_existing_tag"):
        checked([with_signature(simple(EC))], policy(tmp_path), **options)


def test_a_payload_that_is_not_what_its_digest_says_is_not_believed(tmp_path: Path) -> None:
    archive = with_signature(simple(EC, says=sha256(b"another")))
    bent = archive.replace(sha256(b"another").encode(), APP.digest.encode())
    with pytest.raises(SignatureRequired, match="no signature of it"):
        checked([bent], policy(tmp_path, EC, "registry.test/prod/app"))


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pub").write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"bad\.pub"):
        load_key(tmp_path / "bad.pub")


def pem(algorithm: bytes, key: bytes) -> bytes:
    """A public key of any algorithm; both in DER, shorter than 128 bytes."""
    bits = b"\x03" + bytes([len(key) + 1]) + b"\0" + key
    names = b"\x30" + bytes([len(algorithm)]) + algorithm
    whole = b"\x30" + bytes([len(names) + len(bits)]) + names + bits
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(whole) + b"\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [(b"\x06\x03\x2b\x65\x6e", "ECDSA, Ed25519 or RSA"), (b"\x06\x03\x2b\x0e\x63", "odd.pub")],
    ids=["x25519", "unknown"],
)
def test_a_key_of_another_algorithm_is_refused(tmp_path: Path, algorithm: bytes, words: str) -> None:
    (tmp_path / "odd.pub").write_bytes(pem(algorithm, bytes(range(32))))
    with pytest.raises(InvalidSettings, match=words):
        load_key(tmp_path / "odd.pub")


def test_without_its_extra_the_setting_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "app.push.signatures.public_keys", None)
    with pytest.raises(InvalidSettings, match=r"tarmac\[verify\]"):
        load_key(public(EC, tmp_path))


def test_a_signature_may_stand_within_its_descriptor(tmp_path: Path) -> None:
    content = payload_of(APP.digest)
    members = json.loads(artifact(SIMPLE_SIGNING, content, **{SIGNATURE: signed(EC, content)}).raw)
    members["layers"][0]["data"] = base64.b64encode(content).decode()
    within = Node(to_json(members), OCI_MANIFEST, {sha256(b"{}"): b"{}"})
    (notice,) = checked([with_signature(within)], policy(tmp_path))
    assert notice == "registry.test/prod/app:1 is signed by ours.pub"


def test_no_signature_is_large(tmp_path: Path) -> None:
    payload = payload_of(APP.digest) + b" " * MAX_SIGNED_BYTES
    large = artifact(SIMPLE_SIGNING, payload, **{SIGNATURE: signed(EC, payload)})
    with pytest.raises(SignatureRequired, match="no signature of it"):
        checked([with_signature(large)], policy(tmp_path))


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    short = new_rsa(65537, 1024)
    with pytest.raises(InvalidSettings, match="too short"):
        load_key(public(short, tmp_path))


def test_a_key_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"none\.pub"):
        load_key(tmp_path / "none.pub")


EVIL = oci_image(image({"bin/app": b"evil"}))
HEX = APP.digest[7:]


def check_refused(archive: bytes, place: Path, **options: Any) -> None:
    with pytest.raises(SignatureRequired):
        checked([archive], policy(place, EC, "registry.test/prod/*"), **options)


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom", ".other"])
@pytest.mark.parametrize("about", [HEX, "0" * 64], ids=["signed", "unknown"])
def test_a_tag_that_looks_like_a_signature_does_not_replace_one(tmp_path: Path, suffix: str, about: str) -> None:
    """By `tag`, by the embedded name, and beside an image that is signed."""
    tag = f"sha256-{about}{suffix}"
    check_refused(oci_layout([entry(EVIL)]), tmp_path, tag=f"prod/app:{tag}")
    check_refused(oci_layout([entry(EVIL, ref=f"example.com/prod/app:{tag}")]), tmp_path)
    signature = entry(simple(EC), ref=f"example.com/prod/app:sha256-{HEX}.sig")
    beside = entry(
        EVIL, ref=f"example.com/prod/app:sha256-{HEX}.att" if suffix == ".sig" else f"example.com/prod/app:{tag}"
    )
    check_refused(oci_layout([entry(APP, ref="example.com/prod/app:1"), signature, beside]), tmp_path)


def test_an_unsigned_image_that_refers_to_a_signed_one_is_refused(tmp_path: Path) -> None:
    evil = oci_image(image({"bin/app": b"evil"}), subject=APP)
    layout = [entry(APP, ref="example.com/prod/app:1"), entry(simple(EC), ref="example.com/prod/app:s"), entry(evil)]
    check_refused(oci_layout(layout), tmp_path)


@pytest.mark.parametrize("kind", ["text/spdx+json", SIMPLE_SIGNING, f"{BUNDLE}.v0.3+json"])
@pytest.mark.parametrize("blob", [gzip.compress(b"layer"), b"bin/app" + b"\0" * 505], ids=["gzip", "tar"])
def test_a_layer_that_only_calls_itself_an_attestation_is_none(tmp_path: Path, kind: str, blob: bytes) -> None:
    check_refused(beside(artifact(kind, blob)), tmp_path)


def beside(node: Node) -> bytes:
    """A signed image, its signature, and `node` under the tag of an attestation."""
    return oci_layout(
        [
            entry(APP, ref="example.com/prod/app:1"),
            entry(simple(EC), ref=f"example.com/prod/app:sha256-{HEX}.sig"),
            entry(node, ref=f"example.com/prod/app:sha256-{HEX}.att"),
        ]
    )


@pytest.mark.parametrize(
    "node",
    [
        artifact("application/vnd.dsse.envelope.v1+json", b"{}"),
        artifact("text/spdx+json", b"{}"),
        artifact("application/vnd.cyclonedx+xml", b"<bom/>"),
        simple(OTHER),
        bundled(OTHER),
    ],
)
def test_what_attests_to_a_signed_image_needs_no_signature(tmp_path: Path, node: Node) -> None:
    notices = checked([beside(node)], policy(tmp_path, EC, "registry.test/prod/*"))
    assert notices == ("registry.test/prod/app:1 is signed by ours.pub",)


def test_a_signature_alone_needs_the_signed_image_in_the_request(tmp_path: Path) -> None:
    tag = f"prod/app:sha256-{HEX}.sig"
    alone = oci_layout([entry(simple(EC), ref=f"example.com/{tag}")])
    check_refused(alone, tmp_path)
    with_image = oci_layout([entry(APP, ref="example.com/dev/app:1")])
    assert checked([with_image, alone], policy(tmp_path, EC, "registry.test/prod/*")) == ()
    without_subject = oci_layout([entry(simple(EC), ref="example.com/prod/app:latest")])
    with pytest.raises(SignatureRequired):
        checked([with_image, without_subject], policy(tmp_path, EC, "registry.test/prod/*"))


def test_a_child_of_a_signed_index_and_its_signature_are_signed(tmp_path: Path) -> None:
    index = oci_index([APP, EVIL])
    child = f"example.com/prod/app:sha256-{HEX}.sig"
    whole = f"example.com/prod/app:sha256-{index.digest[7:]}.sig"
    layout = [entry(index, ref="example.com/prod/app:1"), entry(simple(EC, of=index), ref=whole)]
    layout.append(entry(simple(OTHER), ref=child))
    assert len(checked([oci_layout(layout)], policy(tmp_path, EC, "registry.test/prod/*"))) == 1
