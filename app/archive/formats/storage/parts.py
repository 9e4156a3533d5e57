"""Several archives of one request that are read as one: the numbered files of oc-mirror, which hold one registry's
storage between them, and charts with their provenance files."""

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
    """The places in `archives` of those that are parts of one storage; none where each is whole or of another kind.

    A part tells by what it lacks: repositories, which the first has, or the image set configuration, which the last
    has. Where one is a part all are joined: the same is pushed as if whole ones among them were read by themselves."""
    parts = [number for number, each in enumerate(archives) if _is_storage(each)]
    ends = {has_last_part(archives[number]) for number in parts}
    are_parts = len(ends) > 1 or not all(holds_repositories(archives[number]) for number in parts)
    if are_parts and len(parts) > 1:
        return tuple(parts)
    # of v1; what an earlier run of it had is left out in the files of a later one
    mirrors = [number for number, archive in enumerate(archives) if is_part(archive)]
    return tuple(mirrors) if len(mirrors) > 1 else ()


def _is_storage(contents: ArchiveReader) -> bool:
    """A storage with a list beside it is a bundle, and whole."""
    is_storage = holds_tree(contents) or OcMirror().recognises(contents)
    return is_storage and not MindthegapBundle().recognises(contents)


def parts_of_charts(archives: Sequence[ArchiveReader]) -> tuple[int, ...]:
    """The places of charts and of provenance files in `archives`, charts first; none if either is missing."""
    signed = [number for number, contents in enumerate(archives) if contents.index.roots == (PROVENANCE,)]
    charts = [number for number, contents in enumerate(archives) if signed and HelmChart().recognises(contents)]
    return (*charts, *signed) if charts else ()


def join_charts(indexes: Sequence[TarIndex]) -> TarIndex:
    """As `join_indexes`, for archives that have members of the same name: each gets a directory."""
    return join_indexes([_below(f"{number}/", index) for number, index in enumerate(indexes)])


def _below(directory: str, index: TarIndex) -> TarIndex:
    members = {
        directory + name: tuple(replace(member, name=directory + name) for member in found)
        for name, found in index.members.items()
    }
    return replace(index, members=members)


def join_indexes(indexes: Sequence[TarIndex]) -> TarIndex:
    """As if the bytes of the tars, which all have the same limits, stood one after another."""
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
