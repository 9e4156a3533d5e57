"""Links, types, names that occur twice, paths of members, and archives that end too early."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from tests.archive.tar_blocks import END, extension, file, header, link, padded, pax
from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import CONFIG, DOCKER, LAYERS, LAYOUT, MEMBERS, OCI, docker, raw, without
from tests.support import archives
from tests.support.archives import Member, tar

LAYER, _SECOND = LAYERS
REST = without(MEMBERS, LAYER)
BODY = MEMBERS[LAYER]
BLOB = next(name for name in LAYOUT if name.startswith("blobs/"))
REAL = file("real", BODY)


def cases() -> Cases:
    yield from _links()
    yield from _circles()
    yield from _types()
    yield from _repeats()
    yield from _paths()
    yield from _truncated()


def _links() -> Cases:
    for kind, type_ in (("symlink", b"2"), ("hard link", b"1")):
        yield accepted(f"{kind}: a layer", raw(REST, before=REAL, after=link(LAYER, "real", type_)))
        yield accepted(f"{kind}: before what it leads to", raw(REST, before=link(LAYER, "real", type_), after=REAL))
        yield accepted(f"{kind}: seven steps", raw(REST, before=_chain(7, type_), after=REAL))
        yield refused(f"{kind}: nine steps", raw(REST, before=_chain(9, type_), after=REAL))
        yield accepted(f"{kind}: ./ in its target", raw(REST, before=REAL, after=link(LAYER, "././real", type_)))
        for name, target in {
            "an absolute target": "/etc/passwd",
            "a target that climbs out": "../../etc/passwd",
            "a target that climbs out and back": "../x/real",
            "an empty target": "",
            "itself": LAYER,
            "nothing that is there": "elsewhere",
            "the root": ".",
            "a directory": "dir",
            "a name with NUL": "real\0more",
        }.items():
            before = REAL + header("dir/", 0, b"5")
            expected = ("missing_content", "malformed_archive")
            if name != "a name with NUL":
                yield refused(
                    f"{kind}: to {name}", raw(REST, before=before, after=link(LAYER, target, type_)), *expected
                )
        yield refused(
            f"{kind}: the manifest leads out",
            raw(without(MEMBERS, "manifest.json"), after=link("manifest.json", "/etc/passwd", type_)),
        )
        yield refused(
            f"{kind}: index.json leads out",
            raw(without(LAYOUT, "index.json"), after=link("index.json", "../index.json", type_)),
        )
        yield refused(f"{kind}: a blob leads out", raw(without(LAYOUT, BLOB), after=link(BLOB, "../../../../x", type_)))
        yield accepted(f"{kind}: one that nobody needs leads out", docker(link("unused", "/etc/passwd", type_)))
        yield refused(f"{kind}: with data", docker(header("l", 3, type_, target="real") + padded(b"abc")))
        yield refused(
            f"{kind}: with data that is a member", docker(header("l", 1024, type_, target="real") + file("evil", b"x"))
        )
    yield refused(
        "a file below a link",
        raw(REST, before=link("dir", ".") + link(LAYER, "dir/real"), after=REAL),
        "malformed_archive",
        "missing_content",
    )
    yield accepted(
        "a symlink from a directory", raw(REST, before=REAL + link("d/e/l", "../../real"), after=link(LAYER, "d/e/l"))
    )


def _chain(steps: int, type_: bytes) -> bytes:
    names = [LAYER, *(f"step{number}" for number in range(1, steps)), "real"]
    return b"".join(link(name, target, type_) for name, target in pairwise(names))


def _circles() -> Cases:
    yield refused("two links in a circle", raw(REST, after=link(LAYER, "b") + link("b", LAYER)))
    yield refused(
        "the manifest in a circle",
        raw(without(MEMBERS, "manifest.json"), after=link("manifest.json", "b") + link("b", "manifest.json")),
    )
    fan = b"".join(link(f"l{level}", f"{'./' * more}l{level + 1}") for level in range(9) for more in range(9))
    yield refused("links that fork and meet", raw(REST, before=fan, after=link(LAYER, "l0") + link("l9", "l0")))
    yield refused(
        "one name, twenty links", raw(REST, after=b"".join(link(LAYER, f"t{n}") for n in range(20))), "limit_exceeded"
    )
    yield accepted(
        "10,000 links that nobody needs", lambda: docker(b"".join(link(f"l{n}", f"l{n + 1}") for n in range(10_000)))
    )


def _types() -> Cases:
    for name, type_ in {
        "a character device": b"3",
        "a block device": b"4",
        "a named pipe": b"6",
        "a Solaris ACL": b"A",
        "an extended header of Solaris": b"X",
        "an inode": b"I",
        "an old extended attribute": b"E",
        "an unknown letter": b"Z",
        "an unknown digit": b"9",
        "a letter that is not ASCII": b"\xff",
        "a blank": b" ",
    }.items():
        yield refused(f"type: {name}", docker(header("dev/zero", 0, type_)))
    yield refused("type: a layer that is a device", raw(REST, after=header(LAYER, 0, b"3")))
    yield accepted("type: the old one of a file", raw(REST, after=header(LAYER, len(BODY), b"\0") + padded(BODY)))
    yield accepted("type: a contiguous file", raw(REST, after=header(LAYER, len(BODY), b"7") + padded(BODY)))
    yield accepted("type: a directory", docker(header("dir/", 0, b"5")))
    yield accepted("type: an old directory", docker(header("dir/", 0, b"\0")))
    yield refused("type: a directory with data", docker(header("dir/", 3, b"5") + padded(b"abc")))
    yield refused("type: an old directory with data", docker(header("dir/", 3) + padded(b"abc")))
    yield refused("type: a directory whose data is a member", docker(header("dir/", 1024, b"5") + file("evil", b"x")))
    yield refused(
        "type: the manifest is a directory",
        raw(without(MEMBERS, "manifest.json"), after=header("manifest.json/", 0, b"5")),
        "unknown_format",
    )
    yield refused(
        "type: index.json is a directory",
        raw(without(LAYOUT, "index.json"), after=header("index.json/", 0, b"5")),
        "unknown_format",
    )
    yield refused("type: a layer is a directory", raw(REST, after=header(LAYER + "/", 0, b"5")), "missing_content")
    yield accepted(
        "type: a directory that is a link with data elsewhere",
        docker(link("dir", "other/") + header("other/", 0, b"5")),
    )


def _repeats() -> Cases:
    other = archives.docker_save(
        [archives.tagged(archives.image({"x": b"evil"}), "example.com/team/app:1")], style="podman"
    )
    manifest = MEMBERS["manifest.json"]
    yield accepted("twice: the manifest, the same", docker(file("manifest.json", manifest)))
    yield accepted("twice: a layer, the same", docker(file(LAYER, BODY)))
    yield refused("twice: the manifest, another", docker(file("manifest.json", manifest.replace(b"app:1", b"app:2"))))
    yield refused("twice: the manifest, one more blank", docker(after=file("manifest.json", manifest + b" ")))
    yield refused("twice: the config, another", docker(file(CONFIG, b"{}")))
    yield refused(
        "twice: a layer, another of the same size",
        docker(file(LAYER, BODY[::-1])),
        "malformed_archive",
        "digest_mismatch",
    )
    yield refused("twice: a layer, another size", docker(file(LAYER, BODY + bytes(512))))
    yield refused("twice: index.json, another", raw(LAYOUT, after=file("index.json", b"{}")))
    yield refused(
        "twice: oci-layout, another", raw(LAYOUT, after=file("oci-layout", b'{"imageLayoutVersion":"1.1.0"}'))
    )
    yield refused("twice: a blob, another size", raw(LAYOUT, before=file(BLOB, b"evil")))
    yield refused("twice: the manifest by ./", docker(file("./manifest.json", b"[]")))
    yield refused("twice: the manifest by //", docker(file(".//manifest.json", b"[]")))
    yield refused("twice: the manifest by PAX", docker(pax(("path", "manifest.json")) + file("x", b"[]")))
    yield refused("twice: the manifest by GNU", docker(extension(b"L", b"manifest.json\0") + file("x", b"[]")))
    yield refused("twice: the manifest by prefix", docker(header("manifest.json", 2, prefix=b".") + padded(b"[]")))
    yield refused("twice: the manifest as link and file", docker(file("x", b"[]") + link("manifest.json", "x")))
    yield refused("twice: the manifest as directory and file", docker(header("manifest.json/", 0, b"5")))
    yield refused("twice: the manifest, absolute", docker(file("/manifest.json", b"[]")))
    yield refused(
        "twice: the whole archive, another",
        DOCKER.rstrip(b"\0").ljust(-(-len(DOCKER.rstrip(b"\0")) // 512) * 512, b"\0") + other,
    )
    yield refused("one name 10,000 times", docker(file("x", b"x") * 10_000), "limit_exceeded")
    yield refused("one layer 17 times", docker(file(LAYER, BODY) * 17), "limit_exceeded")
    yield accepted("a directory 100 times", docker(header("dir/", 0, b"5") * 100))
    yield accepted("names that differ in case", docker(file("Manifest.json", b"[]")))
    yield accepted("names that differ in Unicode form", docker(file("é", b"a") + file("é", b"b")))


def _paths() -> Cases:
    for name in ("/manifest.json", "//x", "../x", "a/../x", "a/..", "..", "/", "./../x", "a/b/../../../x"):
        yield refused(f"path: {name}", docker(file(name, b"x")))
        yield refused(f"path: a directory {name}", docker(header(name, 0, b"5")))
    for name in (
        "a//b",
        "./a",
        "a/./b",
        "./././a",
        "...",
        "..a",
        "a..",
        "~root/x",
        "C:\\x",
        "..\\x",
        "a:b",
        "-rf",
        "%2e%2e/x",
        "a/b\\..\\c",
    ):
        yield accepted(f"path: {name!r}", docker(file(name, b"x")))
    yield accepted(
        "path: every member by ./", tar([Member(name, data) for name, data in MEMBERS.items()], dotslash=True)
    )
    yield accepted("path: 200 directories deep", docker(pax(("path", "d/" * 200 + "x")) + file("x", b"x")))
    yield refused(
        "path: all below a directory", raw({f"image/{name}": data for name, data in MEMBERS.items()}), "unknown_format"
    )
    yield refused(
        "path: a layer outside, by manifest.json",
        raw({**MEMBERS, "manifest.json": MEMBERS["manifest.json"].replace(LAYER.encode(), b"../../../etc/passwd")}),
    )
    yield refused(
        "path: a config outside, by manifest.json",
        raw({**MEMBERS, "manifest.json": MEMBERS["manifest.json"].replace(CONFIG.encode(), b"/etc/passwd")}),
    )


def _truncated() -> Cases:
    whole = DOCKER[: _end_of_members(DOCKER)]
    places = {
        "one byte": 1,
        "half a header": 256,
        "a header less one": 511,
        "a header": 512,
        "half": len(whole) // 2 // 512 * 512,
        "half and a bit": len(whole) // 2 // 512 * 512 + 100,
    }
    for name, place in places.items():
        yield refused(
            f"cut after {name}",
            whole[:place],
            "unknown_format",
            "truncated_archive",
            "malformed_archive",
            "missing_content",
        )
    last = len(whole) - 512
    for name, place in {
        "before the last payload": last,
        "in the last payload": last + 5,
        "in the last block": len(whole) - 1,
    }.items():
        yield refused(f"cut {name}", whole[:place], "truncated_archive")
    for number in range(8):
        yield refused(
            f"cut at {number + 1} of 9",
            whole[: len(whole) * (number + 1) // 9],
            "truncated_archive",
            "missing_content",
            "unknown_format",
        )
        yield refused(
            f"layout cut at {number + 1} of 9",
            OCI[: _end_of_members(OCI) * (number + 1) // 9],
            "truncated_archive",
            "missing_content",
            "unknown_format",
        )
    yield refused("cut inside a PAX header", docker(after=pax(("path", "x"))[:600], end=b""), "truncated_archive")
    yield refused("cut after a PAX header", docker(after=pax(("path", "x")), end=b""), "truncated_archive")
    yield refused(
        "cut inside a long name", docker(after=extension(b"L", b"n" * 2000)[:1200], end=b""), "truncated_archive"
    )
    yield refused("cut inside the end", docker(end=END[:700]), "truncated_archive")
    yield refused("its middle is missing", OCI[:1536] + OCI[2560:])
    for name in MEMBERS:
        kind = (
            "manifest" if name == "manifest.json" else "config" if name == CONFIG else f"layer {LAYERS.index(name) + 1}"
        )
        code = "unknown_format" if kind == "manifest" else "missing_content"
        yield refused(f"missing: the {kind}", partial(raw, without(MEMBERS, name)), code)
    for number, name in enumerate(LAYOUT):
        codes = ("unknown_format", "missing_content")
        yield refused(f"missing: member {number + 1} of a layout", partial(raw, without(LAYOUT, name)), *codes)


def _end_of_members(data: bytes) -> int:
    """Without the zeros at the end, rounded up to a block."""
    return -(-len(data.rstrip(b"\0")) // 512) * 512
