"""Reading back with another program what was pushed, and holding it against what was in the archive."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.peers.corpus import Case, Expected

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Reader:
    """Reads an image back with skopeo, from below one prefix."""

    def __init__(self, program: str, address: str, prefix: str, folder: Path) -> None:
        self.program, self.address, self.prefix, self.folder = program, address, prefix, folder

    def flags(self, prefix: str = "") -> tuple[str, ...]:
        """How skopeo reaches the registry. `prefix`: `src-` for those of its commands that have two places."""
        return (f"--{prefix}tls-verify=false",)

    def fetch(self, path: str) -> bytes:
        """What the registry answers below /v2/. Raises FileNotFoundError for a 404."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/{path}", timeout=20) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                raise FileNotFoundError(path) from error
            raise
        return content

    def run(self, *arguments: str) -> bytes:
        done = subprocess.run(
            [self.program, "--insecure-policy", *arguments], capture_output=True, check=False, timeout=50
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def url(self, place: str) -> str:
        return f"docker://{self.address}/{self.prefix}/{place}"

    def raw(self, place: str) -> bytes:
        return self.run("inspect", "--raw", *self.flags(), self.url(place))

    def copy(self, place: str) -> Path:
        target = self.folder / hashlib.sha256(place.encode()).hexdigest()[:8]
        self.run("copy", "--all", *self.flags("src-"), "--quiet", self.url(place), f"dir:{target}")
        return target

    def tagged(self) -> list[str]:
        """Every tag below the prefix, as the registry itself lists them."""
        listed = self.get("_catalog?n=1000")["repositories"]
        below = [item.removeprefix(f"{self.prefix}/") for item in listed if item.startswith(f"{self.prefix}/")]
        return [f"{item}:{tag}" for item in below for tag in self.get(f"{self.prefix}/{item}/tags/list")["tags"] or ()]

    def get(self, path: str) -> dict[str, Any]:
        """A repository with blobs and without a manifest is listed and has no list of tags."""
        try:
            document: dict[str, Any] = json.loads(self.fetch(path))
        except FileNotFoundError:
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
        content = reader.fetch(f"{reader.prefix}/{repository}/blobs/{blob['digest']}")
        assert digest_of(content) == blob["digest"]


def check_listed(reader: Reader, images: Iterable[Expected]) -> set[str]:
    """Every manifest that has a subject, BuildKit's attestations too, is in the list under the fallback tag, as
    distribution 2.8 keeps none itself. These tags."""
    tags = set()
    for image in images:
        repository = repository_of(image.places[0])
        for place in (image.places[0], *(f"{repository}@{referrer}" for referrer in image.referrers)):
            for digest, subject in subjects(reader, place):
                tag = f"{repository}:{subject.replace(':', '-')}"
                assert digest in {load["digest"] for load in json.loads(reader.raw(tag))["manifests"]}
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


def check_landed(reader: Reader, case: Case, status: int, job: dict[str, Any]) -> set[str]:
    """All that `case` should have left is there, byte for byte, and nothing else. Where its images are."""
    assert (status, job["state"]) == (0, "succeeded"), job
    for image in case.images:
        (check_kept if image.digest else check_made)(reader, image)
    named = {place for image in case.images for place in image.places if "@" not in place}
    assert sorted(reader.tagged()) == sorted(named | check_listed(reader, case.images))
    wanted = {place for image in case.images for place in image.places}
    landed = {
        destination.removeprefix(f"{reader.address}/{reader.prefix}/")
        for image in job["images"]
        for destination in image["destinations"]
    }
    assert landed == wanted
    return wanted


def check_refused(code: str, status: int, job: dict[str, Any], reader: Reader) -> None:
    problems = [job["problem"], *(image["problem"] for image in job["images"])]
    assert (status, job["state"]) == (1, "failed"), job
    assert code in {problem["code"] for problem in problems if problem}, problems
    assert reader.tagged() == []
