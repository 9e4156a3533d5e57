"""Image names from the documents at the start of an archive (regctl), read before the rest is received."""

from __future__ import annotations

from app.archive.formats.docker_manifest import holds_docker_images, parse_entries
from app.archive.formats.layout.names import embedded_name
from app.archive.model import DEFAULT_LIMITS
from app.archive.placeholders import split_names
from app.oci import Descriptor, strict_json

DOCUMENTS = ("index.json", "manifest.json")
MAX_DOCUMENT_BYTES = 4 << 20  # larger ones name several repositories


def read_image_names(document: str, raw: bytes) -> tuple[str, ...]:
    """Return the full names in one of DOCUMENTS; nothing if one of its images has no name. Raises ArchiveError."""
    value = strict_json(raw, what=document, limit=MAX_DOCUMENT_BYTES)
    if holds_docker_images(value):
        tags = [split_names(entry.tags)[0] for entry in parse_entries(value, DEFAULT_LIMITS)]
        return tuple(tag for item in tags for tag in item) if all(tags) else ()
    listed = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return ()
    found = [embedded_name(Descriptor.parse(entry, document)) for entry in listed]
    names = [name.full for name in found if name.placeholder is None]
    return tuple(filter(None, names)) if all(names) else ()
