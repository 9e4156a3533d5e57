"""Which names are those of parts, and where one archive ends and the next begins."""

from __future__ import annotations

import json

import pytest

from app.archive.split import HEAD_BYTES, TAIL_BYTES, FileEnds, PartName, check_order, start_series, starts_new_archive
from app.errors import MalformedArchive, MissingContent
from tests.support.archives import Member, tar, wrap

TAR = tar([Member("a", b"a" * 5000)])


def ends(content: bytes) -> FileEnds:
    return FileEnds(content[:HEAD_BYTES], content[-TAIL_BYTES:], len(content))


def name(text: str) -> PartName:
    parsed = PartName.parse(text)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("text", "stem", "number"),
    [
        ("x.tar.000", "x.tar", 0),
        ("x.tar.001", "x.tar", 1),
        ("x.tar.zst.012", "x.tar.zst", 12),
        ("x.tgz.01", "x.tgz", 1),
        ("x.tar-02", "x.tar", 2),
        ("x.tar.aa", "x.tar", 0),
        ("x.tar.bc", "x.tar", 28),
        ("x.tar.part0", "x.tar", 0),
        ("x.tar.part10", "x.tar", 10),
        ("x.part-003", "x", 3),
        ("x.tar.partab", "x.tar", 1),
        ("x_part_aaa", "x", 0),
        ("zarf-package-a-amd64.tar.zst.part001", "zarf-package-a-amd64.tar.zst", 1),
        ("x.taraa", "x.tar", 0),
        ("x.tar.zstab", "x.tar.zst", 1),
        ("x.tgzac", "x.tgz", 2),
        ("platform.tar.0000.chunk", "platform.tar", 0),
        ("x.tar.001.part", "x.tar", 1),
        ("haul_0.tar.zst", "haul.tar.zst", 0),
        ("haul-10.tgz", "haul.tgz", 10),
    ],
)
def test_a_part_tells_its_whole_and_its_number(text: str, stem: str, number: int) -> None:
    part = name(text)
    assert (part.stem, part.number, str(part)) == (stem, number, text)


@pytest.mark.parametrize(
    "text",
    [
        "x.tar",
        "x.tar.gz",
        "x.tar.xz",
        "x.tar.1",
        "app-1.2.10",
        "x.tar.AA",
        ".tar.",
        "",
        "x.part",
        "x.parts.tar",
        "x.gzip",
        "x.tarxz",
    ],
)
def test_other_names_are_those_of_no_part(text: str) -> None:
    assert PartName.parse(text) is None


def test_numbers_go_on_in_their_own_spelling() -> None:
    assert [str(name(text).next) for text in ("x.tar.09", "x.tar.099", "x.tar.az", "x.tar.part9")] == [
        "x.tar.10",
        "x.tar.100",
        "x.tar.ba",
        "x.tar.part10",
    ]
    assert str(name("x.tar.ba").previous) == "x.tar.az"
    assert [name(text).may_be_first for text in ("x.tar.00", "x.tar.01", "x.tar.02", "x.tar.aa", "x.tar.ab")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert name("x.tar.01").continues(name("x.tar.00"))
    assert not name("x.tar.aa").continues(name("x.tar.00"))
    assert not name("y.tar.01").continues(name("x.tar.00"))


def test_an_archive_after_a_whole_one_is_its_own() -> None:
    assert starts_new_archive(ends(TAR), ends(TAR), ends(TAR))
    assert starts_new_archive(ends(TAR), ends(TAR), ends(wrap(TAR, "gzip")))
    assert starts_new_archive(ends(wrap(TAR, "zstd")), ends(b"anything"), ends(wrap(TAR, "zstd")))


def test_what_only_looks_like_a_start_within_a_tar_is_a_part() -> None:
    cut = TAR[:-TAIL_BYTES]
    assert not starts_new_archive(ends(cut[:2048]), ends(cut[:2048]), ends(TAR))
    assert not starts_new_archive(ends(TAR), ends(b"short"), ends(TAR))
    assert not starts_new_archive(ends(TAR), ends(TAR), ends(b"the rest"))
    assert not starts_new_archive(ends(TAR), ends(TAR), ends(bytes(512)))


def test_archives_that_are_only_numbered_are_no_series() -> None:
    assert name("app-2.tar").is_ambiguous
    assert PartName.of_series("app-2.tar") is None
    assert None not in map(PartName.of_series, ("x.tar.001", "x.taraa", "x.tar.0000.chunk", "x.part1"))


@pytest.mark.parametrize("names", [("haul_0.tar.zst", "haul_2.tar.zst"), ("haul_1.tar.zst", "haul_0.tar.zst")])
def test_a_gap_in_such_numbers_is_named(names: tuple[str, str]) -> None:
    with pytest.raises(MissingContent, match=str(name(names[0]).next)):
        check_order(*names)


@pytest.mark.parametrize("names", [("haul_0.tar.zst", "haul_1.tar.zst"), ("a", "b"), ("x_1.tar", "y_3.tar")])
def test_other_names_may_follow_one_another(names: tuple[str, str]) -> None:
    check_order(*names)


def described(**members: object) -> bytes:
    return json.dumps({"Sha256Sum": "0" * 64, "Bytes": 10, "Count": 2} | members).encode()


def test_zarf_describes_its_parts_in_the_first_one() -> None:
    series = start_series(name("x.part000"), ends(described()))
    assert series.described
    series = series.append(name("x.part001"))
    with pytest.raises(MissingContent, match=r"'x\.part002'"):
        series.end(5)
    series = series.append(name("x.part002"))
    with pytest.raises(MissingContent, match=r"5 bytes.*10"):
        series.end(5)
    series.end(10)


@pytest.mark.parametrize("content", [TAR, b"{", b'{"a":1}', b"[]", described() + b" " * HEAD_BYTES])
def test_any_other_first_part_is_content(content: bytes) -> None:
    if content == b"{":
        with pytest.raises(MalformedArchive):
            start_series(name("x.part000"), ends(content))
    else:
        assert not start_series(name("x.part000"), ends(content)).described
    assert not start_series(name("x.part001"), ends(content)).described


@pytest.mark.parametrize("members", [{"Count": 0}, {"Count": "2"}, {"Bytes": -1}, {"Bytes": True}])
def test_a_description_that_cannot_be_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(MalformedArchive):
        start_series(name("x.part000"), ends(described(**members)))


def test_a_gap_names_the_part_that_is_missing() -> None:
    series = start_series(name("x.tar.000"), ends(TAR))
    with pytest.raises(MissingContent, match=r"'x\.tar\.001'.*'x\.tar'.*'x\.tar\.002'"):
        series.append(name("x.tar.002"))
    series.end(123)
