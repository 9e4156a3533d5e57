"""The shape of manifest.json in a docker archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from app.archive.model import Limits
from app.errors import LimitExceeded, MalformedArchive
from app.oci import Digest, refuse_lookalikes
from app.oci.media_types import NON_DISTRIBUTABLE

_FIELDS = ("Config", "RepoTags", "Layers", "LayerSources")


@dataclass(frozen=True, slots=True)
class DockerEntry:
    """An entry of manifest.json. `config` and `layers` are names of members; `tags` are as written.

    `foreign`: layers whose bytes are downloaded from a URL. `what` names the entry in messages."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]
    foreign: frozenset[Digest]
    what: str


def holds_docker_images(value: object) -> TypeGuard[list[object]]:
    """Return whether `value` is docker's list, which may be empty; its errors are left to `parse_entries`.

    Other files are named manifest.json too: a manifest of skopeo's dir:, imgpkg's list, a browser extension."""
    if not isinstance(value, list):
        return False
    return not value or any(isinstance(entry, dict) and {"Config", "Layers"} & entry.keys() for entry in value)


def parse_entries(value: list[object], limits: Limits) -> tuple[DockerEntry, ...]:
    """Parse docker's list. Raises MalformedArchive, LimitExceeded."""
    if len(value) > limits.nodes:
        raise LimitExceeded(f"manifest.json lists {len(value)} images; at most {limits.nodes} are read")
    return tuple(_entry(entry, f"image {number} of manifest.json") for number, entry in enumerate(value, 1))


def _entry(value: object, what: str) -> DockerEntry:
    if not isinstance(value, dict):
        raise MalformedArchive(f"{what} is not an object")
    refuse_lookalikes(value, _FIELDS, what)
    config = value.get("Config")
    if not isinstance(config, str) or not config:
        raise MalformedArchive(f"{what} has no `Config`, the name of its config's member")
    sources = value.get("LayerSources")
    if not isinstance(sources, dict | None):
        raise MalformedArchive(f"`LayerSources` of {what} is not an object")
    return DockerEntry(
        config=config,
        tags=tuple(filter(None, _strings(value, "RepoTags", what, or_empty=True))),
        layers=_strings(value, "Layers", what),
        foreign=frozenset(_foreign(sources or {})),
        what=what,
    )


def _strings(members: dict[str, object], key: str, what: str, *, or_empty: bool = False) -> tuple[str, ...]:
    value = members.get(key)
    if value is None:  # Go writes an empty list as null
        return ()
    if isinstance(value, list) and all(isinstance(text, str) and (text or or_empty) for text in value):
        return tuple(value)
    raise MalformedArchive(f"`{key}` of {what} is not a list of names")


def _foreign(sources: dict[str, object]) -> Iterator[Digest]:
    """Yield the foreign layers: those with URLs or with a non-distributable media type.

    Docker 25 describes all layers here (google/go-containerregistry#1870)."""
    for diff_id, source in sources.items():
        if isinstance(source, dict) and (source.get("urls") or source.get("mediaType") in tuple(NON_DISTRIBUTABLE)):
            yield Digest.parse(diff_id)
