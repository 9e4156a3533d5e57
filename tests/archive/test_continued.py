"""Whether an archive is whole, and whether a file can be what follows: told by content alone."""

from __future__ import annotations

from typing import get_args

import pytest

from app.archive.continued import ArchiveScan, can_follow
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
@pytest.mark.parametrize("compression", Compression)
def test_an_archive_never_follows(outer: Compress, compression: Compression) -> None:
    assert not can_follow(WHOLE[outer], is_all=True, compression=compression)


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_what_begins_as_an_archive_and_is_none_may_follow(compression: Compression) -> None:
    header = APP[:512]
    assert can_follow(header + b"no header" * 100, is_all=False, compression=compression)
    assert can_follow(APP[:-12_000], is_all=True, compression=compression)
    assert not can_follow(APP[:-12_000], is_all=False, compression=compression)
    assert can_follow(wrap(b"no tar" * 1000, "gzip"), is_all=True, compression=compression)


def test_text_may_follow_in_a_plain_tar_alone() -> None:
    text = b"0123456789abcdef  x.tar.gz\n"
    assert can_follow(text, is_all=True, compression=Compression.NONE)
    assert not can_follow(text, is_all=True, compression=Compression.GZIP)
    assert can_follow(text[:5], is_all=True, compression=Compression.GZIP)
    assert not can_follow(b"", is_all=True, compression=Compression.NONE)


def test_damage_is_told_from_an_end() -> None:
    scan = ArchiveScan()
    with pytest.raises(MalformedArchive):
        scan.add(Memory(APP[:512] + b"?" * 5000), 5512)
    assert not scan.is_whole
