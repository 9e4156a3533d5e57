"""Taking the wrapping off: in pieces of any size, with a bound on everything, and never past damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive import DEFAULT_LIMITS, SNIFF_BYTES, Compression, Limits, decompressor, sniff
from app.errors import LimitExceeded, MalformedArchive, TarmacError, TruncatedArchive
from tests.support.archives import wrap

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
PLAIN = random.Random(7).randbytes(5_000) + bytes(60_000) + b"the end"
WRAPPED = {compression: wrap(PLAIN, compression.value) for compression in Compression}
CODECS = [compression for compression in Compression if compression is not Compression.NONE]
ANY_CODEC = pytest.mark.parametrize("compression", CODECS)
TIGHT = replace(DEFAULT_LIMITS, ratio=10, ratio_grace_bytes=MIB)


def pieces(data: bytes, compression: Compression, step: int, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    unwrap = decompressor(compression, limits)
    for start in range(0, len(data), step):
        yield from unwrap.feed(data[start : start + step])
    unwrap.finish()


def unwrapped(data: bytes, compression: Compression, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Read whole, in odd pieces and one byte at a time; all have to agree. Raises what they raise."""
    ways = [_outcome(data, compression, step, limits) for step in (len(data) or 1, 4097, 7, 1)]
    assert len(set(ways)) == 1, ways
    return b"".join(pieces(data, compression, len(data) or 1, limits))


def _outcome(data: bytes, compression: Compression, step: int, limits: Limits) -> bytes | type[TarmacError]:
    try:
        return b"".join(pieces(data, compression, step, limits))
    except TarmacError as error:
        return type(error)


@pytest.mark.parametrize("compression", list(Compression))
def test_what_was_wrapped_is_told_and_comes_out_again(compression: Compression) -> None:
    assert sniff(WRAPPED[compression][:SNIFF_BYTES]) is compression
    assert unwrapped(WRAPPED[compression], compression) == PLAIN


@ANY_CODEC
def test_nothing_wrapped_is_nothing(compression: Compression) -> None:
    empty = wrap(b"", compression.value)
    assert sniff(empty[:SNIFF_BYTES]) is compression
    assert unwrapped(empty, compression) == b""


@ANY_CODEC
def test_several_members_are_one_stream(compression: Compression) -> None:
    parts = [wrap(part, compression.value) for part in (PLAIN[:100], b"", PLAIN[100:40_000], PLAIN[40_000:])]
    assert unwrapped(b"".join(parts), compression) == PLAIN


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x1f",
        b"\x1f\x8b",
        b"\x1f\x8b\x07",
        b"BZh9",
        b"BZh91AY&S",
        b"BZh01AY&SY",
        b"BZhello wo",
        b"\xfd7zX",
        b"PK\x03\x04",
        b"(\xb5/",
        b"O*M\x18",
        b"`*M\x18",
        b"manifest.j",
    ],
)
def test_a_likeness_is_not_enough(head: bytes) -> None:
    assert sniff(head) is Compression.NONE


@pytest.mark.parametrize("low", range(0x50, 0x60))
def test_zstd_may_begin_with_a_frame_to_be_skipped(low: int) -> None:
    data = bytes([low]) + b"\x2a\x4d\x18\x04\0\0\0skip" + WRAPPED[Compression.ZSTD]
    assert sniff(data[:SNIFF_BYTES]) is Compression.ZSTD
    assert unwrapped(data, Compression.ZSTD) == PLAIN


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_of_bzip2_is_told(level: int) -> None:
    assert sniff(bz2.compress(PLAIN, level)[:SNIFF_BYTES]) is Compression.BZIP2


@ANY_CODEC
def test_every_cut_is_told(compression: Compression) -> None:
    data = WRAPPED[compression]
    for cut in {*range(12), *range(0, len(data), 97), len(data) - 9, len(data) - 1}:
        with pytest.raises(TruncatedArchive, match=f"{compression}.*{cut} bytes"):
            list(pieces(data[:cut], compression, 1000))


@ANY_CODEC
def test_zeros_after_the_end_are_padding(compression: Compression) -> None:
    assert unwrapped(WRAPPED[compression] + bytes(10_240), compression) == PLAIN


@ANY_CODEC
@pytest.mark.parametrize("more", [b"x", b"\0x", b"\0" * 5000 + b"PK\3\4", b"garbage that is longer than a header is"])
def test_anything_else_after_the_end_is_refused(compression: Compression, more: bytes) -> None:
    with pytest.raises((MalformedArchive, TruncatedArchive)):
        unwrapped(WRAPPED[compression] + more, compression)


@ANY_CODEC
def test_a_member_after_padding_is_refused(compression: Compression) -> None:
    with pytest.raises(MalformedArchive):
        unwrapped(WRAPPED[compression] + b"\0" + WRAPPED[compression], compression)


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.XZ, Compression.BZIP2])
def test_no_flipped_bit_passes_unseen(compression: Compression) -> None:
    data = WRAPPED[compression]
    chooser = random.Random(3)
    for _ in range(200):
        place, bit = chooser.randrange(len(data)), chooser.randrange(8)
        broken = bytearray(data)
        broken[place] ^= 1 << bit
        if compression is Compression.GZIP and place in range(3, 10):
            continue  # flags, time, level and system: the first have tests of their own, the others no meaning
        with pytest.raises(TarmacError):
            list(pieces(bytes(broken), compression, 1 << 20))


@pytest.mark.parametrize("place", [-8, -5, -4, -1])
def test_the_checksum_and_length_of_gzip_are_checked(place: int) -> None:
    data = bytearray(WRAPPED[Compression.GZIP])
    data[place] ^= 1
    with pytest.raises(MalformedArchive, match="gzip"):
        unwrapped(bytes(data), Compression.GZIP)


def test_the_checksum_of_zstd_is_checked() -> None:
    data = bytearray(zstd.compress(PLAIN, options={zstd.CompressionParameter.checksum_flag: 1}))
    data[-1] ^= 1
    with pytest.raises(MalformedArchive, match="zstd"):
        unwrapped(bytes(data), Compression.ZSTD)


def _gzip_with(flags: int, fields: bytes = b"", checksum: int = 0) -> bytes:
    """The gzip stream with flags and optional fields; with FHCRC (2) the header's checksum, changed by `checksum`."""
    data = WRAPPED[Compression.GZIP]
    head = data[:3] + bytes([flags]) + data[4:10] + fields
    if flags & 2:
        head += ((zlib.crc32(head) & 0xFFFF) ^ checksum).to_bytes(2, "little")
    return head + data[10:]


EXTRA, NAME, COMMENT = b"\x05\0extra", b"name\0", b"comment\0"


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (0b00001, b""),
        (0b00010, b""),
        (0b00100, EXTRA),
        (0b00100, b"\0\0"),
        (0b01000, NAME),
        (0b10000, COMMENT),
        (0b10000, b"\0"),
        (0b11101, EXTRA + NAME + COMMENT),
        (0b11111, EXTRA + NAME + COMMENT),
    ],
)
def test_the_optional_fields_of_a_gzip_header_are_passed_over(flags: int, fields: bytes) -> None:
    assert unwrapped(_gzip_with(flags, fields), Compression.GZIP) == PLAIN


@pytest.mark.parametrize("flags", [0x20, 0x40, 0x80, 0xE0])
def test_reserved_flags_of_gzip_are_refused_in_every_member(flags: int) -> None:
    # the decoder takes them; RFC 1952 2.3.1.2 has them refused, since another reader sees another header
    for data in (_gzip_with(flags), WRAPPED[Compression.GZIP] + _gzip_with(flags)):
        with pytest.raises(MalformedArchive, match="flags"):
            unwrapped(data, Compression.GZIP)


def test_the_checksum_of_a_gzip_header_is_checked() -> None:
    with pytest.raises(MalformedArchive, match="checksum"):
        unwrapped(_gzip_with(0b01010, NAME, checksum=1), Compression.GZIP)


def test_a_gzip_header_has_an_end() -> None:
    largest = (128 << 10) - 11
    for step in (1000, 1 << 20):
        data = _gzip_with(0b01000, b"n" * largest + b"\0")
        assert b"".join(pieces(data, Compression.GZIP, step)) == PLAIN
        with pytest.raises(MalformedArchive):
            list(pieces(_gzip_with(0b01000, b"n" * (largest + 1) + b"\0"), Compression.GZIP, step))
    with pytest.raises(MalformedArchive):
        list(pieces(_gzip_with(0b01000, b"n" * 300_000), Compression.GZIP, 1000))


@ANY_CODEC
def test_a_bomb_is_stopped_by_its_ratio_and_never_held_in_memory(compression: Compression) -> None:
    bomb = wrap(bytes(64 * MIB), compression.value)
    assert len(bomb) < MIB
    tracemalloc.start()
    given_out: list[int] = []
    with pytest.raises(LimitExceeded, match=f"{compression}.*10 times"):
        given_out.extend(len(piece) for piece in pieces(bomb, compression, len(bomb), TIGHT))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(given_out) <= 2 * MIB
    assert max(given_out) <= MIB
    assert peak < 16 * MIB  # xz has a dictionary of 8 MiB


@ANY_CODEC
def test_small_and_honest_zeros_are_no_bomb(compression: Compression) -> None:
    zeros = wrap(bytes(MIB), compression.value)
    assert sum(map(len, pieces(zeros, compression, 10_000, TIGHT))) == MIB


@pytest.mark.parametrize("compression", list(Compression))
def test_the_unpacked_bytes_have_a_limit(compression: Compression) -> None:
    data = WRAPPED[compression]
    exact = replace(DEFAULT_LIMITS, unpacked_bytes=len(PLAIN))
    assert unwrapped(data, compression, exact) == PLAIN
    with pytest.raises(LimitExceeded, match=f"{len(PLAIN) - 1} bytes"):
        unwrapped(data, compression, replace(DEFAULT_LIMITS, unpacked_bytes=len(PLAIN) - 1))


def test_an_xz_dictionary_of_gigabytes_is_refused_and_the_largest_preset_is_read() -> None:
    large = lzma.compress(PLAIN, preset=9)
    assert unwrapped(large, Compression.XZ) == PLAIN
    hostile = lzma.compress(PLAIN, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 20}])
    # the dictionary's size is one byte of the block header, which has a CRC of its own
    at = hostile.index(b"\x21\x01") + 2
    block = bytearray(hostile[12:24])
    block[at - 12] = 40  # 4 GiB
    block[8:12] = zlib.crc32(bytes(block[:8])).to_bytes(4, "little")
    with pytest.raises(LimitExceeded, match=r"xz.*memory"):
        unwrapped(hostile[:12] + bytes(block) + hostile[24:], Compression.XZ)


def test_a_zstd_window_above_64_mib_is_refused_with_what_to_do_and_one_of_64_mib_is_read() -> None:
    def compressed(log: int) -> bytes:
        writer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
        return writer.compress(b"content") + writer.flush()

    assert unwrapped(compressed(26), Compression.ZSTD) == b"content"
    with pytest.raises(LimitExceeded, match="zstd"):
        unwrapped(compressed(27), Compression.ZSTD)


def test_what_xz_writes_at_its_best_is_read_and_a_larger_dictionary_refused_with_what_to_do() -> None:
    def compressed(mebibytes: int) -> bytes:
        chain = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": mebibytes << 20}]
        return lzma.compress(b"content", filters=chain)

    assert unwrapped(compressed(64), Compression.XZ) == b"content"
    with pytest.raises(LimitExceeded, match="xz"):
        unwrapped(compressed(72), Compression.XZ)


@ANY_CODEC
def test_members_beyond_all_reason_are_refused(compression: Compression, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archive.compression.MAX_MEMBERS", 3)
    member = wrap(b"x", compression.value)
    assert unwrapped(member * 3, compression) == b"xxx"
    with pytest.raises(LimitExceeded, match="3 members"):
        unwrapped(member * 4, compression)


@ANY_CODEC
def test_ten_thousand_tiny_members_in_one_piece_do_not_cost_their_square(compression: Compression) -> None:
    data = wrap(b"x", compression.value) * 10_000
    assert b"".join(pieces(data, compression, len(data))) == b"x" * 10_000


def test_a_gzip_stream_in_blocks_is_read_as_bgzip_writes_it() -> None:
    plain = random.Random(1).randbytes(1_000_000)
    blocks = b"".join(gzip.compress(plain[at : at + 65_280]) for at in range(0, len(plain), 65_280))
    assert b"".join(pieces(blocks, Compression.GZIP, MIB)) == plain


@settings(max_examples=150)
@given(st.sampled_from(CODECS), st.data())
def test_damage_is_an_error_of_the_tree_or_without_effect(compression: Compression, data: st.DataObject) -> None:
    broken = bytearray(WRAPPED[compression])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        found = b"".join(pieces(bytes(broken), compression, data.draw(st.integers(1, 9000))))
    except TarmacError:
        return
    assert found == PLAIN or compression is Compression.ZSTD  # a frame of zstd need not have a checksum


@settings(max_examples=100)
@given(st.sampled_from(CODECS), st.binary(max_size=400))
def test_any_bytes_are_unwrapped_or_refused(compression: Compression, raw: bytes) -> None:
    magic = WRAPPED[compression][:6]
    for data in (raw, magic + raw):
        try:
            list(pieces(data, compression, 50))
        except TarmacError:
            continue
