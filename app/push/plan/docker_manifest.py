"""The manifest of a docker archive's image, generated when the blobs of its layers are known; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from app.archive.model import Compression, DockerImage
from app.oci import Digest, Manifest, media_types, new_manifest
from app.push.run.blob_content import stored_compression

Blob = tuple[Digest, int]

_DOCKER_LAYERS = {Compression.NONE: media_types.DOCKER_LAYER, Compression.GZIP: media_types.DOCKER_LAYER_GZIP}
_OCI_LAYERS = {
    Compression.NONE: media_types.OCI_LAYER,
    Compression.GZIP: media_types.OCI_LAYER_GZIP,
    Compression.ZSTD: media_types.OCI_LAYER_ZSTD,
}


def make_manifest(image: DockerImage, blobs: Sequence[Blob], wanted: Compression, *, oci: bool = False) -> Manifest:
    """Return the manifest.

    `blobs` are (digest, size) of the layers in the order of the image, compressed by `stored_compression`. Equal input
    produces equal bytes.

    Docker's media types are used, as docker itself does. Those of OCI are used for zstd (which Docker's schema has no
    type for), or if the archive's own manifest or `oci` requires them.
    """
    compressions = [stored_compression(layer, wanted) for layer in image.layers]
    oci = oci or image.oci or Compression.ZSTD in compressions
    types = _OCI_LAYERS if oci else _DOCKER_LAYERS
    media_type = media_types.OCI_MANIFEST if oci else media_types.DOCKER_MANIFEST
    config_type = media_types.OCI_CONFIG if oci else media_types.DOCKER_CONFIG
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _descriptor(config_type, (image.config.digest, image.config.size)),
        "layers": [_descriptor(types[how], blob) for how, blob in zip(compressions, blobs, strict=True)],
    }
    return new_manifest(json.dumps(document, separators=(",", ":")).encode(), media_type)


def _descriptor(media_type: str, blob: Blob) -> dict[str, object]:
    return {"mediaType": media_type, "size": blob[1], "digest": str(blob[0])}


def layer_descriptors(manifest: Manifest) -> tuple[Blob, ...]:
    return tuple((layer.digest, layer.size) for layer in manifest.layers)
