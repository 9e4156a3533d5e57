"""Tags that tie an artifact to an image by their name.

They are cosign's `sha256-<hex>.sig`, `.att`, `.sbom`, and the referrers tags `sha256-<hex>` (distribution-spec
"Referrers Tag Schema"), which regctl, oras and cosign write into layouts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from app.archive.formats.layout.names import IndexEntry
from app.archive.formats.reading.manifest_graph import ManifestGraph
from app.archive.model import TaggedReferrer
from app.oci import Digest

_TAG = re.compile(r"sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?")


def split_tagged_referrers(
    top_levels: Sequence[IndexEntry], graph: ManifestGraph
) -> tuple[tuple[IndexEntry, ...], tuple[TaggedReferrer, ...]]:
    """Split the entries into independent ones and tagged referrers of content in the layout.

    An entry with another name is in both lists. An unreadable entry is independent, so that its subject is not
    affected."""
    independent: list[IndexEntry] = []
    found: list[TaggedReferrer] = []
    for level in top_levels:
        tied = {tag: subject for tag in level.bare_tags if (subject := _subject(tag, level, graph)) is not None}
        found.extend(TaggedReferrer(tag, level.descriptor, subject) for tag, subject in tied.items())
        tags = tuple(tag for tag in level.bare_tags if tag not in tied)
        if level.names or level.paths or tags or not tied:
            independent.append(replace(level, bare_tags=tags))
    return tuple(independent), tuple(found)


def _subject(tag: str, entry: IndexEntry, graph: ManifestGraph) -> Digest | None:
    match = _TAG.fullmatch(tag) if entry.ties and entry.digest in graph else None
    subject = None if match is None else Digest("sha256", match[1])
    return subject if subject in graph and subject != entry.digest else None
