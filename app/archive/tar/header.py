"""Tar headers of 512 bytes (POSIX pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").

`tarfile` is not used on untrusted bytes: on Python 3.11 ten small files keep it busy for more than ten seconds
(CVE-2024-6232, CVE-2025-8194), and it accepts sizes such as `3_0`. Here five fields are read, strictly.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from zlib import adler32

from app.errors import LimitExceeded, MalformedArchive

BLOCK = 512
GNU_NAME, GNU_TARGET, PAX, PAX_GLOBAL = b"L", b"K", b"x", b"g"
_POSIX_MAGIC, _GNU_MAGIC, _NO_MAGIC = b"ustar\0", b"ustar  \0", bytes(8)
_MAX_DIGITS = 19  # 2**63 has 19 decimal digits
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=]+)=")
MAX_RECORDS = 64  # in one PAX header; each extended attribute is one
_FIELDS = {b"path": "path", b"linkpath": "linkpath", b"size": "size"}


class Header(NamedTuple):
    """The fields as written; `name` and `target` are not normalized yet, `size` is in bytes."""

    type: bytes
    name: str
    target: str
    size: int


def is_header(block: bytes) -> bool:
    """Return whether `block` has a known magic and the right checksum."""
    has_magic = block[257:263] == _POSIX_MAGIC or block[257:265] in {_GNU_MAGIC, _NO_MAGIC}
    return has_magic and has_checksum(block)


def has_checksum(block: bytes) -> bool:
    """Return whether a header has the right checksum, over unsigned or signed bytes.

    Old tools sum signed bytes; GNU tar accepts both. Go's reader accepts any magic."""
    digits = block[148:156].strip(b" \0")
    if not digits.isdigit():
        return False
    # the low half of Adler-32 is the plain sum, exact up to 256 bytes (255 * 256 < 65521): 0.4 µs; sum() takes 3
    total = (adler32(block[:256], 0) & 0xFFFF) + (adler32(block[256:], 0) & 0xFFFF)
    total += 8 * 0x20 - (adler32(block[148:156], 0) & 0xFFFF)
    stated = octal(digits)
    return stated == total or (not block.isascii() and stated == total - 256 * sum(byte > 127 for byte in block))


def octal(digits: bytes) -> int | None:
    """Return the value of octal digits; None if there is any other character."""
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:  # an 8 or a 9
        return None


def parse_header(block: bytes, offset: int) -> Header:
    """Parse a block that `is_header` accepts. Raises MalformedArchive that names `offset`, the block's position."""
    owner = block[100:124] if block[257:265] == _NO_MAGIC else block[100:124] + block[329:345]
    if not (_are_numbers(owner, 8) and _are_numbers(block[136:148], 12)):
        raise MalformedArchive(
            f"the header at byte {offset} has a mode, owner, time or device that is not a number; Go's tar reader and "
            "others reject it"
        )
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == _POSIX_MAGIC and block[345]:  # GNU headers have times in place of the prefix
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    type_ = block[156:157]
    target = block[157:257].partition(b"\0")[0] if type_ in b"12" else b""
    return Header(type_, text(name), text(target), _size(block[124:136], offset))


def _number(field: bytes) -> int | None:
    """Return the value of octal digits among blanks, or of base-256 with the top bit set; None for other fields."""
    if field[0] in {0x80, 0xFF}:
        return int.from_bytes(field[1:], "big") - (field[0] > 0x80) * (1 << 8 * (len(field) - 1))
    digits = field.strip(b" \0")
    return octal(digits) if digits else 0


@lru_cache(maxsize=256)  # these fields are the same in most members
def _are_numbers(fields: bytes, width: int) -> bool:
    return all(_number(fields[at : at + width]) is not None for at in range(0, len(fields), width))


def _size(field: bytes, offset: int) -> int:
    size = _number(field)
    if size is None or not 0 <= size < 1 << 63:  # a negative one made readers seek back forever (CVE-2025-8194)
        raise MalformedArchive(
            f"the header at byte {offset} has a size that is not a count of bytes", content=f"{field!r:.100}"
        )
    return size


def text(name: bytes) -> str:
    """Decode a name into a printable key. Bytes that are not UTF-8 become `\\xff`.

    If two names become equal, the rule for repeated names applies."""
    return name.decode("utf-8", "backslashreplace")


class Extensions:
    """The fields of PAX and GNU extension headers for the member that follows.

    A field may be set only once: if two headers set it, tools differ on which one counts."""

    __slots__ = ("_given", "count", "linkpath", "path", "size")

    def __init__(self) -> None:
        self.count = 0
        self.path: str | None = None
        self.linkpath: str | None = None
        self.size: int | None = None
        self._given: set[str] = set()

    def add(self, type_: bytes, content: bytes, offset: int) -> None:
        """Read the content of the extension header at `offset`. Raises MalformedArchive."""
        where = f"the extension header at byte {offset}"
        if type_ in {PAX, PAX_GLOBAL}:
            if type_ == PAX:
                self._once("pax", where)
            for key, value in _records(content, where):
                self._pax(type_, key, value, where)
            return
        name = text(content.partition(b"\0")[0])
        if not name:
            raise MalformedArchive(f"{where} has an empty name")
        if type_ == GNU_NAME:
            self._once("path", where)
            self.path = name
        else:
            self._once("linkpath", where)
            self.linkpath = name

    def apply(self, header: Header) -> tuple[str, str, int]:
        """Return name, target and size of the member with `header`. Raises MalformedArchive if the sizes differ.

        A writer leaves the header's size 0 only if the size does not fit into eleven octal digits. A reader that uses
        the other size reads payload as headers (CVE-2025-62518)."""
        name = header.name if self.path is None else self.path
        size = header.size if self.size is None else self.size
        if size != header.size and (header.size or size < 1 << 33):
            raise MalformedArchive(
                f"member {name!r:.300} has {header.size} bytes by its header, but {size} by its PAX extension"
            )
        return name, header.target if self.linkpath is None else self.linkpath, size

    def _once(self, field: str, where: str) -> None:
        if field in self._given:
            raise MalformedArchive(
                f"{where} sets the {field} of a member a second time; tar readers differ on which one counts"
            )
        self._given.add(field)

    def _pax(self, type_: bytes, key: bytes, value: bytes, where: str) -> None:
        if key.startswith(b"GNU.sparse."):
            raise MalformedArchive(f"{where} describes a sparse file; create the archive without --sparse")
        field = _FIELDS.get(key)
        if field is None:
            return
        if type_ == PAX_GLOBAL:
            raise MalformedArchive(f"{where} is global and sets the {field} of all members")
        self._once(field, where)
        if not value or b"\0" in value:
            raise MalformedArchive(f"{where} has an invalid {field}", content=f"{value!r:.100}")
        if field != "size":
            setattr(self, field, text(value))
        elif value.isdigit() and len(value) <= _MAX_DIGITS:
            self.size = int(value)
        else:
            raise MalformedArchive(f"{where} has a size that is not a count of bytes", content=f"{value!r:.100}")


def _records(content: bytes, where: str) -> list[tuple[bytes, bytes]]:
    """Parse PAX records, `length key=value\\n`. The length counts the whole record."""
    records: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(content):
        if len(records) == MAX_RECORDS:
            raise LimitExceeded(f"{where} has more than {MAX_RECORDS} PAX records")
        match = _RECORD.match(content, at, at + 1024)  # no valid key is longer; limits the search
        end = at + int(match[1]) if match else 0
        if not match or end > len(content) or end <= match.end() or content[end - 1] != 0x0A:
            raise MalformedArchive(f"{where} is not a list of PAX records from its byte {at} on")
        records.append((match[2], content[match.end() : end - 1]))
        at = end
    return records
