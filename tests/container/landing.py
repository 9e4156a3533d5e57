"""Pushing an archive with curl, and holding what landed against it with skopeo."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from tests.container.engine import Engine
from tests.container.services import ROOT
from tests.support.peers import peer

ARCHIVE = ROOT / "tests/data/corpus/buildx-oci-multi.tar"  # an index of three platforms with their attestations
REPOSITORY = "bk/multi:oci"  # where its name puts it
SERVICE = "http://127.0.0.1:8080"

Job = dict[str, Any]


def digest_in_archive() -> str:
    with tarfile.open(ARCHIVE) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        (image,) = json.load(index)["manifests"]
    digest: str = image["digest"]
    return digest


def asked(engine: Engine, *arguments: str | Path) -> Any:
    """The JSON that curl gets; the last argument is a URL."""
    return json.loads(engine.inside(peer("curl"), "--fail-with-body", "-sS", "--max-time", "60", *arguments))


def pushed(engine: Engine, *options: str, service: str = SERVICE, archive: Path = ARCHIVE) -> Job:
    job: Job = asked(engine, *options, "-F", f"archive=@{archive}", f"{service}/push?wait=60")
    assert job["state"] == "succeeded", job["problem"]
    assert [item["state"] for item in job["images"]] == ["pushed"]
    return job


def assert_landed(engine: Engine, folder: Path, registry: str, *flags: str) -> None:
    """With all that belongs to it, and byte for byte."""
    copied = (peer("skopeo"), "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", *flags)
    engine.inside(*copied, f"docker://{registry}/{REPOSITORY}", f"dir:{folder}")
    digest = engine.inside(peer("skopeo"), "manifest-digest", folder / "manifest.json").strip()
    assert digest == digest_in_archive()
