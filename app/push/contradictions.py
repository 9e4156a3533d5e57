"""Images that are not pushed since their manifests contradict their configs; pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.archive.model import Archive, ImageEntry
from app.errors import DigestMismatch
from app.push.asserted import Archives
from app.push.graph import manifests

MAX_SHOWN = 10  # images that one message names


def refuse_contradictions(archives: Sequence[Archive], told: Archives) -> None:
    """Raise DigestMismatch for every image of `archives` that holds a manifest which contradicts its config."""
    found = {
        told.prefix(number) + text: None
        for number, archive in enumerate(archives)
        if archive.contradictions
        for entry in archive.images
        for text in contradictions_of(archive, entry)
    }
    if found:
        more = len(found) - MAX_SHOWN
        raise DigestMismatch("; ".join(list(found)[:MAX_SHOWN]) + (f"; and {more} more" if more > 0 else ""))


def contradictions_of(archive: Archive, entry: ImageEntry) -> list[str]:
    """Return the reasons, one for each such manifest of the image."""
    held = (manifest.descriptor.digest for manifest in manifests(archive, entry))
    return [archive.contradictions[digest] for digest in held if digest in archive.contradictions]
