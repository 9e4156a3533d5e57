"""From bytes to an Archive in memory, the way that a received archive takes."""

from __future__ import annotations

from dataclasses import dataclass

from app.archive import DEFAULT_LIMITS, Archive, Limits, TarIndex, open_archive
from app.archive.ingest import IngestStream
from app.errors import TruncatedArchive
from app.push.plan.completeness import with_faults
from app.push.plan.sparse_index import drop_incomplete_children


@dataclass(frozen=True, slots=True)
class Memory:
    """A ReadAt over bytes."""

    data: bytes

    def read_at(self, offset: int, size: int) -> bytes:
        piece = self.data[offset : offset + size]
        if len(piece) < size:
            raise TruncatedArchive(f"{size} bytes at {offset} of {len(self.data)}")
        return piece


def taken_in(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[TarIndex, Memory]:
    """Unwrap and index `data`, an archive as it is sent."""
    intake = IngestStream(limits)
    plain = b"".join((*intake.feed(data), *intake.finish()))
    return intake.index, Memory(plain)


def opened(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Archive:
    """The Archive in `data`, which may be wrapped in any compression. Raises what is wrong with the first image that
    is not whole; that an index lacks children is no fault here."""
    return checked(read(data, limits))


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Archive:
    """The Archive in `data`, whatever its images lack."""
    index, source = taken_in(data, limits)
    return open_archive(index, source, limits)


def checked(archive: Archive) -> Archive:
    for image in with_faults(drop_incomplete_children(archive), allow_missing=True).images:
        if image.fault is not None:
            raise image.fault.error
    return archive
