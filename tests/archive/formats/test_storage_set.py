"""Which archives of a request are parts of one storage, and what they are together."""

from __future__ import annotations

from itertools import permutations

import pytest

from app.archive import DEFAULT_LIMITS, Archive, Extent, ReadAt, TarIndex
from app.archive.formats import ArchiveReader, join_indexes, open_archive, parts_of_storage
from tests.support import archives
from tests.support.archives import Member, docker_save, oci_image, oci_index, oci_layout, tagged, tar
from tests.support.opening import Memory, opened, taken_in
from tests.support.storage_tree import bundle, oc_mirror, oc_mirror_parts, tree

AMD = oci_image(archives.image({"app": b"amd"}), platform="linux/amd64")
ARM = oci_image(archives.image({"app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
STORED = {"team/app": {"1": oci_index([AMD, ARM]), "2": ARM}, "team/tool": {"1": AMD}}
DOCKER = docker_save([tagged(archives.image({"a": b"1"}), "example.com/a:1")])
BUNDLE = bundle(STORED, images={"example.com": {"team/tool": ["1"]}})
WHOLE = tar(oc_mirror(STORED))
STORAGE = tar(tree(STORED))


def contents(*data: bytes) -> list[ArchiveReader]:
    return [ArchiveReader(*taken_in(item)) for item in data]


def joined(*data: bytes) -> tuple[TarIndex, ReadAt]:
    taken = [taken_in(item) for item in data]
    return join_indexes([index for index, _ in taken]), Memory(b"".join(data))


def meaning(archive: Archive, source: ReadAt) -> dict[str, object]:
    """Names, manifests and bytes of blobs, wherever they lie."""
    return {
        "names": sorted(name for image in archive.images for name in image.called),
        "manifests": set(archive.manifests),
        "blobs": {str(digest): source.read_at(each.offset, each.size) for digest, each in archive.blobs.items()},
    }


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_parts_of_a_set_are_together_what_the_whole_is(count: int) -> None:
    parts = oc_mirror_parts(STORED, count)
    assert parts_of_storage(contents(*parts)) == tuple(range(count))
    index, source = joined(*parts)
    archive = open_archive(index, source, DEFAULT_LIMITS)
    assert archive.format == "oc-mirror"
    assert meaning(archive, source) == meaning(opened(WHOLE), Memory(WHOLE))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_parts_does_not_matter(order: tuple[int, ...]) -> None:
    parts = oc_mirror_parts(STORED, 3)
    index, source = joined(*(parts[number] for number in order))
    assert meaning(open_archive(index, source), source) == meaning(opened(WHOLE), Memory(WHOLE))


def test_other_archives_beside_a_set_are_no_parts() -> None:
    first, last = oc_mirror_parts(STORED, 2)
    assert parts_of_storage(contents(DOCKER, first, oci_layout([]), last)) == (1, 3)


@pytest.mark.parametrize(
    "data",
    [
        [],
        [DOCKER],
        [WHOLE],
        [STORAGE],
        [DOCKER, WHOLE],
        [WHOLE, WHOLE],
        [STORAGE, STORAGE],
        [BUNDLE, WHOLE],
        [DOCKER, DOCKER],
    ],
    ids=lambda data: str(len(data)),
)
def test_whole_archives_stay_apart(data: list[bytes]) -> None:
    assert parts_of_storage(contents(*data)) == ()


@pytest.mark.parametrize("number", [0, 1])
def test_a_part_alone_is_no_set(number: int) -> None:
    assert parts_of_storage(contents(oc_mirror_parts(STORED, 2)[number], DOCKER)) == ()


def test_a_last_part_that_has_no_storage_any_more_belongs_to_the_set() -> None:
    members = oc_mirror(STORED)
    first = tar(member for member in members if member.name.startswith("docker/"))
    last = tar(member for member in members if not member.name.startswith("docker/"))
    assert parts_of_storage(contents(last, first)) == (0, 1)


def test_joined_indexes_lead_to_the_bytes_of_every_tar() -> None:
    first = tar([Member("a", b"first"), Member("b", b"both")])
    second = tar([Member("b", b"both"), Member("c", link="a"), Member("d", b"second")])
    index, source = joined(first, second)
    read = {name: index.read(name, source, 10) for name in "abcd"}
    assert read == {"a": b"first", "b": b"both", "c": b"first", "d": b"second"}
    assert index.size == len(first) + len(second)
    assert index.extent("d") == Extent(second.index(b"second") + len(first), 6)
