"""What must come of each archive of tests/data/corpus, by what was read out of it with other programs (facts.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent.parent / "data" / "corpus"

# Archives that hold no name of their own, or only a tag, and what is said on the command line to give them one.
NAMED_BY_CALLER: Mapping[str, tuple[str, ...]] = {
    "umoci-oci.tar": ("--rename", "v1=given/app:v1", "--rename", "v2=given/app:v2"),
}
GIVEN = ("--tag", "given/app:1")

# What the makers of these bundles were told to put in (INDEX.md); the digests are those of the links in their trees.
_BUNDLED = {
    "bench/app:1.0": "sha256:71d41a9001b306f118172f6a472509d7c29e562ec34ebc0db4a648c0c9fc98b0",
    "bench/app:2.0": "sha256:4ad9c3e7ae9353f18491bdcf0ac69f8e844ec01f59b18818bb7ac1c272432004",
    "bench/multi:1": "sha256:c8eb6f8024f42f344ad64ccbff55a3301fe24c0ff4fb4e7beab94e8ba74bb250",
}

REFUSED: Mapping[str, str] = {
    "bad-bomb.tar.gz": "limit_exceeded",
    "bad-diffid.tar": "digest_mismatch",
    "bad-digest.tar": "digest_mismatch",
    "bad-missing-blob.tar": "missing_content",
    "bad-random.bin": "unknown_format",
    "bad-symlink-escape.tar": "malformed_archive",
    "bad-truncated.tar": "truncated_archive",
    "d20-export-rootfs.tar": "unknown_format",
    "outer-gz-truncated.tar.gz": "truncated_archive",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """One image: where it is to be found below the prefix (`repo:tag` or `repo@digest`), and what is to be there: the
    root's digest, or, where the manifest has to be made, the config's digest and the DiffIDs."""

    places: tuple[str, ...]
    digest: str | None
    config: str | None = None
    diff_ids: tuple[str, ...] = ()
    referrers: tuple[str, ...] = ()


_OWN = {  # neither docker archives nor image layouts, so the facts do not tell their images
    "imgpkg-image.tar": Expected(
        ("bench/oci:1",), "sha256:ea1729a9d18d8ff1819c803a828a5789093704a70c9921fac3ef37f1405a85b2"
    ),
    "other-helm-chart.tgz": Expected(
        ("chart:0.1.0",), "sha256:9b9f4c743744d412bb6f9b19f59a253f614b27a2462a8294cff6213e0323e7cd"
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    file: str
    tool: str
    arguments: tuple[str, ...] = ()
    refusal: str | None = None
    images: tuple[Expected, ...] = ()

    @property
    def path(self) -> Path:
        return CORPUS / self.file


def cases() -> Iterator[Case]:
    for entry in json.loads((CORPUS / "facts.json").read_text(encoding="utf-8")):
        file, tool = entry["file"], entry["tool"]
        if file in REFUSED:
            yield Case(file, tool, refusal=REFUSED[file])
            continue
        images = (_OWN[file],) if file in _OWN else tuple(_images(entry["facts"]))
        arguments = () if all(image.places for image in images) else NAMED_BY_CALLER.get(file, GIVEN)
        yield Case(file, tool, arguments, images=tuple(_given(images, arguments)))


def _given(images: tuple[Expected, ...], arguments: tuple[str, ...]) -> Iterator[Expected]:
    names = [argument.rpartition("=")[2] for argument in arguments if not argument.startswith("--")]
    for number, image in enumerate(images):
        places = (names[number],) if names else image.places
        yield Expected(places, image.digest, image.config, image.diff_ids, image.referrers)


def _images(facts: Mapping[str, Any]) -> Iterator[Expected]:
    if facts.get("formats") == ["mindthegap"]:
        yield from (Expected((place,), digest) for place, digest in _BUNDLED.items())
        return
    docker = {item["config"]: item for item in facts.get("docker_images") or () if item.get("config")}
    if "oci_index" not in facts:
        for image in docker.values():
            places = tuple(_place(tag) for tag in image["tags"] or ())
            yield Expected(places, None, image["config"], tuple(image["diff_ids"]))
        return
    roots: dict[str, list[Mapping[str, Any]]] = {}
    for entry in facts["oci_index"]:
        roots.setdefault(entry["digest"], []).append(entry)
    for digest, entries in roots.items():
        first = entries[0]
        if first.get("subject") in roots:
            continue
        places = tuple(place for entry in entries for place in _oci_places(entry))
        referrers = tuple(each for each, found in roots.items() if found[0].get("subject") == digest)
        if "tar" in first.get("layers", ()) and first["config"] in docker:
            yield Expected(places, None, first["config"], tuple(docker[first["config"]]["diff_ids"]), referrers)
        else:
            yield Expected(places, digest, referrers=referrers)


def _oci_places(entry: Mapping[str, Any]) -> Iterator[str]:
    name = entry.get("ctrd") or entry.get("ref") or ""
    if "/" in name or ":" in name:
        yield _place(name)


def _place(name: str) -> str:
    """`bench.local:5000/team/app:p1` -> `team/app:p1`; a short name is one of Docker Hub's."""
    host, slash, rest = name.partition("/")
    is_host = slash and ("." in host or ":" in host or host == "localhost")
    if is_host and host != "docker.io":
        return rest
    repository = rest if is_host else name
    return repository if "/" in repository else f"library/{repository}"
