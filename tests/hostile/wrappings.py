"""gzip, zstd, xz and bzip2 around an archive: bombs, memory, damage, more than one stream."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tests.archive.tar_blocks import header
from tests.hostile.case import BOMB_SECONDS, Case, Cases, accepted, refused
from tests.hostile.samples import DOCKER, OCI
from tests.support import archives
from tests.support.archives import Compress, wrap

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KINDS: tuple[Compress, ...] = ("gzip", "zstd", "xz", "bzip2")
BOMB_BYTES = 192 << 20  # three times what is allowed to be extreme
PIECE = bytes(1 << 20)


def cases() -> Cases:
    for kind in KINDS:
        yield from _each(kind)
    yield from _gzip()
    yield from _zstd()
    yield from _xz()
    yield from _bombs()


def _each(kind: Compress) -> Cases:
    data = wrap(DOCKER, kind)
    damaged = ("malformed_archive", "truncated_archive")
    yield accepted(f"{kind}: a docker archive", data)
    yield accepted(f"{kind}: a layout", wrap(OCI, kind))
    yield accepted(f"{kind}: two streams", wrap(DOCKER[:1000], kind) + wrap(DOCKER[1000:], kind))
    yield accepted(f"{kind}: an empty stream after it", data + wrap(b"", kind))
    yield refused(f"{kind}: twice", wrap(data, kind), "unknown_format")
    yield refused(f"{kind}: nothing in it", wrap(b"", kind), "unknown_format")
    yield refused(f"{kind}: a text in it", wrap(b"hello" * 200, kind), "unknown_format")
    yield refused(f"{kind}: junk after it", data + b"junk" * 9)
    yield refused(f"{kind}: another archive after it, plain", data + DOCKER)
    yield refused(f"{kind}: another archive after it, wrapped", data + wrap(DOCKER, kind))
    for name, place in {
        "its head": 12,
        "a third": len(data) // 3,
        "half": len(data) // 2,
        "all but one byte": len(data) - 1,
        "all but nine bytes": len(data) - 9,
    }.items():
        yield refused(f"{kind}: cut after {name}", data[:place], *damaged)
    for name, place in {"third": len(data) // 3, "half": len(data) // 2, "two thirds": len(data) * 2 // 3}.items():
        flipped = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        yield refused(
            f"{kind}: one bit flipped at {name}",
            flipped,
            *damaged,
            "digest_mismatch",
            "unknown_format",
            "limit_exceeded",
            "missing_content",
        )


def _gzip() -> Cases:
    data = gzip.compress(DOCKER, mtime=0)
    yield refused("gzip: a wrong checksum", data[:-8] + b"\0\0\0\0" + data[-4:])
    yield refused("gzip: a wrong length", data[:-4] + b"\1\0\0\0")
    yield refused("gzip: reserved flags", data[:3] + b"\xe0" + data[4:])
    yield refused("gzip: another method", data[:2] + b"\x07" + data[3:], "unknown_format")
    yield accepted("gzip: a file name and a comment", data[:3] + b"\x18" + data[4:10] + b"name\0comment\0" + data[10:])
    yield refused("gzip: a file name without end", data[:3] + b"\x08" + data[4:10] + b"n" * 200_000)
    yield accepted("gzip: an extra field", data[:3] + b"\x04" + data[4:10] + b"\x04\0abcd" + data[10:])
    yield refused("gzip: a wrong header checksum", data[:3] + b"\x02" + data[4:10] + b"\0\0" + data[10:])
    yield accepted("gzip: zeros after it", data + bytes(4096))
    yield refused("gzip: zlib data instead", zlib.compress(DOCKER), "unknown_format")
    yield refused("gzip: raw deflate instead", zlib.compress(DOCKER)[2:-4], "unknown_format")
    yield refused(
        "gzip: 100,000 empty members", lambda: gzip.compress(b"", mtime=0) * 100_000, "unknown_format", "limit_exceeded"
    )
    yield accepted(
        "gzip: a byte a member", lambda: _byte_by_byte(DOCKER[:15_000]) + gzip.compress(DOCKER[15_000:], mtime=0)
    )
    yield refused(
        "gzip: 30,000 members of a byte", lambda: _byte_by_byte(DOCKER.ljust(30_000, b"\0")), "limit_exceeded"
    )


def _byte_by_byte(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 1], mtime=0) for at in range(len(data)))


def _zstd() -> Cases:
    data = zstd.compress(DOCKER)
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0junk"
    yield accepted("zstd: a skippable frame before it", skippable + data)
    yield accepted("zstd: a skippable frame after it", data + skippable)
    yield refused("zstd: a skippable frame of 4 GiB", b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + data, "truncated_archive")
    yield refused("zstd: only skippable frames", skippable * 100, "unknown_format")
    yield refused("zstd: a wrong checksum", _with_checksum()[:-4] + b"\0\0\0\0")
    yield refused("zstd: a dictionary is wanted", b"\x28\xb5\x2f\xfd\x23\x01\x02\x03\x04" + b"\0" * 20)
    yield refused("zstd: reserved bit", b"\x28\xb5\x2f\xfd\x08" + b"\0" * 20)
    for log in (28, 31, 41):
        frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"\x01\0\0"
        yield refused(f"zstd: a window of 2**{log}", frame, "limit_exceeded", "malformed_archive")
    yield accepted("zstd: a window of 2**26", _long_window(26))
    yield refused("zstd: a window of 2**27, as --long", _long_window(27), "limit_exceeded")
    yield refused(
        "zstd: content size 2**63",
        b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x01\0\0",
        "limit_exceeded",
        "malformed_archive",
    )
    yield refused("zstd: a version of 2015", b"\x25\xb5\x2f\xfd" + data[4:], "unknown_format")
    yield refused(
        "zstd: 100,000 empty frames", lambda: zstd.compress(b"") * 100_000, "unknown_format", "limit_exceeded"
    )


def _xz() -> Cases:
    data = lzma.compress(DOCKER)
    yield accepted("xz: the smallest settings", lzma.compress(DOCKER, preset=0))
    yield accepted("xz: no integrity check", lzma.compress(DOCKER, check=lzma.CHECK_NONE))
    yield accepted("xz: SHA-256 check", lzma.compress(DOCKER, check=lzma.CHECK_SHA256))
    yield refused("xz: a dictionary of 1.5 GiB", _huge_dictionary(), "limit_exceeded", "malformed_archive")
    yield refused("xz: a wrong footer", data[:-2] + b"ZZ")
    yield refused("xz: a wrong index", data[:-20] + b"\0" * 8 + data[-12:], "malformed_archive", "truncated_archive")
    yield refused("xz: lzma-alone instead", lzma.compress(DOCKER, format=lzma.FORMAT_ALONE), "unknown_format")
    yield accepted("xz: padding after it", data + bytes(4096))


def _bombs() -> Cases:
    builders: dict[str, Callable[[], bytes]] = {
        "gzip": partial(_gzip_bomb, BOMB_BYTES),
        "gzip of many members": lambda: gzip.compress(_start(), mtime=0) + gzip.compress(PIECE, mtime=0) * 300,
        "zstd": partial(_zstd_bomb, BOMB_BYTES),
        "zstd of many frames": lambda: zstd.compress(_start()) + zstd.compress(PIECE) * 300,
        "zstd of a run, 128 KiB in four bytes": _run_length_bomb,
        "xz": partial(_xz_bomb, BOMB_BYTES),
        "xz of many streams": lambda: lzma.compress(_start()) + lzma.compress(PIECE) * 300,
        "bzip2": partial(_bzip2_bomb, BOMB_BYTES),
        "bzip2 of many streams": lambda: bz2.compress(_start()) + bz2.compress(PIECE) * 300,
    }
    for name, build in builders.items():
        yield _bomb(refused(f"a bomb of {name}", build, "limit_exceeded"))
    yield _bomb(
        refused("a bomb of gzip that is no tar", partial(_gzip_bomb, 1 << 20, b""), "unknown_format", "limit_exceeded")
    )
    for kind in ("gzip", "zstd"):
        yield _bomb(
            refused(
                f"a layer that is a bomb of {kind}", partial(_layer_bomb, kind), "limit_exceeded", "digest_mismatch"
            )
        )
        yield _bomb(accepted(f"a blob of a layout that is a bomb of {kind}", partial(_blob_bomb, kind)))


def _bomb(case: Case) -> Case:
    return replace(case, seconds=BOMB_SECONDS)


def _start() -> bytes:
    """A member that wants as many zeros as anybody gives it."""
    return header("zeros", b"\x80\0\0\0" + (64 << 30).to_bytes(8, "big"))


def _gzip_bomb(size: int, start: bytes | None = None) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [engine.compress(_start() if start is None else start)]
    pieces += [engine.compress(PIECE) for _ in range(size >> 20)]
    return b"".join((*pieces, engine.flush()))


def _zstd_bomb(size: int) -> bytes:
    engine = zstd.ZstdCompressor()
    pieces = [engine.compress(_start())] + [engine.compress(PIECE) for _ in range(size >> 20)]
    return b"".join((*pieces, engine.flush()))


def _xz_bomb(size: int) -> bytes:
    engine = lzma.LZMACompressor(preset=0)
    pieces = [engine.compress(_start())] + [engine.compress(PIECE) for _ in range(size >> 20)]
    return b"".join((*pieces, engine.flush()))


def _bzip2_bomb(size: int) -> bytes:
    engine = bz2.BZ2Compressor(9)
    pieces = [engine.compress(_start())] + [engine.compress(PIECE) for _ in range(size >> 20)]
    return b"".join((*pieces, engine.flush()))


def _run_length_bomb() -> bytes:
    """Blocks of the type RLE (RFC 8878 3.1.1.2.2): one byte that stands for 128 KiB."""
    block = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    first = _start()
    raw_block = (len(first) << 3).to_bytes(3, "little") + first
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(17 - 10) << 3]) + raw_block + block * 4000


def _with_checksum() -> bytes:
    return zstd.compress(DOCKER, options={zstd.CompressionParameter.checksum_flag: 1})


def _long_window(log: int) -> bytes:
    engine = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    return engine.compress(DOCKER[:1000]) + engine.compress(DOCKER[1000:]) + engine.flush()


def _huge_dictionary() -> bytes:
    """A block header that asks for a dictionary of 4 GiB; its checksum is made right."""
    data = bytearray(lzma.compress(DOCKER, check=lzma.CHECK_CRC32))
    head = 12
    size = (data[head] + 1) * 4
    place = data.index(b"\x21\x01", head) + 2  # LZMA2, one byte of properties: the dictionary's size
    data[place] = 40
    data[head + size - 4 : head + size] = zlib.crc32(bytes(data[head : head + size - 4])).to_bytes(4, "little")
    return bytes(data)


def _layer_bomb(kind: Compress) -> bytes:
    """A docker archive whose layer unpacks to far more than it says."""
    bomb = _gzip_bomb(BOMB_BYTES) if kind == "gzip" else _zstd_bomb(BOMB_BYTES)
    diff_id = archives.sha256(b"something else")
    config = archives.to_json(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    )
    name = f"{archives.sha256(config).removeprefix('sha256:')}.json"
    manifest = [{"Config": name, "RepoTags": ["example.com/team/app:1"], "Layers": ["layer.tar"]}]
    return archives.tar(archives.files({name: config, "layer.tar": bomb, "manifest.json": archives.to_json(manifest)}))


def _blob_bomb(kind: Compress) -> bytes:
    """In a layout layers stay as they are: this one is pushed and never unpacked."""
    bomb = _gzip_bomb(BOMB_BYTES) if kind == "gzip" else _zstd_bomb(BOMB_BYTES)
    node = archives.oci_artifact(bomb)
    return archives.oci_layout([archives.entry(node, ref="example.com/team/app:1")])
