"""Blocks of 512 bytes: checksums, magic, numbers, what stands between members and after the end."""

from __future__ import annotations

from tests.archive.tar_blocks import END, file, header, padded
from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import DOCKER, LAYERS, MEMBERS, OCI, docker, raw, without

NO_SIZES = {
    "minus": b"-0000000001\0",
    "plus": b"+0000000001\0",
    "hexadecimal": b"0x10\0",
    "underscore": b"1_0\0",
    "an eight": b"00000000008\0",
    "a point": b"1.0\0",
    "an exponent": b"1e3\0",
    "letters": b"lots\0",
    "arabic digits": "٣".encode(),
    "two numbers": b"1 1\0",
    "negative base-256": b"\xff" * 12,
    "2**63 in base-256": b"\x80\0\0\0" + (1 << 63).to_bytes(8, "big"),
    "2**88 in base-256": b"\x80" + (1 << 87).to_bytes(11, "big"),
    "odd base-256 marker": b"\xc0" + bytes(11),
}
SIZES = {
    "octal with NUL": b"00000000003\0",
    "octal of twelve digits": b"000000000003",
    "blanks before": b"          3\0",
    "blanks after": b"3          \0",
    "base-256": b"\x80" + (3).to_bytes(11, "big"),
    "few digits": b"3\0",
}
JUNK = {
    "a zip file": b"PK\x03\x04" + bytes(600),
    "a text": b"Hello, world!\n" * 80,
    "an error page": b"<!DOCTYPE html><title>502</title>" + b" " * 600,
    "a JSON document": b'[{"Config":"x"}]' + b" " * 600,
    "one byte": b"x",
    "511 bytes": b"x" * 511,
    "a block of ones": b"\xff" * 512,
    "a disk image": bytes(1024) + b"CD001" + bytes(2000),
    "an ELF program": b"\x7fELF" + bytes(600),
    "nothing": b"",
    "lz4 data": b"\x04\x22\x4d\x18" + b"junk" * 200,
    "an old cpio": b"070707" + b"0" * 600,
}


def cases() -> Cases:
    yield from _honest()
    yield from _checksums()
    yield from _numbers()
    yield from _around()
    for name, data in JUNK.items():
        yield refused(f"{name} is no tar", data, "unknown_format")


def _honest() -> Cases:
    yield accepted("a docker archive", DOCKER)
    yield accepted("an OCI layout", OCI)
    for name, magic in {
        "GNU": b"ustar  \0",
        "POSIX": b"ustar\x0000",
        "no": bytes(8),
        "ustar 11": b"ustar\x0011",
    }.items():
        yield accepted(f"{name} magic", docker(header("note", 3, magic=magic) + padded(b"abc")))
    for name, size in SIZES.items():
        yield accepted(f"size as {name}", docker(header("note", size) + padded(b"abc")))
    yield accepted("an empty size is none", docker(header("note", bytes(12))))
    yield accepted("a checksum of seven digits", docker(_summed("note", b"%07o\0")))
    yield accepted("a checksum with blanks before", docker(_summed("note", b"%6o\0 ")))
    yield accepted("a checksum of signed bytes", docker(_signed("n\xf6te".encode())))
    yield accepted("a name of 100 bytes", docker(file("n" * 100, b"x")))
    yield accepted("a prefix before the name", docker(header("note", 0, prefix=b"a/b")))
    yield accepted("a name that is not UTF-8", docker(file(b"n\xff\xfete", b"x")))
    yield accepted("a name with a line feed", docker(file("no\nte", b"x")))
    yield accepted("a name that is a terminal's command", docker(file("\x1b[2J", b"x")))
    yield accepted("a name with a blank at its end", docker(file("note ", b"x")))


def _checksums() -> Cases:
    for name, checksum in {
        "zero": b"000000\0 ",
        "blank": b" " * 8,
        "NUL": bytes(8),
        "hexadecimal": b"0x1234\0 ",
        "negative": b"-00001\0 ",
        "an eight": b"000008\0 ",
        "too large": b"77777777",
        "arabic digits": "٣٣٣٣".encode(),
    }.items():
        bad = header("note", 0, checksum=checksum)
        yield refused(f"a checksum that is {name}", docker(after=bad))
        yield refused(f"a first checksum that is {name}", bad + docker(), "unknown_format")
    good = bytearray(header("note", 0))
    good[0] ^= 1
    yield refused("a checksum that is off by one", docker(after=bytes(good)))


def _numbers() -> Cases:
    for name, size in NO_SIZES.items():
        yield refused(f"size as {name}", docker(header("note", size) + padded(b"abc")))
    yield refused(
        "a member of 2**62 bytes",
        docker(header("note", b"\x80\0\0\0" + (1 << 62).to_bytes(8, "big"))),
        "limit_exceeded",
    )
    yield refused(
        "a member of 8 GiB that is not there", docker(after=header("note", 0o77777777777)), "truncated_archive"
    )
    for name, at in {"mode": 100, "owner": 108, "group": 116, "time": 136, "device": 329}.items():
        yield refused(f"a {name} that is no number", docker(header("note", 0, change=(at, b"12ab567\0"))))
    yield refused(
        "a device number of GNU that is no number", docker(header("note", 0, magic=b"ustar  \0", change=(337, b"zz")))
    )


def _around() -> Cases:
    yield refused("zeros only", bytes(10240), "unknown_format", "malformed_archive")
    yield refused("one block of zeros", bytes(512), "unknown_format", "malformed_archive", "truncated_archive")
    yield accepted("no end", docker(end=b""))
    yield accepted("one block of zeros at the end", docker(end=bytes(512)))
    yield accepted("padding of a megabyte at the end", docker(end=bytes(1 << 20)))
    yield accepted("an end that is no multiple of a block", docker(end=bytes(1300)))
    yield refused("a lone block of zeros between members", raw({}, before=file("a", b"x"), after=bytes(512) + docker()))
    yield refused("a second tar after the end", docker() + docker())
    yield refused("another tar after the end", docker() + raw(without(MEMBERS, LAYERS[0])))
    yield refused("junk after the end", docker() + b"junk" * 200)
    yield refused("one byte after the end", docker() + b"\x01")
    yield refused("junk between members", docker(after=b"\x01" * 512 + file("note")))
    yield refused("half a block too much", docker(after=bytes(256) + file("note", b"x")))
    yield refused("a payload that is a tar, its size a lie of 512", docker(header("note", 0) + padded(DOCKER)))
    yield accepted("a payload that is a tar", docker(file("note", DOCKER)))
    yield accepted("a member without a name but the root", docker(header("./", 0, b"5")))
    yield refused("a file without a name", docker(header("", 3) + padded(b"abc")))
    yield refused("a file called .", docker(header(".", 3) + padded(b"abc")))
    yield refused("a link called .", docker(header(".", 0, b"2", target="a")))
    yield refused("zeros without end", lambda: docker(end=END + bytes(65 << 20)), "limit_exceeded")


def _summed(name: str, form: bytes) -> bytes:
    plain = header(name, 0, checksum=b" " * 8)
    return plain[:148] + form % sum(plain) + plain[156:]


def _signed(name: bytes) -> bytes:
    plain = header(name, 0, checksum=b" " * 8)
    total = sum(byte - 256 if byte > 127 else byte for byte in plain)
    return plain[:148] + b"%06o\0 " % total + plain[156:]
