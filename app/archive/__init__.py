"""Tar bytes become an Archive. Feed-style; no network, no threads, no I/O of its own but `ReadAt`."""

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
from app.archive.tar import Member, MemberKind, TarIndex, TarIndexer, index_file

__all__ = [
    "DEFAULT_LIMITS",
    "Archive",
    "Compression",
    "DockerImage",
    "DockerLayer",
    "Extent",
    "ImageEntry",
    "Limits",
    "Member",
    "MemberKind",
    "ReadAt",
    "TarIndex",
    "TarIndexer",
    "index_file",
]
