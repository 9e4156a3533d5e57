"""What an archive brings along of signatures, lists and attestations, in archives of the tools that write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.archive import open_archive
from app.push.report import evidence
from app.push.report.evidence import Evidence, Kind, evidence_of, kind_of
from tests.support.archives import Node, entry, image, oci_artifact, oci_image, oci_layout
from tests.support.opening import taken_in

CORPUS = Path(__file__).parents[2] / "data" / "corpus"
NODE = oci_image(image({"bin/app": b"one"}))
SLSA = "https://slsa.dev/provenance/v1"


def found_in(data: bytes) -> tuple[Evidence, ...]:
    index, source = taken_in(data)
    archive = open_archive(index, source)
    return tuple(each for entry in archive.images for each in evidence_of(archive, entry))


@pytest.mark.parametrize(
    ("name", "platforms"),
    [
        ("buildx-oci-multi.tar", ["linux/amd64", "linux/arm64", "linux/s390x"]),
        ("skopeo1222-oci-attest.tar", ["linux/amd64", "linux/arm64"]),
        ("d29c-save-provenance.tar", ["linux/amd64"]),
    ],
)
def test_attestations_of_buildkit_say_what_they_are_about(name: str, platforms: list[str]) -> None:
    found = found_in((CORPUS / name).read_bytes())
    assert [(found_item.kind, found_item.type, found_item.platform) for found_item in found] == [
        (Kind.ATTESTATION, SLSA, platform) for platform in platforms
    ]


def test_a_referrer_is_told_by_its_artifact_type() -> None:
    (found,) = found_in((CORPUS / "oras-backup-referrers.tar").read_bytes())
    assert (found.kind, found.type) == (Kind.SBOM, "application/vnd.bench.sbom.v1")


@pytest.mark.parametrize(("suffix", "kind"), [("sig", Kind.SIGNATURE), ("att", Kind.ATTESTATION), ("sbom", Kind.SBOM)])
def test_tags_of_cosign_are_told_by_their_ends(suffix: str, kind: Kind) -> None:
    tag = f"sha256-{NODE.digest[7:]}.{suffix}"
    artifact = oci_artifact(b"content")
    (found,) = found_in(oci_layout([entry(NODE, ref="v1"), entry(artifact, ref=tag)]))
    assert found == Evidence(kind, tag, None, artifact.digest)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://spdx.dev/Document", Kind.SBOM),
        ("application/vnd.cyclonedx+json", Kind.SBOM),
        (SLSA, Kind.ATTESTATION),
        ("application/vnd.dev.sigstore.bundle.v0.3+json", Kind.ATTESTATION),
        ("application/vnd.dev.cosign.artifact.sig.v1+json", Kind.SIGNATURE),
        ("application/vnd.cncf.notary.signature", Kind.SIGNATURE),
        ("application/vnd.example.thing", Kind.OTHER),
        ("", Kind.OTHER),
    ],
)
def test_types_are_told_by_their_words(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


def test_no_more_than_so_many_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MAX_EVIDENCE", 2)
    referrers: list[Node] = [oci_artifact(b"%d" % number, subject=NODE) for number in range(5)]
    assert len(found_in(oci_layout([entry(NODE, ref="v1"), *map(entry, referrers)]))) == 2
