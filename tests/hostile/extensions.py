"""PAX and GNU extension headers: what they may say of the member that follows, and what would be read in two ways."""

from __future__ import annotations

from tests.archive.tar_blocks import extension, file, header, padded, pax, record
from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import CONFIG, MEMBERS, docker, raw, without

BAD_RECORDS = {
    "no length": b"path=x\n",
    "a length of zero": b"0 path=x\n",
    "a length with a zero before it": b"011 path=xy\n",
    "a length that is negative": b"-9 path=x\n",
    "a length with a plus": b"+9 path=x\n",
    "a length of arabic digits": "١١ path=x\n".encode(),
    "a length that is too short": b"5 path=x\n",
    "a length that is too long": b"99 path=x\n",
    "no line feed at its end": b"9 path=xx",
    "no equals sign": b"8 pathx\n",
    "no key": b"5 =x\n",
    "a tab for the blank": b"9\tpath=x\n",
    "two blanks": b"10  path=x\n",
    "a NUL at its end": b"9 path=x\n\0",
    "junk after it": b"9 path=x\njunk",
    "a path with NUL": record("path", b"a\0b"),
    "an empty path": record("path", ""),
    "an empty linkpath": record("linkpath", ""),
    "an empty size": record("size", ""),
}
BAD_SIZES = ("3_0", " 3", "3 ", "+3", "-3", "-1536", "0x3", "3.0", "3e0", "٣", "three", "9" * 20, "9" * 30, "3\n")
SMUGGLED = padded(b"abc")


def cases() -> Cases:
    yield from _pax()
    yield from _sizes()
    yield from _global()
    yield from _gnu()
    yield from _chains()


def _pax() -> Cases:
    note = file("note", b"abc")
    yield accepted("PAX: path", docker(pax(("path", "a/better/name")) + note))
    yield accepted("PAX: a path of 4,000 bytes", docker(pax(("path", "n" * 200 + "/" + "m" * 3799)) + note))
    yield refused(
        "PAX: a path of 60,000 bytes", docker(pax(("path", "n" * 60_000)) + note), "limit_exceeded", "malformed_archive"
    )
    yield accepted("PAX: times, owners, attributes", docker(_ordinary() + note))
    yield accepted("PAX: a key in Unicode", docker(pax(("SCHILY.xattr.user.ключ", "значение")) + note))
    yield accepted("PAX: a value with an equals sign and a line feed", docker(pax(("comment", "a=b\nc")) + note))
    yield accepted("PAX: an empty comment", docker(pax(("comment", "")) + note))
    yield accepted("PAX: an empty header", docker(extension(b"x", b"") + note))
    yield accepted("PAX: path of the manifest", raw(without(MEMBERS, "manifest.json"), after=_renamed("manifest.json")))
    yield refused(
        "PAX: path hides the manifest",
        raw(
            without(MEMBERS, "manifest.json"),
            after=pax(("path", "x")) + file("manifest.json", MEMBERS["manifest.json"]),
        ),
        "unknown_format",
    )
    for name, content in BAD_RECORDS.items():
        yield refused(f"PAX: a record with {name}", docker(extension(b"x", content) + note))
    yield refused(
        "PAX: path twice in one header", docker(extension(b"x", record("path", "a") + record("path", "b")) + note)
    )
    yield refused("PAX: two headers for one member", docker(pax(("path", "a")) + pax(("path", "b")) + note))
    yield refused("PAX: a header without a member", docker(after=pax(("path", "a"))))
    yield refused(
        "PAX: a header at the very end",
        docker(after=pax(("path", "a")), end=b""),
        "truncated_archive",
        "malformed_archive",
    )
    yield refused("PAX: a sparse file 0.1", docker(pax(("GNU.sparse.map", "0,1")) + note))
    yield refused("PAX: a sparse file 1.0", docker(pax(("GNU.sparse.major", "1"), ("GNU.sparse.name", "a")) + note))
    yield refused("PAX: an absolute path", docker(pax(("path", "/etc/passwd")) + note))
    yield refused("PAX: a path that climbs", docker(pax(("path", "a/../../b")) + note))
    yield refused("PAX: 60 kB of digits", docker(extension(b"x", b"1" * 60_000) + note))
    yield refused("PAX: 60 headers of digits", docker(extension(b"x", b"1" * 20_000) * 60 + note))
    yield refused("PAX: a thousand records", docker(extension(b"x", record("a", "b") * 1000) + note), "limit_exceeded")
    yield refused("PAX: more than 64 KiB", docker(pax(("comment", "c" * 70_000)) + note), "limit_exceeded")
    yield refused("PAX: a header of 8 GiB", docker(header("ext", 0o77777777777, b"x")), "limit_exceeded")
    yield refused("PAX: a key of 60 kB", docker(extension(b"x", b"60000 " + b"k" * 59_993 + b"\n") + note))


def _sizes() -> Cases:
    honest = header("note", 3) + SMUGGLED
    yield accepted("PAX: the size that the header has", docker(pax(("size", "3")) + honest))
    yield refused("PAX: a size where the header has none", docker(pax(("size", "3")) + header("note", 0) + SMUGGLED))
    yield refused("PAX: a size that skips over members", docker(pax(("size", "4096")) + header("note", 0)))
    yield refused(
        "PAX: a size of none over payload that is a member",
        docker(pax(("size", "0")) + header("note", 1024) + file("evil", b"x")),
    )
    yield refused("PAX: a size larger than the header's", docker(pax(("size", "1024")) + honest))
    yield refused(
        "PAX: a size of 16 GiB that is not there",
        docker(pax(("size", str(16 << 30))) + header("note", 0)),
        "truncated_archive",
    )
    yield refused("PAX: a size of 2**62", docker(pax(("size", str(1 << 62))) + header("note", 0)), "limit_exceeded")
    yield refused("PAX: size twice", docker(extension(b"x", record("size", "3") * 2) + honest))
    for size in BAD_SIZES:
        yield refused(f"PAX: the size {size!r}", docker(pax(("size", size)) + honest))


def _global() -> Cases:
    note = file("note", b"abc")
    yield accepted("PAX global: a comment, as git archive writes", docker(pax(("comment", "c0ffee" * 6), type_=b"g")))
    yield accepted("PAX global: last", docker(after=pax(("comment", "x"), type_=b"g")))
    for key in ("path", "linkpath", "size"):
        yield refused(f"PAX global: {key} of all members", docker(pax((key, "3"), type_=b"g") + note))
    yield refused("PAX global: sparse", docker(pax(("GNU.sparse.major", "1"), type_=b"g") + note))
    yield refused("PAX global: damaged", docker(extension(b"g", b"nonsense") + note))
    yield accepted(
        "PAX global: between a header and its member",
        docker(pax(("path", "a")) + pax(("comment", "c"), type_=b"g") + note),
    )


def _gnu() -> Cases:
    note = file("note", b"abc")
    yield accepted("GNU: a long name", docker(extension(b"L", b"n" * 150 + b"\0") + note))
    yield accepted("GNU: a long name without NUL", docker(extension(b"L", b"n" * 150) + note))
    yield accepted(
        "GNU: a long target", docker(after=extension(b"K", _first().encode() + b"\0") + header("l", 0, b"2"))
    )
    yield accepted("GNU: long name and target", docker(after=_both()))
    yield refused("GNU: an empty long name", docker(extension(b"L", b"\0") + note))
    yield refused("GNU: a long name of no bytes", docker(extension(b"L", b"") + note))
    yield refused("GNU: two long names", docker(extension(b"L", b"a\0") + extension(b"L", b"b\0") + note))
    yield refused("GNU: two long targets", docker(extension(b"K", b"a\0") * 2 + header("l", 0, b"2", target="x")))
    yield refused("GNU: long name and PAX path", docker(extension(b"L", b"a\0") + pax(("path", "b")) + note))
    yield refused("GNU: PAX path and long name", docker(pax(("path", "b")) + extension(b"L", b"a\0") + note))
    yield refused("GNU: a long name without a member", docker(after=extension(b"L", b"a\0")))
    yield refused("GNU: a long name of 8 GiB", docker(header("././@LongLink", 0o77777777777, b"L")), "limit_exceeded")
    yield refused("GNU: a long name that climbs", docker(extension(b"L", b"../" * 60 + b"x\0") + note))
    yield accepted("GNU: bytes after the NUL of a long name", docker(extension(b"L", b"name\0junk") + note))
    yield refused("GNU: a sparse header", docker(header("note", 0, b"S", magic=b"ustar  \0")))
    yield refused("GNU: a multi-volume header", docker(header("note", 0, b"M", magic=b"ustar  \0")))
    yield accepted("GNU: a volume label", docker(header("label", 0, b"V", magic=b"ustar  \0")))
    yield accepted("GNU: an incremental directory", docker(header("dir/", 0, b"D", magic=b"ustar  \0")))
    yield refused("GNU: an old long name", docker(header("note", 0, b"N", magic=b"ustar  \0")))


def _chains() -> Cases:
    note = file("note")
    yield refused(
        "2,000 chained PAX headers", docker(pax(("mtime", "1")) * 2000 + note), "limit_exceeded", "malformed_archive"
    )
    yield refused(
        "2,000 chained long names", docker(extension(b"L", b"a\0") * 2000 + note), "limit_exceeded", "malformed_archive"
    )
    yield refused(
        "PAX, GNU name and target in turn",
        docker((pax(("mtime", "1")) + extension(b"K", b"b\0")) * 9 + note),
        "limit_exceeded",
        "malformed_archive",
    )
    yield accepted("1,000 global headers", lambda: docker(pax(("comment", "x"), type_=b"g") * 1000))
    yield refused(
        "global headers without end",
        lambda: docker(pax(("comment", "x" * 60_000), type_=b"g") * 1200),
        "limit_exceeded",
    )


def _ordinary() -> bytes:
    return pax(
        ("mtime", "1700000000.123456789"), ("uid", "2097152"), ("uname", "usér"), ("SCHILY.xattr.security.x", "1")
    )


def _renamed(name: str) -> bytes:
    return pax(("path", name)) + file("PaxHeaders.0/x", MEMBERS[name])


def _first() -> str:
    return CONFIG


def _both() -> bytes:
    return extension(b"K", _first().encode() + b"\0") + extension(b"L", b"l" * 120 + b"\0") + header("l", 0, b"2")
