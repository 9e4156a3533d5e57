"""Tar bytes become an Archive. Feed-style; no network, no threads; `ReadAt` is the only I/O.

compression   detect and decompress gzip, zstd, xz, bzip2, with limits
continued     files that are one archive together, by content
edit          select images and platforms
file_type     description of files that are not tars
globs         shell patterns with a cost limit; pure
ingest        IngestStream: hash, decompress and index in one pass
leftovers     blobs that no image refers to
model         Archive, ImageEntry, DockerImage, Extent, Limits, ReadAt
placeholders  texts that programs write if an image has no name; pure
producer      the program that wrote an archive, for display only
sizes         sizes for people
split         detect the parts of one archive
window        memory that decompression needs
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
