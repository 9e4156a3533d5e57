"""Every archive that real tools made, pushed to a real registry and read back by another program."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from tests.peers.corpus import Case, Expected, cases
from tests.support.docker_registry import DockerRegistry

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CASES = tuple(cases())
INDEXES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


class Reader:
    """Reads an image back with skopeo, from below one prefix."""

    def __init__(self, program: str, address: str, prefix: str, folder: Path) -> None:
        self.program, self.address, self.prefix, self.folder = program, address, prefix, folder

    def run(self, *arguments: str) -> bytes:
        done = subprocess.run(
            [self.program, "--insecure-policy", *arguments], capture_output=True, check=False, timeout=50
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def url(self, place: str) -> str:
        return f"docker://{self.address}/{self.prefix}/{place}"

    def raw(self, place: str) -> bytes:
        return self.run("inspect", "--raw", "--tls-verify=false", self.url(place))

    def copy(self, place: str) -> Path:
        target = self.folder / hashlib.sha256(place.encode()).hexdigest()[:8]
        self.run("copy", "--all", "--src-tls-verify=false", "--quiet", self.url(place), f"dir:{target}")
        return target

    def tagged(self) -> list[str]:
        """Every tag below the prefix, as the registry itself lists them."""
        listed = self.get("_catalog?n=1000")["repositories"]
        below = [each.removeprefix(f"{self.prefix}/") for each in listed if each.startswith(f"{self.prefix}/")]
        return [f"{each}:{tag}" for each in below for tag in self.get(f"{self.prefix}/{each}/tags/list")["tags"] or ()]

    def get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/{path}", timeout=20) as answer:
                document: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 404:  # a repository with blobs and without a manifest is listed and has no list of tags
                raise
            return {"tags": None}
        return document


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def repository_of(place: str) -> str:
    return place.partition("@")[0].rpartition(":")[0] if "@" not in place else place.partition("@")[0]


def check_kept(reader: Reader, image: Expected) -> None:
    """Root and everything below it have the bytes they had in the archive."""
    for place in image.places:
        assert digest_of(reader.raw(place)) == image.digest
    check_tree(reader, repository_of(image.places[0]), json.loads(reader.raw(image.places[0])))
    for referrer in image.referrers:
        place = f"{repository_of(image.places[0])}@{referrer}"
        assert digest_of(reader.raw(place)) == referrer


def check_tree(reader: Reader, repository: str, manifest: dict[str, Any]) -> None:
    for child in manifest.get("manifests", ()):
        raw = reader.raw(f"{repository}@{child['digest']}")
        assert digest_of(raw) == child["digest"]
        check_tree(reader, repository, json.loads(raw))
    for blob in (*filter(None, [manifest.get("config")]), *manifest.get("layers", ())):
        url = f"http://{reader.address}/v2/{reader.prefix}/{repository}/blobs/{blob['digest']}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert digest_of(answer.read()) == blob["digest"]


def check_listed(reader: Reader, images: Iterable[Expected]) -> set[str]:
    """Every manifest that has a subject, BuildKit's attestations too, is in the list under the fallback tag, as
    distribution 2.8 keeps none itself. These tags."""
    tags = set()
    for image in images:
        repository = repository_of(image.places[0])
        for place in (image.places[0], *(f"{repository}@{referrer}" for referrer in image.referrers)):
            for digest, subject in subjects(reader, place):
                tag = f"{repository}:{subject.replace(':', '-')}"
                assert digest in {each["digest"] for each in json.loads(reader.raw(tag))["manifests"]}
                tags.add(tag)
    return tags


def subjects(reader: Reader, place: str) -> Iterator[tuple[str, str]]:
    raw = reader.raw(place)
    manifest = json.loads(raw)
    if "subject" in manifest:
        yield digest_of(raw), manifest["subject"]["digest"]
    for child in manifest.get("manifests", ()):
        yield from subjects(reader, f"{repository_of(place)}@{child['digest']}")


def check_made(reader: Reader, image: Expected) -> None:
    """The made manifest has the archive's config, and its layers unpack to the config's DiffIDs."""
    raws = {reader.raw(place) for place in image.places}
    assert len(raws) == 1, "every name of an image has the same manifest"
    manifest = json.loads(raws.pop())
    assert manifest["config"]["digest"] == image.config
    folder = reader.copy(image.places[0])
    config = json.loads((folder / image.config.removeprefix("sha256:")).read_bytes()) if image.config else {}
    assert tuple(config["rootfs"]["diff_ids"]) == image.diff_ids
    layers = [(folder / layer["digest"].removeprefix("sha256:")).read_bytes() for layer in manifest["layers"]]
    assert tuple(digest_of(unpacked(layer)) for layer in layers) == image.diff_ids


def unpacked(layer: bytes) -> bytes:
    if layer.startswith(b"\x1f\x8b"):
        return gzip.decompress(layer)
    if layer.startswith(b"\x28\xb5\x2f\xfd"):
        return zstd.decompress(layer)
    return layer


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_an_archive_of_another_tool_lands_as_it_is_or_is_refused(
    case: Case,
    registry: DockerRegistry,
    skopeo: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    prefix = "c/" + case.file.lower()
    reader = Reader(skopeo, registry.address, prefix, tmp_path)
    record_property("peers", [case.file, case.tool, "refused: " + case.refusal if case.refusal else ""])
    arguments = [
        "push",
        str(case.path),
        "--registry-url",
        registry.url,
        "--prefix",
        prefix,
        "--data-dir",
        str(tmp_path),
    ]
    status = main([*arguments, *case.arguments, "--json"])
    job = json.loads(capsys.readouterr().out)
    if case.refusal is not None:
        check_refused(case.refusal, status, job, reader)
        return
    assert (status, job["state"]) == (0, "succeeded"), job
    for image in case.images:
        (check_kept if image.digest else check_made)(reader, image)
    named = {each for image in case.images for each in image.places if "@" not in each}
    assert sorted(reader.tagged()) == sorted(named | check_listed(reader, case.images))
    wanted = {place for image in case.images for place in image.places}
    landed = {
        each.removeprefix(f"{registry.address}/{prefix}/") for image in job["images"] for each in image["destinations"]
    }
    assert landed == wanted
    record_property("peers", [case.file, case.tool, ", ".join(sorted(wanted)) or "no images, which is no error"])


def check_refused(code: str, status: int, job: dict[str, Any], reader: Reader) -> None:
    problems = [job["problem"], *(image["problem"] for image in job["images"])]
    assert (status, job["state"]) == (1, "failed"), job
    assert code in {problem["code"] for problem in problems if problem}, problems
    assert reader.tagged() == []


NAMELESS = tuple(case for case in CASES if case.arguments)


@pytest.mark.parametrize("case", NAMELESS, ids=[case.file for case in NAMELESS])
def test_an_archive_without_a_name_is_refused_where_none_is_given(
    case: Case, registry: DockerRegistry, skopeo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = "nameless/" + case.file.lower()
    arguments = ["--registry-url", registry.url, "--prefix", prefix, "--data-dir", str(tmp_path), "--json"]
    status = main(["push", str(case.path), *arguments])
    job = json.loads(capsys.readouterr().out)
    check_refused("missing_tag", status, job, Reader(skopeo, registry.address, prefix, tmp_path))


def test_the_corpus_is_whole() -> None:
    names = {case.file for case in CASES}
    assert names == {path.name for path in CASES[0].path.parent.iterdir()} - {"INDEX.md", "facts.json"}
    assert len(names) == 78
