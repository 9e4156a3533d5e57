"""JSON: what other readers take differently, or choke on, in every document that is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
    layout,
    layout_of,
    listing,
    manifest_with,
    named,
    raw,
)
from tests.support.archives import to_json

MANIFEST = to_json([{"Config": CONFIG, "RepoTags": [NAME], "Layers": list(LAYERS)}])
INDEX = to_json(listing(named(IMAGE.descriptor)))
MARKER = b'{"imageLayoutVersion":"1.0.0"}'


def with_member(document: bytes, member: bytes) -> bytes:
    """`document`, an object (or a list of one), with `member` as the first of the object."""
    place = document.index(b"{") + 1
    return document[:place] + member + b"," + document[place:]


ODD_VALUES = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a number of 5,000 digits": b"9" * 5000,
    "a number of 21 digits": b"9" * 21,
    "a number too large for a float": b"1e999",
    "a number with a zero before it": b"01",
    "a hexadecimal number": b"0x10",
    "single quotes": b"'x'",
    "no quotes": b"x",
    "a lone surrogate": b'"\\ud800"',
    "a control character": b'"a\nb"',
    "an unknown escape": b'"\\x41"',
    "bytes that are not UTF-8": b'"\xff\xfe"',
    "an overlong NUL": b'"\xc0\x80"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a comment": b'1 /* one */, "y": 1',
    "a comma too many": b"[1,]",
    "5,000 brackets": b"[" * 5000 + b"]" * 5000,
    "5,000 objects in one another": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "100,000 brackets without end": b"[" * 100_000,
}
FINE_VALUES = {
    "null": b"null",
    "2**53": b"9007199254740993",
    "a float": b"1.5e3",
    "an emoji": '"🛫"'.encode(),
    "an escaped emoji": b'"\\ud83d\\udeeb"',
    "NUL escaped": b'"\\u0000"',
    "20 brackets": b"[" * 20 + b"]" * 20,
    "a string of 100 kB": b'"' + b"x" * 100_000 + b'"',
    "a key of 100 kB": b'1,"' + b"k" * 100_000 + b'":1',
    "the key __proto__": b'{"__proto__":{"x":1}}',
}
DENSE = {"objects": b"{},", "lists": b"[],", "numbers": b"1,", "strings": b'"",', "long numbers": b"123456,"}
WHOLE = (
    "empty",
    "white space",
    "a byte order mark",
    "UTF-16",
    "UTF-32",
    "something after it",
    "twice",
    "cut short",
    "a NUL at its end",
)
Place = Callable[[bytes], bytes]
PLACES: dict[str, tuple[Place, bytes]] = {
    "manifest.json": (docker_json, MANIFEST),
    "docker config": (docker_config, ONE.config),
    "index.json": (layout, INDEX),
    "manifest": (layout_of, to_json(manifest_with())),
    "oci-layout": (lambda marker: layout(INDEX, marker=marker), MARKER),
}


def cases() -> Cases:
    for place, (build, document) in PLACES.items():
        for name, value in ODD_VALUES.items():
            yield refused(
                f"{place}: {name}",
                partial(build, with_member(document, b'"x-odd":' + value)),
                "malformed_archive",
                "limit_exceeded",
            )
        for name, value in FINE_VALUES.items():
            if place != "oci-layout" or len(value) < 1000:
                yield accepted(f"{place}: {name}", partial(build, with_member(document, b'"x-fine":' + value)))
        for name in WHOLE:
            yield refused(
                f"{place}: {name}", partial(build, _bent(name, document)), "malformed_archive", "unknown_format"
            )
        for name, key in {"a key twice": b"x", "an escaped key twice": b"\\u0078"}.items():
            yield refused(f"{place}: {name}", partial(build, with_member(document, b'"x":1,"%s":2' % key)))
        for name, value in {
            "a list": b"[]",
            "a string": b'"x"',
            "null": b"null",
            "a number": b"1",
            "true": b"true",
        }.items():
            if (place, name) != ("manifest.json", "a list"):
                yield refused(f"{place}: it is {name}", partial(build, value), "malformed_archive", "unknown_format")
    yield from _keys()
    yield from _sizes()


def _bent(name: str, document: bytes) -> bytes:
    text = document.decode()
    return {
        "empty": b"",
        "white space": b" \n",
        "a byte order mark": b"\xef\xbb\xbf" + document,
        "UTF-16": text.encode("utf-16"),
        "UTF-32": text.encode("utf-32"),
        "something after it": document + b" x",
        "twice": document + document,
        "cut short": document[:-1],
        "a NUL at its end": document + b"\0",
    }[name]


def _keys() -> Cases:
    for key in (b"Layers", b"LAYERS", b"Config", b"mediatype", b"Manifests", b"Subject"):
        yield refused(
            f"manifest: the key {key.decode()} in other letters",
            layout_of(with_member(to_json(manifest_with()), b'"%s":null' % key)),
        )
    index = with_member(INDEX, b'"Manifests":[]')
    yield refused("index.json: the key Manifests", layout(index))
    yield refused("index.json: the key MANIFESTS with a long s", layout(with_member(INDEX, '"manifeſts":[]'.encode())))
    entry = INDEX.replace(b'"digest":', b'"Digest":"sha256:' + b"0" * 64 + b'","digest":')
    yield refused("a descriptor: the key Digest", layout(entry))
    yield refused("a descriptor: the key SIZE", layout(INDEX.replace(b'"size":', b'"SIZE":1,"size":')))
    for key in (b"config", b"CONFIG", b"layers", b"repotags", b"RepoTAGS"):
        yield refused(
            f"manifest.json: the key {key.decode()} beside the right one",
            docker_json(with_member(MANIFEST, b'"%s":["x"]' % key)),
        )
    for key in (b"RootFS", b"ROOTFS"):
        yield refused(
            f"docker config: the key {key.decode()} beside rootfs",
            docker_config(with_member(ONE.config, b'"%s":{"diff_ids":[]}' % key)),
        )
    yield refused(
        "oci-layout: the key ImageLayoutVersion",
        layout(INDEX, marker=b'{"imageLayoutVersion":"1.0.0","ImageLayoutVersion":"2.0.0"}'),
    )


def _sizes() -> Cases:
    yield refused("manifest.json of 17 MiB", lambda: docker_json(MANIFEST + b" " * (17 << 20)), "limit_exceeded")
    yield accepted("manifest.json of 15 MiB of blanks", lambda: docker_json(MANIFEST + b" " * (15 << 20)))
    yield refused("a config of 9 MiB", lambda: docker_config(ONE.config + b" " * (9 << 20)), "limit_exceeded")
    yield accepted("a config of 7 MiB of blanks", lambda: docker_config(ONE.config + b" " * (7 << 20)))
    yield refused(
        "a manifest of 5 MiB", lambda: layout_of(to_json(manifest_with()) + b" " * (5 << 20)), "limit_exceeded"
    )
    yield refused("oci-layout of 5 kB", layout(INDEX, marker=MARKER + b" " * 5000), "limit_exceeded")
    for name, dense in DENSE.items():
        for place, size in {"manifest.json": 15 << 20, "docker config": 7 << 20, "manifest": 3 << 20}.items():
            yield refused(
                f"{place}: {size >> 20} MiB of {name}", partial(_stuffed, place, dense, size), "limit_exceeded"
            )
    yield refused(
        "manifest.json: a million keys",
        lambda: docker_json(with_member(MANIFEST, b",".join(b'"%d":1' % n for n in range(1_000_000)))),
        "limit_exceeded",
    )
    yield refused("20 configs of 7 MiB, dense", _many_configs, "limit_exceeded")
    yield accepted(
        "a layout beside a foreign manifest.json", raw({**LAYOUT, "manifest.json": b'{"name":"a browser extension"}'})
    )
    yield refused("a layout beside a manifest.json that is no JSON", raw({**LAYOUT, "manifest.json": b"{"}))


def _stuffed(place: str, dense: bytes, size: int) -> bytes:
    build, document = PLACES[place]
    return build(with_member(document, b'"x":' + _dense(dense, size)))


def _dense(value: bytes, size: int) -> bytes:
    return b"[" + value * (size // len(value)) + b"0]"


def _many_configs() -> bytes:
    members: dict[str, bytes] = {}
    entries = []
    for number in range(20):
        name = f"config-{number}.json"
        members[name] = with_member(ONE.config, b'"n":%d,"x":' % number + _dense(b"{},", 400_000))
        entries.append({"Config": name, "RepoTags": [f"example.com/team/app:{number}"], "Layers": list(LAYERS)})
    return raw({**{name: MEMBERS[name] for name in LAYERS}, **members, "manifest.json": to_json(entries)})
