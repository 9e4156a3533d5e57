"""Media types of layers: which compression each of them says (image-spec layer.md; Docker's schema 2); pure."""

from __future__ import annotations

from collections.abc import Mapping

from app.archive.model import Compression
from app.oci.media_types import DOCKER_FOREIGN_LAYER_PLAIN, DOCKER_LAYER, OCI_FOREIGN_LAYER, OCI_LAYER

_OCI = {Compression.NONE: "", Compression.GZIP: "+gzip", Compression.ZSTD: "+zstd"}
_DOCKER = {Compression.NONE: "", Compression.GZIP: ".gzip"}
_FAMILIES: Mapping[str, Mapping[Compression, str]] = {
    OCI_LAYER: {how: OCI_LAYER + ending for how, ending in _OCI.items()},
    OCI_FOREIGN_LAYER: {how: OCI_FOREIGN_LAYER + ending for how, ending in _OCI.items()},
    DOCKER_LAYER: {how: DOCKER_LAYER + ending for how, ending in _DOCKER.items()},
    DOCKER_FOREIGN_LAYER_PLAIN: {how: DOCKER_FOREIGN_LAYER_PLAIN + ending for how, ending in _DOCKER.items()},
}
_STATED = {text: (plain, how) for plain, family in _FAMILIES.items() for how, text in family.items()}


def is_layer(media_type: str) -> bool:
    """Return whether it is a layer of a file system, be it encrypted or of a compression that we do not know."""
    return media_type in _STATED or media_type.startswith(tuple(_FAMILIES))


def stated_compression(media_type: str) -> Compression | None:
    """Return what a known media type says; None for others."""
    stated = _STATED.get(media_type)
    return None if stated is None else stated[1]


def with_compression(media_type: str, compression: Compression) -> str | None:
    """Return the media type of the same family for layers that are compressed so; None if there is none."""
    stated = _STATED.get(media_type)
    return None if stated is None else _FAMILIES[stated[0]].get(compression)
