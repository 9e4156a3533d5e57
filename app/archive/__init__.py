"""Tar bytes become an Archive. Feed-style; no network, no threads, no I/O of its own but `ReadAt`."""

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
