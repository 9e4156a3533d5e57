"""Whether an archive is whole, and whether a file can be what follows: told by content alone."""

from __future__ import annotations

from typing import get_args

import pytest

from app.archive.continued import ArchiveScan, can_follow, may_be_archive
from app.archive.ingest import IngestStream
from app.archive.model import Compression
from app.errors import ArchiveError, MalformedArchive
from tests.support.archives import Compress, docker_save, image, tagged, wrap
from tests.support.opening import Memory

APP = docker_save([tagged(image({f"bin/{number}": bytes([number]) * 700 for number in range(20)}), "team/app:1")])
WHOLE = {outer: wrap(APP, outer) for outer in get_args(Compress)}


def scanned(pieces: list[bytes]) -> list[bool]:
    scan, found = ArchiveScan(), []
    for piece in pieces:
        scan.add(Memory(piece), len(piece))
        found.append(scan.is_whole)
    return found


@pytest.mark.parametrize("outer", get_args(Compress))
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_an_archive_is_whole_with_its_last_part(outer: Compress, count: int) -> None:
    data = WHOLE[outer]
    size = -(-len(data.rstrip(b"\0") if outer == "none" else data) // count)
    found = scanned([data[at : at + size] for at in range(0, len(data), size)])
    assert found[: count - 1] == [False] * (count - 1)
    assert found[-1]


@pytest.mark.parametrize("outer", get_args(Compress))
def test_what_is_received_says_the_same(outer: Compress) -> None:
    stream = IngestStream()
    cut = len(WHOLE[outer]) // 2
    for _ in stream.feed(WHOLE[outer][:cut]):
        pass
    assert not stream.is_whole
    for _ in stream.feed(WHOLE[outer][cut:]):
        pass
    assert stream.is_whole


def test_what_does_not_continue_an_archive_raises() -> None:
    scan, half = ArchiveScan(), len(APP) // 1024 * 512
    scan.add(Memory(APP[: half + 100]), half + 100)
    with pytest.raises(ArchiveError):
        scan.add(Memory(b"?" * 100_000), 100_000)


def test_parts_of_a_plain_tar_may_end_in_a_header() -> None:
    for size in (100, 511, 512, 513, 1024):
        assert scanned([APP[at : at + size] for at in range(0, len(APP), size)])[-1]


@pytest.mark.parametrize("outer", get_args(Compress))
def test_an_archive_is_one(outer: Compress) -> None:
    assert may_be_archive(WHOLE[outer], is_all=True)
    assert may_be_archive(WHOLE[outer][:700], is_all=False)


def test_what_begins_as_an_archive_may_be_none() -> None:
    assert not may_be_archive(APP[:512] + b"no header" * 100, is_all=False)
    assert not may_be_archive(APP[:-12_000], is_all=True)
    assert may_be_archive(APP[:-12_000], is_all=False)
    assert not may_be_archive(wrap(b"no tar" * 1000, "gzip"), is_all=True)


def test_text_may_follow_in_a_plain_tar_alone() -> None:
    text = b"0123456789abcdef  x.tar.gz\n"
    assert can_follow(text, Compression.NONE)
    assert not can_follow(text, Compression.GZIP)
    assert can_follow(text[:5], Compression.GZIP)
    assert not can_follow(b"", Compression.NONE)


def test_damage_is_told_from_an_end() -> None:
    scan = ArchiveScan()
    with pytest.raises(MalformedArchive):
        scan.add(Memory(APP[:512] + b"?" * 5000), 5512)
    assert not scan.is_whole
