"""Tar headers byte by byte, so that a test can write what no tool would; and reading them in every way there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.archive import DEFAULT_LIMITS, Limits, TarIndex, TarIndexer, index_file
from app.errors import TarmacError, TruncatedArchive

END = bytes(1024)


def header(
    name: bytes | str = b"",
    size: int | bytes = 0,
    type_: bytes = b"0",
    *,
    target: bytes | str = b"",
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
    checksum: bytes | None = None,
    change: tuple[int, bytes] = (0, b""),
) -> bytes:
    """One block. `size` as bytes stands as it is; `checksum` likewise, where it is not to be the right
    one; `change` writes bytes at an offset."""
    block = bytearray(512)
    block[0:100] = _bytes(name).ljust(100, b"\0")[:100]
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136] = size.ljust(12, b"\0") if isinstance(size, bytes) else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = type_
    block[157:257] = _bytes(target).ljust(100, b"\0")[:100]
    block[257:265] = magic
    block[345:500] = prefix.ljust(155, b"\0")
    at, field = change
    block[at : at + len(field)] = field
    block[148:156] = b" " * 8
    block[148:156] = checksum if checksum is not None else b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes | str, data: bytes = b"") -> bytes:
    return header(name, len(data)) + padded(data)


def link(name: str, target: str, type_: bytes = b"2") -> bytes:
    return header(name, 0, type_, target=target)


def extension(type_: bytes, content: bytes) -> bytes:
    return header("ext", len(content), type_) + padded(content)


def record(key: bytes | str, value: bytes | str) -> bytes:
    rest = b" " + _bytes(key) + b"=" + _bytes(value) + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(*records: tuple[str, bytes | str], type_: bytes = b"x") -> bytes:
    return extension(type_, b"".join(record(key, value) for key, value in records))


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@dataclass
class Bytes:
    """A ReadAt over bytes that stand at the start of `size` bytes, the rest of which are zeros."""

    data: bytes
    size: int = -1
    reads: int = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads += 1
        if offset + size > max(self.size, len(self.data)):
            raise TruncatedArchive("a read beyond the end")
        return self.data[offset : offset + size].ljust(size, b"\0")


def feed(data: bytes, step: int, limits: Limits = DEFAULT_LIMITS) -> TarIndex:
    indexer = TarIndexer(limits)
    for start in range(0, len(data), step):
        indexer.feed(data[start : start + step])
    return indexer.finish()


def outcome(read: Callable[[], TarIndex]) -> object:
    """The index, or the kind and words of the refusal."""
    try:
        return read()
    except TarmacError as error:
        return type(error), str(error)


def index(data: bytes, limits: Limits = DEFAULT_LIMITS) -> TarIndex:
    """Read in all ways; they have to agree. Raises what they raise."""
    ways = [outcome(lambda step=step: feed(data, step, limits)) for step in (len(data) or 1, 1, 511, 1000)]  # type: ignore[misc]
    ways.append(outcome(lambda: index_file(Bytes(data), len(data), limits)))
    assert all(way == ways[0] for way in ways), ways
    return feed(data, len(data) or 1, limits)
