"""Layers read for the signature policy: verified against their digests, and recognised as attestations by their bytes.

A media type is only a claim. A container engine unpacks a layer by what its first bytes are, so a layer counts as an
attestation only if all of its bytes are text that no engine takes for a tar or for compressed data.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from app.archive import Compression, ReadAt
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.model import Archive
from app.archive.tar.header import BLOCK, has_checksum
from app.oci import Descriptor
from app.oci.media_types import OCI_EMPTY

MAX_READ_BYTES = 512 << 20  # of all layers of one push; reading them takes about a second
PIECE = 1 << 20
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
IN_TOTO = "application/vnd.in-toto+json"
ATTESTATION_LAYERS = frozenset(
    {
        SIMPLE_SIGNING,
        OCI_EMPTY,
        IN_TOTO,
        "application/vnd.dsse.envelope.v1+json",
        "application/jose+json",  # signatures of Notary Project
        "application/spdx+json",
        "text/spdx",
        "text/spdx+json",
        "text/spdx+xml",
        "application/vnd.cyclonedx",
        "application/vnd.cyclonedx+json",
        "application/vnd.cyclonedx+xml",
        "application/vnd.syft+json",
    }
)
_NO_TEXT = bytes({*range(32), 127} - set(b"\t\n\f\r"))  # one of these is in every header of zstd, skippable frames too


class _UnreadableError(Exception):
    """The layer is absent, has other bytes than its digest says, or is one too many."""


class LayerReader:
    """Reads layers of one push, at most `limit` bytes together. Blocks."""

    def __init__(self, limit: int = MAX_READ_BYTES) -> None:
        self._left = limit

    def read(self, archive: Archive, file: ReadAt, layer: Descriptor) -> bytes:
        """Return the content of a layer; nothing if it is absent or is not what its digest says."""
        try:
            return b"".join(self._pieces(archive, file, layer))
        except _UnreadableError:
            return b""

    def is_attestation(self, archive: Archive, file: ReadAt, layer: Descriptor) -> bool:
        """Return whether a layer is a signature, an attestation or an SBOM, by its media type and all of its bytes."""
        if layer.media_type not in ATTESTATION_LAYERS and not layer.media_type.startswith(BUNDLE):
            return False
        try:
            return _is_text(self._pieces(archive, file, layer))
        except _UnreadableError:
            return False

    def _pieces(self, archive: Archive, file: ReadAt, layer: Descriptor) -> Iterator[bytes]:
        """Yield the content. Raises _UnreadableError, at the end if it is not what the digest says."""
        extent = archive.blobs.get(layer.digest)
        if extent is None and layer.data is not None:  # compared with the digest when it was parsed
            yield layer.data
            return
        if extent is None or extent.size != layer.size or extent.size > self._left:
            raise _UnreadableError
        self._left -= extent.size
        hasher = layer.digest.hasher()
        for start in range(0, extent.size, PIECE):
            piece = file.read_at(extent.offset + start, min(PIECE, extent.size - start))
            hasher.update(piece)
            yield piece
        if hasher.hexdigest() != layer.digest.encoded:
            raise _UnreadableError


def _is_text(pieces: Iterator[bytes]) -> bool:
    head = b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in pieces:
            head += piece[: BLOCK - len(head)]
            decoder.decode(piece)
            if len(piece.translate(None, _NO_TEXT)) < len(piece):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return sniff(head[:SNIFF_BYTES]) is Compression.NONE and not has_checksum(head)


__all__ = ["ATTESTATION_LAYERS", "BUNDLE", "IN_TOTO", "MAX_READ_BYTES", "SIMPLE_SIGNING", "LayerReader"]
