"""Media types of layers and the compression that each states (image-spec layer.md; Docker's schema 2); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.archive.model import Compression
from app.oci import Descriptor, Digest
from app.oci.media_types import DOCKER_FOREIGN_LAYER_PLAIN, DOCKER_LAYER, OCI_FOREIGN_LAYER, OCI_LAYER

MAX_SHOWN = 2  # layers in one notice
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
    """Return whether it is a file system layer, even an encrypted one or one of an unknown compression."""
    return media_type in _STATED or media_type.startswith(tuple(_FAMILIES))


def stated_compression(media_type: str) -> Compression | None:
    """Return the compression that a known media type states; None for others."""
    stated = _STATED.get(media_type)
    return None if stated is None else stated[1]


def with_compression(media_type: str, compression: Compression) -> str | None:
    """Return the media type of the same family for that compression, or None."""
    stated = _STATED.get(media_type)
    return None if stated is None else _FAMILIES[stated[0]].get(compression)


def mislabelled_layers(layers: Iterable[Descriptor], stored: Mapping[Digest, Compression]) -> dict[Digest, str]:
    """Return the problem of each layer whose compression differs from its media type.

    `stored`: the known compression of layers."""
    found: dict[Digest, str] = {}
    for layer in layers:
        compression, stated = stored.get(layer.digest), stated_compression(layer.media_type)
        if compression is not None and stated not in {None, compression}:
            how = "not compressed" if compression is Compression.NONE else f"compressed with {compression}"
            found[layer.digest] = f"layer {layer.digest} is {how}, but its media type is {layer.media_type}"
    return found


def pushed_mislabelled(title: str, wrong: Mapping[Digest, str]) -> str:
    """Return the notice for an image whose manifest is pushed unchanged."""
    more = len(wrong) - MAX_SHOWN
    problems = "; ".join(list(wrong.values())[:MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return f"{title}: {problems}. It is pushed unchanged; some container runtimes reject it"
