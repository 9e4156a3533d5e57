"""Tar bytes become an Archive. Feed-style; no network, no threads, no I/O of its own but `ReadAt`.

compression   detect and decompress gzip, zstd, xz, bzip2 with limits
edit          pick images and platforms
file_type     what a file that is no tar seems to be
globs         shell patterns with bounded work; pure
ingest        IngestStream: hash, decompress and index in one pass
leftovers     blobs that no image refers to
model         Archive, ImageEntry, DockerImage, Extent, Limits, ReadAt
placeholders  what programs write if an image has no name; pure
producer      which program wrote an archive, for display only
sizes         sizes as people read them
split         which files are parts of one archive
window        memory that a decompression needs
yaml          the only YAML reader for untrusted bytes
formats       the Format port and its readers, one per file
helm          packaged Helm charts
manifests     configs, layers, manifests and indexes; pure
tar           tar bytes -> TarIndex
"""

from app.archive.compression import SNIFF_BYTES, Decompressor, decompressor, sniff
from app.archive.edit import keep_original_manifests, pick_images, pick_platforms
from app.archive.formats import FORMATS, Format, open_archive
from app.archive.ingest import IngestStream, sniff_file
from app.archive.model import (
    DEFAULT_LIMITS,
    Archive,
    Compression,
    DockerImage,
    DockerLayer,
    Extent,
    ImageEntry,
    Limits,
    ReadAt,
)
from app.archive.tar.indexer import Member, MemberKind, TarIndex, TarIndexer, index_file

__all__ = [
    "DEFAULT_LIMITS",
    "FORMATS",
    "SNIFF_BYTES",
    "Archive",
    "Compression",
    "Decompressor",
    "DockerImage",
    "DockerLayer",
    "Extent",
    "Format",
    "ImageEntry",
    "IngestStream",
    "Limits",
    "Member",
    "MemberKind",
    "ReadAt",
    "TarIndex",
    "TarIndexer",
    "decompressor",
    "index_file",
    "keep_original_manifests",
    "open_archive",
    "pick_images",
    "pick_platforms",
    "sniff",
    "sniff_file",
]
