"""What counts as an attestation of a signed image, and what it costs to find out."""

from __future__ import annotations

import gzip
import json
import random
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from app.archive.tar.header import BLOCK
from app.errors import SignatureRequired
from app.push.signatures.policy import SignaturePolicy, VerificationKey, load_key
from tests.push.signatures.test_policy import (
    APP,
    EC,
    HEX,
    OTHER,
    artifact,
    beside,
    bundled,
    check_refused,
    checked,
    policy,
    public,
    simple,
)
from tests.support.archives import OCI_MANIFEST, Node, entry, oci_layout, sha256, to_json


def v7_tar() -> bytes:
    """Return a tar without a magic and without a NUL byte, which Go's reader takes."""
    header = bytearray(b"bin/app".ljust(100, b"/") + b"0000755 " + b"0000000 " * 2 + b"00000000012 " * 2)
    header += b" " * 8 + b"0" + b"x" * 172 + b"0000000 " * 2 + b"x" * 167
    header[148:156] = b"%07o " % sum(header)
    return bytes(header) + b"echo evil\n".ljust(BLOCK, b"\n")


def test_a_tar_without_a_magic_is_a_tar() -> None:
    with tarfile.open(fileobj=BytesIO(v7_tar() + bytes(2 * BLOCK)), mode="r:") as opened:
        assert len(opened.getnames()) == 1


SKIPPABLE = b"P*M\x18" + b"\x01" * 4 + b"a" * BLOCK  # a frame that zstd skips; engines know it by these bytes
LAYER = gzip.compress(random.Random(3).randbytes(5_000))


def statement(layer: bytes, stored: bytes | None, **members: object) -> Node:
    """Return what calls itself an SBOM of APP; `stored` is there in place of its layer."""
    document = json.loads(artifact("application/vnd.cyclonedx+json", layer).raw)
    document |= {"subject": APP.descriptor, "layers": [document["layers"][0] | members]}
    blobs = {sha256(b"{}"): b"{}"} | ({} if stored is None else {sha256(layer): stored})
    return Node(to_json(document), OCI_MANIFEST, blobs)


@pytest.mark.parametrize(
    "node",
    [
        statement(v7_tar(), v7_tar()),
        statement(SKIPPABLE, SKIPPABLE),
        statement(b"BZh91AY&SY" + b"a" * BLOCK, b"BZh91AY&SY" + b"a" * BLOCK),
        statement(b"{" + b" " * BLOCK + b"\0}", b"{" + b" " * BLOCK + b"\0}"),
        statement(LAYER, b"{" + b" " * (len(LAYER) - 2) + b"}"),
        statement(LAYER, None, urls=["https://example.com/layer"]),
    ],
    ids=["tar", "zstd", "bzip2", "nul", "other bytes", "absent"],
)
def test_what_an_engine_could_unpack_is_no_attestation_whatever_it_is_called(tmp_path: Path, node: Node) -> None:
    check_refused(beside(node), tmp_path)
    signature = entry(simple(EC), ref=f"example.com/prod/app:sha256-{HEX}.sig")
    check_refused(oci_layout([entry(APP, ref="example.com/prod/app:1"), signature, entry(node)]), tmp_path)


def test_an_attestation_does_not_take_the_tag_of_an_image(tmp_path: Path) -> None:
    node = statement(b"{}", b"{}")
    (notice,) = checked([beside(node)], policy(tmp_path, EC, "registry.test/prod/*"))
    assert notice == "registry.test/prod/app:1 is signed by ours.pub"
    signed = [entry(APP, ref="example.com/prod/app:1"), entry(simple(EC), ref=f"example.com/prod/app:sha256-{HEX}.sig")]
    check_refused(oci_layout([*signed, entry(node, ref="example.com/prod/app:latest")]), tmp_path)
    check_refused(oci_layout(signed), tmp_path, rename=f"example.com/prod/app:sha256-{HEX}.sig=prod/app:latest")


def test_each_signature_is_verified_once_however_often_it_is_listed(tmp_path: Path) -> None:
    """Listing one is cheap for who sends it."""
    key = CountingKey(load_key(public(EC, tmp_path)))
    names = [entry(APP, ref=f"example.com/prod/app:{number}") for number in range(20)]
    once = bundled(OTHER)
    document = json.loads(once.raw)
    document["layers"] *= 50
    many = Node(to_json(document), OCI_MANIFEST, once.blobs)
    refused_by = SignaturePolicy(("registry.test/prod/*",), (key,))
    with pytest.raises(SignatureRequired):
        checked([oci_layout([*names, entry(many, ref="example.com/dev/many:1")])], refused_by)
    assert key.count == 1


class CountingKey:
    """A key that counts what it verifies."""

    def __init__(self, key: VerificationKey) -> None:
        self.name, self.count, self._key = key.name, 0, key

    def verifies(self, signature: bytes, message: bytes) -> bool:
        self.count += 1
        return self._key.verifies(signature, message)
