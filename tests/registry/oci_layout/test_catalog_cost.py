"""What lists of the store and searches by digest cost, whatever tokens have pushed."""

from __future__ import annotations

from collections.abc import Iterator, ValuesView
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from app.oci import Digest
from app.registry.oci_layout.catalog import Catalog
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import EMPTY_INDEX, LayoutIndex
from app.registry.oci_layout.manifest_cache import ManifestContent
from app.registry.oci_layout.registry import LayoutRegistry
from tests.registry.oci_layout.landing import land
from tests.registry.oci_layout.test_index import manifest
from tests.support.archives import image, oci_image

ONE = oci_image(image({"bin/app": b"one"}))
TWO = oci_image(image({"bin/app": b"two"}))


class CountedEntries(dict[str, IndexRoot]):
    """Entries that count how often all of them are looked at."""

    searches = 0

    def values(self) -> ValuesView[IndexRoot]:  # type: ignore[override]
        self.searches += 1
        return super().values()


def test_any_number_of_digests_is_searched_in_the_entries_twice() -> None:
    """An index may name 20,000 manifests that its repository lacks."""
    index = LayoutIndex.parse(EMPTY_INDEX)
    for tag in ("1", "2", "3"):
        index = index.with_manifest("r", tag, manifest(tag))
    entries = CountedEntries(index.repositories["r"])
    index = replace(index, repositories=MappingProxyType({"r": entries}))
    assert [index.find("r", str(Digest.of(b"%d" % number))) for number in range(4, 200)] == [None] * 196
    for tag in ("1", "2", "3"):
        assert index.find("r", str(Digest.of(tag.encode()))) is entries[tag]
    assert entries.searches == 2
    changed = index.with_manifest("r", "1", manifest("4"))
    assert changed.find("r", str(Digest.of(b"4"))) is not None
    assert index.find("r", str(Digest.of(b"4"))) is None


@pytest.fixture
def layout(tmp_path: Path) -> LayoutRegistry:
    return LayoutRegistry(tmp_path / "layout")


@pytest.fixture
def walked(layout: LayoutRegistry, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the repositories of the images that were read, one for each read."""
    found: list[str] = []
    walk = layout.manifests.walk

    def counted(
        index: LayoutIndex, repository: str, root: IndexRoot
    ) -> Iterator[tuple[IndexRoot, ManifestContent | None]]:
        found.append(repository)
        return walk(index, repository, root)

    monkeypatch.setattr(layout.manifests, "walk", counted)
    return found


async def test_only_what_a_reader_sees_and_what_has_changed_is_read(layout: LayoutRegistry, walked: list[str]) -> None:
    catalog = Catalog(layout)
    for repository in ("team/a", "team/b"):
        await land(layout, repository, ONE, "1")
    walked.clear()
    assert [found.name for found in catalog.repositories("team/a".__eq__)] == ["team/a"]
    assert walked == ["team/a"]
    assert len(catalog.repositories(lambda _: True)) == 2
    assert catalog.repositories(lambda _: True)[0].shared_size > 0
    assert walked == ["team/a", "team/b"]
    await land(layout, "team/b", TWO, "2")
    walked.clear()
    assert [len(found.images) for found in catalog.repositories(lambda _: True)] == [1, 2]
    assert set(walked) == {"team/b"}


async def test_the_tags_of_one_image_are_read_once(layout: LayoutRegistry, walked: list[str]) -> None:
    for number in range(20):
        await land(layout, "team/a", ONE, str(number))
    walked.clear()
    (found,) = Catalog(layout).repositories(lambda _: True)
    assert len(found.images) == 20
    assert {shown.size for shown in found.images} == {found.size}
    assert walked == ["team/a"]
