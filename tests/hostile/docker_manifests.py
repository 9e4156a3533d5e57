"""manifest.json of a docker archive: its shapes, and very many of everything."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import (
    CONFIG,
    IMAGE,
    LAYERS,
    LAYOUT,
    MEMBERS,
    NAME,
    ONE,
    docker_config,
    docker_json,
    docker_with,
    raw,
    without,
)
from tests.support import archives
from tests.support.archives import Compress, sha256, to_json

# 7 µs, and as much again where another process keeps the other half of the core busy: a header has 512 bytes, so that
# these are archives of 50 MB that are gone through at 30 MB a second at the least.
SECONDS_A_MEMBER = 16e-6
GZIP_ZSTD: tuple[Compress, ...] = ("gzip", "zstd")
XZ_BZIP2: tuple[Compress, ...] = ("xz", "bzip2")
ODD: dict[str, Any] = {
    "a number": 5,
    "true": True,
    "an object": {},
    "a string": "x",
    "a list of numbers": [1],
    "a list of null": [None],
    "a list of an empty text": [""],
}


def cases() -> Cases:
    yield from _shapes()
    yield from _configs()
    yield from _layers()
    yield from _many()
    yield from _both()


def _shapes() -> Cases:
    entry = {"Config": CONFIG, "RepoTags": [NAME], "Layers": list(LAYERS)}
    yield accepted("manifest.json: nothing in it", docker_json(b"[]"), "", images=0)
    yield refused("manifest.json: a single object", docker_json(to_json(entry)), "unknown_format", "malformed_archive")
    yield refused(
        "manifest.json: a list in a list", docker_json(to_json([[entry]])), "unknown_format", "malformed_archive"
    )
    yield refused("manifest.json: an entry and a number", docker_json(to_json([entry, 5])))
    yield refused("manifest.json: an entry and null", docker_json(to_json([entry, None])))
    yield accepted("manifest.json: the same entry twice", docker_json(to_json([entry, entry])))
    yield accepted("manifest.json: unknown members", docker_with(Parent="sha256:x", Extra={"a": [1]}))
    for key in ("RepoTags", "Layers", "Config", "LayerSources"):
        for name, value in ODD.items():
            if (key, name) not in {("Config", "a string"), ("LayerSources", "an object")}:
                nameless = (key, name) == ("RepoTags", "a list of an empty text")
                code = "missing_tag" if nameless else "malformed_archive"
                yield refused(f"{key} is {name}", docker_with(**{key: value}), code)
    for name, source in {
        "a number": 5,
        "a list": [],
        "of a wrong digest": {"sha256:x": {"urls": ["http://x"]}},
    }.items():
        yield refused(f"LayerSources: {name}", docker_with(LayerSources=source))
    yield refused("no Config", docker_json(to_json([{"RepoTags": [NAME], "Layers": list(LAYERS)}])))
    yield refused("Config that is not there", docker_with(Config="absent.json"), "missing_content")
    yield refused("Config that is a layer", docker_with(Config=LAYERS[0]), "malformed_archive", "digest_mismatch")
    yield refused("Config that is manifest.json", docker_with(Config="manifest.json"))
    for name in ("/etc/passwd", "../../etc/passwd", "a/../../x", "..", "/"):
        yield refused(f"Config {name}", docker_with(Config=name))
        yield refused(f"a layer called {name}", docker_with(Layers=[name, LAYERS[1]]))
    yield accepted("Config by ./", docker_with(Config=f"./{CONFIG}"))
    yield accepted("a layer by .//", docker_with(Layers=[f".//{LAYERS[0]}", LAYERS[1]]))
    yield refused("a layer that is manifest.json", docker_with(Layers=["manifest.json", LAYERS[1]]), "digest_mismatch")
    yield refused("layers in another order", docker_with(Layers=list(reversed(LAYERS))), "digest_mismatch")
    yield refused("a layer too few", docker_with(Layers=[LAYERS[0]]))
    yield refused("no layers for a config that has some", docker_with(Layers=[]))
    yield refused("a layer that is not there", docker_with(Layers=[LAYERS[0], "absent.tar"]), "missing_content")
    yield accepted(
        "a foreign layer that is there",
        docker_with(LayerSources={ONE.diff_ids[0]: {"urls": ["http://169.254.169.254/"]}}),
    )


def _configs() -> Cases:
    for name, config in {
        "empty": {},
        "no rootfs": {"os": "linux"},
        "rootfs is a list": {"rootfs": []},
        "rootfs is null": {"rootfs": None},
        "diff_ids is an object": {"rootfs": {"diff_ids": {}}},
        "diff_ids are numbers": {"rootfs": {"diff_ids": [1, 2]}},
        "diff_ids is null": {"rootfs": {"diff_ids": None}},
    }.items():
        yield refused(f"config: {name}", partial(docker_config, to_json(config)))
    for name, value in {
        "a number": 5,
        "a list": [],
        "very long": "x" * 5000,
        "a header": "linux\r\nX: y",
        "markup": "<b>",
    }.items():
        config = to_json(
            {"os": value, "architecture": value, "rootfs": {"type": "layers", "diff_ids": list(ONE.diff_ids)}}
        )
        yield accepted(f"config: os is {name}", partial(docker_config, config))
    bare = raw(
        {
            **without(MEMBERS, CONFIG),
            "any name at all": ONE.config,
            "manifest.json": MEMBERS["manifest.json"].replace(CONFIG.encode(), b"any name at all"),
        }
    )
    yield accepted("config: under any name", bare)


def _layers() -> Cases:
    for kind in GZIP_ZSTD:
        wrapped = {name: archives.wrap(MEMBERS[name], kind) for name in LAYERS}
        yield accepted(f"layers in {kind}", raw({**MEMBERS, **wrapped}))
        first = wrapped[LAYERS[0]]
        yield accepted(f"the first layer in {kind}", raw({**MEMBERS, LAYERS[0]: first}))
        yield refused(
            f"a layer in {kind}, cut", raw({**MEMBERS, LAYERS[0]: first[:-5]}), "truncated_archive", "malformed_archive"
        )
        yield refused(
            f"a layer in {kind}, damaged",
            raw({**MEMBERS, LAYERS[0]: first[: len(first) // 2] + b"\xff" * 9 + first[len(first) // 2 + 9 :]}),
            "malformed_archive",
            "digest_mismatch",
            "truncated_archive",
        )
        yield refused(
            f"a layer in {kind}, junk after it", raw({**MEMBERS, LAYERS[0]: first + b"junk"}), "malformed_archive"
        )
        yield refused(
            f"a layer in {kind}, twice", raw({**MEMBERS, LAYERS[0]: archives.wrap(first, kind)}), "digest_mismatch"
        )
        yield refused(
            f"a layer in {kind}, another in it", raw({**MEMBERS, LAYERS[0]: wrapped[LAYERS[1]]}), "digest_mismatch"
        )
    for kind in XZ_BZIP2:
        yield refused(
            f"a layer in {kind}",
            raw({**MEMBERS, LAYERS[0]: archives.wrap(MEMBERS[LAYERS[0]], kind)}),
            "malformed_archive",
        )


def _many() -> Cases:
    yield accepted("one layer 1,000 times", partial(_repeated, 1_000))
    yield refused("one layer 30,000 times", partial(_repeated, 30_000), "limit_exceeded")
    yield refused(
        "20,001 entries",
        lambda: docker_json(to_json([{"Config": CONFIG, "Layers": list(LAYERS)}] * 20_001)),
        "limit_exceeded",
    )
    yield accepted(
        "5,000 entries of one image",
        lambda: docker_json(to_json([{"Config": CONFIG, "RepoTags": [NAME], "Layers": list(LAYERS)}] * 5_000)),
    )
    yield refused(
        "5,000 entries of one image, each with a name",
        lambda: docker_json(
            to_json([{"Config": CONFIG, "RepoTags": [f"a/b:{n}"], "Layers": list(LAYERS)} for n in range(5_000)])
        ),
        "limit_exceeded",
    )
    yield refused("24,000 names in all", _names, "limit_exceeded")
    yield refused(
        "15,000 layers that are not there",
        lambda: docker_with(Layers=[f"{n}.tar" for n in range(15_000)]),
        "malformed_archive",
        "missing_content",
    )
    yield refused(
        "40,000 layers that are not there, in 2,000 entries",
        _absent,
        "missing_content",
        "limit_exceeded",
        "malformed_archive",
    )
    for name, count, code in (
        ("90,000 members and nothing else", 90_000, "unknown_format"),
        ("100,001 members", 100_001, "limit_exceeded"),
    ):
        members = partial(_members, count)
        yield replace(refused(name, members, code), seconds=count * SECONDS_A_MEMBER)


def _members(count: int) -> bytes:
    return raw({}, before=b"".join(archives_member(n) for n in range(count)))


def _names() -> bytes:
    members: dict[str, bytes] = {}
    entries = []
    for number in range(30):
        config = ONE.config.replace(b"amd64", b"cpu%d" % number)
        members[f"{number}"] = config
        tags = [f"example.com/team/app{number}:{n}" for n in range(800)]
        entries.append({"Config": f"{number}", "RepoTags": tags, "Layers": list(LAYERS)})
    return raw({**without(MEMBERS, CONFIG), **members, "manifest.json": to_json(entries)})


def archives_member(number: int) -> bytes:
    """A header of no content; the number goes into a ready-made block."""
    block = bytearray(_BLOCK)
    digits = b"%08d" % number
    block[:8] = digits
    block[148:154] = b"%06o" % (_SUM + sum(digits) - 8 * 0x30)
    return bytes(block)


def _plain_block() -> bytes:
    from tests.archive.tar_blocks import header

    return header("00000000", 0)


_BLOCK = _plain_block()
_SUM = int(_BLOCK[148:154], 8)


def _repeated(count: int) -> bytes:
    diff_ids = [ONE.diff_ids[0]] * count
    config = to_json({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    name = f"{sha256(config).removeprefix('sha256:')}.json"
    manifest = to_json([{"Config": name, "RepoTags": [NAME], "Layers": [LAYERS[0]] * count}])
    return raw({LAYERS[0]: MEMBERS[LAYERS[0]], name: config, "manifest.json": manifest})


def _absent() -> bytes:
    entries = [
        {"Config": f"{number}.json", "RepoTags": [f"a/b:{number}"], "Layers": [f"{number}-{n}.tar" for n in range(20)]}
        for number in range(2_000)
    ]
    return docker_json(to_json(entries))


def _both() -> Cases:
    """A layout and a docker archive in one: docker 25."""
    manifest = {
        "Config": f"blobs/{ONE.config_digest.replace(':', '/')}",
        "RepoTags": [NAME],
        "Layers": [f"blobs/{digest.replace(':', '/')}" for digest in IMAGE.blobs][1:],
    }
    yield accepted("both: they agree", raw({**LAYOUT, "manifest.json": to_json([manifest])}))
    yield accepted(
        "both: manifest.json has another name",
        raw({**LAYOUT, "manifest.json": to_json([manifest | {"RepoTags": ["evil/app:1"]}])}),
    )
    yield refused(
        "both: manifest.json lists what is not there",
        raw({**LAYOUT, "manifest.json": to_json([manifest | {"Config": "absent"}])}),
        "missing_content",
    )
    yield refused(
        "both: 5,000 names for one image",
        lambda: raw(
            {**_nameless(), "manifest.json": to_json([manifest | {"RepoTags": [f"a/b:{n}"]} for n in range(5_000)])}
        ),
        "limit_exceeded",
    )
    yield refused(
        "both: another image, of the same name",
        raw(
            {
                **LAYOUT,
                **MEMBERS,
                "manifest.json": MEMBERS["manifest.json"].replace(CONFIG.encode(), b"other.json"),
                "other.json": ONE.config.replace(b"amd64", b"arm64"),
            }
        ),
        "destination_conflict",
    )


def _nameless() -> dict[str, bytes]:
    return {**LAYOUT, "index.json": to_json({"schemaVersion": 2, "manifests": [IMAGE.descriptor]})}
