"""The memory of a decoder is read from the first bytes of a stream, and is enough for all of it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive.compression import MAX_DECODER_BYTES, MAX_XZ_BYTES, decompressor, sniff
from app.archive.window import BZIP2_BYTES, HEAD_BYTES, MAX_ZSTD_BYTES, MIN_ZSTD_BYTES, decoder_memory

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = bytes(range(256)) * 4096  # 1 MiB


def zstd_of(window_log: int, data: bytes = DATA) -> bytes:
    """A stream whose size is not known at its start, so that the frame says its window."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    return compressor.compress(data[:10]) + compressor.compress(data[10:]) + compressor.flush()


def xz_of(dictionary: int, *before: dict[str, int], check: int = lzma.CHECK_CRC32) -> bytes:
    filters = [*before, {"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": dictionary}]
    return lzma.compress(DATA, format=lzma.FORMAT_XZ, check=check, filters=filters)


SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0data"
STREAMS = {
    "nothing": (b"", 0),
    "a tar": (DATA, 0),
    "gzip": (gzip.compress(DATA), 0),
    "bzip2": (bz2.compress(DATA), BZIP2_BYTES),
    "zstd of a small window": (zstd_of(17), MIN_ZSTD_BYTES),
    "zstd of 8 MiB": (zstd_of(23), MIN_ZSTD_BYTES),
    "zstd of 16 MiB": (zstd_of(24), 16 << 20),
    "zstd of 64 MiB": (zstd_of(26), MAX_ZSTD_BYTES),
    "zstd of 128 MiB": (zstd_of(27), MAX_ZSTD_BYTES),
    "zstd that says its size": (zstd.compress(DATA), MIN_ZSTD_BYTES),
    "zstd of nothing": (zstd.compress(b""), MIN_ZSTD_BYTES),
    "zstd behind skippable frames": (SKIPPED * 3 + zstd_of(24), 16 << 20),
    "zstd after a long skippable frame": (
        b"\x5f\x2a\x4d\x18\xff\xff\0\0" + b"x" * 65535 + zstd_of(20),
        MAX_ZSTD_BYTES,
    ),
    "xz -1": (xz_of(1 << 20), 2 << 20),
    "xz -6": (xz_of(8 << 20), 9 << 20),
    "xz -9": (xz_of(64 << 20), 65 << 20),
    "xz behind filters": (xz_of(1 << 20, {"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_X86}), 2 << 20),
    "xz of nothing": (lzma.compress(b""), 1 << 20),
    "xz that ends in its head": (xz_of(1 << 20)[:13], MAX_XZ_BYTES),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_memory_is_what_the_stream_says(name: str) -> None:
    stream, expected = STREAMS[name]
    assert decoder_memory(stream[:HEAD_BYTES]) == expected


@pytest.mark.parametrize("name", [name for name in STREAMS if "128" not in name and "ends" not in name])
def test_the_memory_is_enough_for_the_whole_stream(name: str) -> None:
    stream, _ = STREAMS[name]
    unwrap = decompressor(sniff(stream), memory=decoder_memory(stream[:HEAD_BYTES]) or MAX_DECODER_BYTES)
    plain = b"".join(
        piece for start in range(0, len(stream), 4096) for piece in unwrap.feed(stream[start : start + 4096])
    )
    assert plain in (b"", DATA)


@given(st.binary(max_size=40), st.sampled_from([b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", SKIPPED, b"BZh91AY&SY", b""]))
def test_any_start_has_an_answer_within_bounds(rest: bytes, magic: bytes) -> None:
    assert 0 <= decoder_memory(magic + rest) <= MAX_DECODER_BYTES


@given(st.binary(min_size=1, max_size=60))
def test_any_block_header_of_xz_has_an_answer(rest: bytes) -> None:
    assert 0 < decoder_memory(b"\xfd7zXZ\0\0\x01" + bytes(4) + rest) <= MAX_DECODER_BYTES
