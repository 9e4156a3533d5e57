"""Several archives of one request that are read as one.

These are the numbered files of oc-mirror, which contain one registry's storage together, and charts with their
provenance files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.archive.formats.helm_chart import HelmChart
from app.archive.formats.mindthegap import MindthegapBundle
from app.archive.formats.oc_image_mirror import is_part
from app.archive.formats.oc_mirror import OcMirror, has_last_part
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.storage.tree import holds_repositories, holds_tree
from app.archive.model import Compression, Extent
from app.archive.tar.index import Member, TarIndex
from app.archive.tar.indexer import PROVENANCE


def parts_of_storage(archives: Sequence[ArchiveReader]) -> tuple[int, ...]:
    """Return the positions in `archives` of the parts of one storage; nothing if none is a part.

    A part lacks either the repositories, which the first one has, or the image set configuration, which the last one
    has. If one is a part, all storages are joined: the result is the same as if the complete ones were read separately.
    """
    parts = [number for number, contents in enumerate(archives) if _is_storage(contents)]
    ends = {has_last_part(archives[number]) for number in parts}
    are_parts = len(ends) > 1 or not all(holds_repositories(archives[number]) for number in parts)
    if are_parts and len(parts) > 1:
        return tuple(parts)
    # oc-mirror v1: files of a later run omit content of earlier runs
    mirrors = [number for number, archive in enumerate(archives) if is_part(archive)]
    return tuple(mirrors) if len(mirrors) > 1 else ()


def _is_storage(contents: ArchiveReader) -> bool:
    """Return whether this is a storage without a listing. With a listing it is a complete bundle."""
    is_storage = holds_tree(contents) or OcMirror().recognises(contents)
    return is_storage and not MindthegapBundle().recognises(contents)


def parts_of_charts(archives: Sequence[ArchiveReader]) -> tuple[int, ...]:
    """Return the positions of charts and provenance files in `archives`, charts first; nothing without both."""
    signed = [number for number, contents in enumerate(archives) if contents.index.roots == (PROVENANCE,)]
    charts = [number for number, contents in enumerate(archives) if signed and HelmChart().recognises(contents)]
    return (*charts, *signed) if charts else ()


def join_charts(indexes: Sequence[TarIndex]) -> TarIndex:
    """Join indexes whose members may have equal names: each archive gets a directory. See `join_indexes`."""
    return join_indexes([_below(f"{number}/", index) for number, index in enumerate(indexes)])


def _below(directory: str, index: TarIndex) -> TarIndex:
    members = {
        directory + name: tuple(replace(member, name=directory + name) for member in found)
        for name, found in index.members.items()
    }
    return replace(index, members=members)


def join_indexes(indexes: Sequence[TarIndex]) -> TarIndex:
    """Return the index of the concatenated tars, which all have the same limits."""
    members: dict[str, tuple[Member, ...]] = {}
    compressed: dict[int, Compression] = {}
    start = 0
    for index in indexes:
        compressed.update({start + offset: compression for offset, compression in index.compressed.items()})
        for name, found in index.members.items():
            members[name] = (*members.get(name, ()), *(_moved(member, start) for member in found))
        start += index.size
    return TarIndex(members, start, indexes[0].limits, compressed, ended=all(index.ended for index in indexes))


def _moved(member: Member, by: int) -> Member:
    return replace(member, extent=Extent(member.extent.offset + by, member.extent.size))
