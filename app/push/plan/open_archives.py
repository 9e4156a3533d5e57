"""Opening of indexed files as Archives.

The parts of one storage are parsed together, and so are charts with their provenance files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

from app.archive import FORMATS, Archive, DockerImage, ImageEntry, Limits, TarIndex
from app.archive.formats import (
    ArchiveReader,
    join_charts,
    join_indexes,
    open_archive,
    parts_of_charts,
    parts_of_storage,
)
from app.archive.model import Fault
from app.errors import ArchiveError
from app.oci import Descriptor, Digest
from app.oci.media_types import OCI_CONFIG
from app.spool import OpenFile
from app.spool.concatenated_file import ConcatenatedFile

_NOTHING = TarIndex(MappingProxyType({}), 0)  # of an archive that cannot be read


@contextmanager
def prefix_errors_with(name: str, *, several: bool = True) -> Iterator[None]:
    """Prefix the errors about one of several archives with its name."""
    try:
        yield
    except ArchiveError as error:
        if several:
            error.args = (f"{name}: {error.args[0]}",)
        raise


@dataclass(frozen=True, slots=True)
class ArchiveSet:
    """The files of a request.

    `parts`: the files, in order, that are parts of `whole`, a storage or a set of charts. Their joint content then
    belongs to the first one, whose entry in `files` is the file that joins them.
    """

    indexes: tuple[TarIndex, ...]
    files: tuple[OpenFile, ...]
    parts: tuple[int, ...]
    whole: str = ""

    def open(self, number: int, limits: Limits) -> Archive:
        """Open one archive. A later part becomes an empty archive with a notice. Blocks. Raises ArchiveError."""
        if number not in self.parts[1:]:
            return open_archive(self.indexes[number], self.files[number], limits)
        position = self.parts.index(number) + 1
        note = f"part {position} of {len(self.parts)} of {self.whole}; its content is listed with the first part"
        first = ArchiveReader(self.indexes[self.parts[0]], self.files[self.parts[0]], limits)
        found = next(known.name for known in FORMATS if known.recognises(first))
        return Archive(found, (), {}, {}, (note,))


def join_files(files: Sequence[OpenFile], parts: Sequence[int]) -> tuple[OpenFile, ...]:
    """Return `files`, in which the first of `parts` is replaced by the file that joins all of them."""
    sources = list(files)
    if parts:
        sources[parts[0]] = ConcatenatedFile(tuple(files[part] for part in parts))
    return tuple(sources)


def join_storage_parts(indexes: Sequence[TarIndex], files: Sequence[OpenFile], limits: Limits) -> ArchiveSet:
    """Find the parts of a storage or set of charts and join them. Blocks. Raises ArchiveError."""
    archives = [ArchiveReader(*item, limits) for item in zip(indexes, files, strict=True)]
    parts, join, whole = parts_of_storage(archives), join_indexes, "one storage"
    if not parts:
        parts, join, whole = parts_of_charts(archives), join_charts, "charts with their provenance"
    if not parts:
        return ArchiveSet(tuple(indexes), tuple(files), ())
    every = list(indexes)
    every[parts[0]] = join([indexes[part] for part in parts])
    return ArchiveSet(tuple(every), join_files(files, parts), parts, whole)


def unquoted(archive: Archive) -> Archive:
    """Return `archive` with faults that quote none of its content."""
    fault = None if archive.fault is None else archive.fault.unquoted
    images = (image if image.fault is None else replace(image, fault=image.fault.unquoted) for image in archive.images)
    faults = {digest: fault.unquoted for digest, fault in archive.faults.items()}
    return replace(archive, images=tuple(images), faults=faults, fault=fault)


def open_archives(
    indexes: Sequence[TarIndex | Fault],
    files: Sequence[OpenFile],
    limits: Limits,
    names: Sequence[str],
    *,
    keep_going: bool = False,
) -> tuple[list[Archive], ArchiveSet]:
    """Return the Archives, and the set with the file of each.

    `names` are for messages. A Fault in `indexes` says why that archive cannot be read. With `keep_going`, one of
    several archives that cannot be read becomes an image that cannot be pushed. Blocks. Raises ArchiveError.
    """
    readable = [index if isinstance(index, TarIndex) else _NOTHING for index in indexes]
    archive_set = join_storage_parts(readable, files, limits)
    opened = []
    for number, (name, index) in enumerate(zip(names, indexes, strict=True)):
        try:
            if isinstance(index, Fault):
                raise index.error
            with prefix_errors_with(name, several=len(names) > 1):
                opened.append(archive_set.open(number, limits))
        except ArchiveError as error:
            if not keep_going or len(names) == 1:
                raise
            opened.append(unreadable(Fault.of(error)))
    return opened, archive_set


def unreadable(fault: Fault) -> Archive:
    """Return the archive of one image that cannot be pushed."""
    root = DockerImage(Descriptor(OCI_CONFIG, Digest.of(str(fault.error).encode()), 0), ())
    return Archive("", (ImageEntry(root, fault=fault),), {}, {}, fault=fault)
