"""One pass over an upload: its digest, its wrapping, its tar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive import Compression, IngestStream, TarIndex, index_file, sniff_file
from app.errors import LimitExceeded, MalformedArchive, TarmacError, TooLarge, TruncatedArchive, UnknownFormat
from app.oci import Digest
from app.spool import StreamFilter
from tests.archive.tar_blocks import END, Bytes, file
from tests.support.archives import wrap

TAR = file("manifest.json", b"[]") + file("layer.tar", b"x" * 3000) + END
ANY = pytest.mark.parametrize("compression", list(Compression))


def wrapped(compression: Compression) -> bytes:
    return wrap(TAR, compression.value)


def take(raw: bytes, step: int, intake: IngestStream) -> bytes:
    tap: StreamFilter = intake
    plain = b"".join(piece for at in range(0, len(raw), step) for piece in tap.feed(raw[at : at + step]))
    return plain + b"".join(tap.finish())


@ANY
@pytest.mark.parametrize("step", [1, 9, 10, 11, 513, 1 << 20])
def test_an_upload_is_hashed_unwrapped_and_indexed_in_one_pass(compression: Compression, step: int) -> None:
    raw, intake = wrapped(compression), IngestStream()
    plain = take(raw, step, intake)
    assert plain == TAR
    assert intake.compression is compression
    assert intake.received == len(raw)
    assert intake.digest == Digest.of(raw)
    assert intake.index == index_file(Bytes(TAR), len(TAR))
    assert intake.index.read("manifest.json", Bytes(plain), 10) == b"[]"


@ANY
def test_the_compression_of_a_file_is_told_without_reading_it(compression: Compression) -> None:
    source = Bytes(wrapped(compression))
    assert sniff_file(source, len(source.data)) is compression
    assert source.reads == 1


def test_the_compression_of_a_tiny_file_is_none() -> None:
    assert sniff_file(Bytes(b"\x1f\x8b"), 2) is Compression.NONE
    assert sniff_file(Bytes(b""), 0) is Compression.NONE


@pytest.mark.parametrize("compression", list(Compression))
def test_an_empty_upload_is_told(compression: Compression) -> None:
    empty = wrap(b"", compression.value)
    with pytest.raises(UnknownFormat):
        take(empty, 100, IngestStream())


@pytest.mark.parametrize("raw", [b"x", b"PK\x03\x04", b"\x1f\x8b", b"not a tar"])
def test_an_upload_shorter_than_a_header_is_told_at_its_end(raw: bytes) -> None:
    with pytest.raises(UnknownFormat):
        take(raw, 100, IngestStream())


@ANY
def test_what_is_no_tar_is_refused_at_its_first_block(compression: Compression) -> None:
    raw = wrap(b"no tar at all " * 10_000, compression.value)
    with pytest.raises(UnknownFormat, match="'no tar at all"):
        list(IngestStream().feed(raw))


def test_one_wrapping_is_taken_off_and_no_more() -> None:
    twice = wrap(wrapped(Compression.ZSTD), "gzip")
    with pytest.raises(UnknownFormat, match="Zstandard"):
        take(twice, 100, IngestStream())


@ANY
def test_a_cut_upload_is_told(compression: Compression) -> None:
    raw = wrapped(compression)
    cut = len(raw) // 2 if compression is not Compression.NONE else 2000
    with pytest.raises(TruncatedArchive):
        take(raw[:cut], 100, IngestStream())


def test_an_upload_may_have_its_limit_of_bytes_and_not_one_more() -> None:
    assert take(TAR, 100, IngestStream(max_bytes=len(TAR))) == TAR
    with pytest.raises(TooLarge, match=f"{len(TAR) - 1} bytes"):
        take(TAR, 100, IngestStream(max_bytes=len(TAR) - 1))


def test_a_second_archive_in_a_second_gzip_member_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        take(wrapped(Compression.GZIP) * 2, 100, IngestStream())


def test_a_bomb_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="200 times"):
        take(wrap(file("a", bytes(80 << 20)), "zstd"), 1 << 20, IngestStream())


def test_the_digest_grows_with_what_was_received() -> None:
    intake = IngestStream()
    assert intake.digest == Digest.of(b"")
    list(intake.feed(TAR[:700]))
    assert intake.digest == Digest.of(TAR[:700])


def test_the_index_is_not_there_before_the_end() -> None:
    with pytest.raises(AssertionError):
        _ = IngestStream().index


@settings(max_examples=150)
@given(st.sampled_from(list(Compression)), st.data())
def test_any_damage_is_an_error_of_the_tree_or_gives_an_index(compression: Compression, data: st.DataObject) -> None:
    raw = bytearray(wrapped(compression))
    place = data.draw(st.integers(0, len(raw)))
    raw[place : place + data.draw(st.integers(0, 600))] = data.draw(st.binary(max_size=20))
    intake = IngestStream()
    try:
        plain = take(bytes(raw), data.draw(st.integers(1, 2000)), intake)
    except TarmacError:
        return
    assert isinstance(intake.index, TarIndex)
    assert intake.index.size == len(plain)
