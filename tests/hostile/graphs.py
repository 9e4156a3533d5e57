"""Indexes: circles, diamonds, depth, breadth, shared subtrees, referrers; and layouts of very many things."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.hostile.case import Cases, accepted, refused
from tests.hostile.samples import (
    IMAGE,
    NAME,
    OTHER,
    layer_descriptor,
    layout,
    layout_of,
    listing,
    manifest_with,
    named,
    raw,
)
from tests.support import archives
from tests.support.archives import (
    Node,
    blob_name,
    entry,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    sha256,
    to_json,
)


def cases() -> Cases:
    yield from _circles()
    yield from _shapes()
    yield from _many()
    yield from _referrers()


def _circles() -> Cases:
    """A digest that holds itself cannot be made; a lie about it can."""
    zero = {"mediaType": archives.OCI_INDEX, "digest": "sha256:" + "0" * 64, "size": 300}
    data = to_json({"schemaVersion": 2, "mediaType": archives.OCI_INDEX, "manifests": [zero]})
    members = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": to_json(listing(named(zero))),
        f"blobs/sha256/{'0' * 64}": data,
    }
    yield refused("an index that lists itself", raw(members), "size_mismatch", "digest_mismatch")
    members[f"blobs/sha256/{'0' * 64}"] = data.ljust(300)
    yield refused("an index that lists itself, of the right size", raw(members), "digest_mismatch")
    yield refused(
        "an index that lists index.json",
        layout(listing(named({"mediaType": archives.OCI_INDEX, "digest": "sha256:" + "1" * 64, "size": 5}))),
        "missing_content",
    )
    own = manifest_with(subject={"mediaType": archives.OCI_MANIFEST, "digest": "sha256:" + "2" * 64, "size": 5})
    yield accepted("a subject that is not there", layout_of(own))


def _shapes() -> Cases:
    yield accepted("an index", oci_layout([entry(oci_index([IMAGE]), ref=NAME)]))
    yield accepted("an index of nothing", oci_layout([entry(oci_index([]), ref=NAME)]))
    yield accepted("an index that lists one image 100 times", oci_layout([entry(oci_index([IMAGE] * 100), ref=NAME)]))
    for depth in (2, 8, 14):
        yield accepted(f"indexes {depth} deep", partial(_deep, depth))
    for depth in (17, 40, 500):
        yield refused(f"indexes {depth} deep", partial(_deep, depth), "limit_exceeded")
    yield accepted("a diamond of 2**14 ways", partial(_diamond, 14, 2))
    yield accepted("a diamond of 10**12 ways", partial(_diamond, 12, 10))
    yield refused("a diamond of 2**60 ways", partial(_diamond, 60, 2), "limit_exceeded")
    yield accepted("an index beside its child", oci_layout([entry(oci_index([IMAGE]), ref=NAME), entry(IMAGE)]))
    odd: dict[str, Any] = {"is a number": 5, "is null": None, "is empty": {}}
    for name, child in odd.items():
        yield refused(f"a child of an index {name}", partial(_index_of, child))
    yield refused(
        "a child of an index that is absent",
        partial(_index_of, archives.descriptor(archives.OCI_MANIFEST, b"absent")),
        "missing_content",
    )
    unknown = archives.descriptor("application/vnd.example.unknown+json", b"unknown")
    yield refused("a child of unknown type that is absent", partial(_index_of, unknown), "missing_content")
    yield accepted(
        "a child of unknown type",
        layout(listing(named(_index(unknown))), b"unknown", to_json(_index_document(unknown))),
    )


def _deep(depth: int) -> bytes:
    node = IMAGE
    for _ in range(depth):
        node = oci_index([node])
    return layout_with_chain(node)


def layout_with_chain(node: Node) -> bytes:
    """As `oci_layout`, without its recursion."""
    held: dict[str, bytes] = {}
    waiting = [node]
    for item in waiting:
        held |= dict(item.blobs) | {item.digest: item.raw}
        waiting.extend(item.children[:1])
    return _with_blobs(listing(named(node.descriptor)), held)


def _with_blobs(index: object, held: dict[str, bytes]) -> bytes:
    blobs = {blob_name(digest): data for digest, data in held.items()}
    return raw({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": to_json(index), **blobs})


def _diamond(levels: int, width: int) -> bytes:
    """Every index lists the one below it several times, under other annotations."""
    held = dict(IMAGE.content)
    below = IMAGE.descriptor
    for _ in range(levels):
        document = {
            "schemaVersion": 2,
            "mediaType": archives.OCI_INDEX,
            "manifests": [below | {"annotations": {"n": str(n)}} for n in range(width)],
        }
        data = to_json(document)
        held[sha256(data)] = data
        below = archives.descriptor(archives.OCI_INDEX, data)
    return _with_blobs(listing(named(below)), held)


def _index_document(*children: object) -> dict[str, object]:
    return {"schemaVersion": 2, "mediaType": archives.OCI_INDEX, "manifests": [IMAGE.descriptor, *children]}


def _index(*children: object) -> dict[str, Any]:
    return archives.descriptor(archives.OCI_INDEX, to_json(_index_document(*children)))


def _index_of(child: object) -> bytes:
    return layout(listing(named(_index(child))), to_json(_index_document(child)))


def _many() -> Cases:
    yield accepted("300 images", partial(_images, 300), *(f"team/app:{number}" for number in range(300)), images=300)
    yield refused(
        "20,001 entries of index.json", lambda: layout(listing(*[named(IMAGE.descriptor)] * 20_001)), "limit_exceeded"
    )
    yield refused(
        "1,001 names of one image",
        lambda: layout(listing(*(named(IMAGE.descriptor, f"a.b/c:{n}") for n in range(1_001)))),
        "limit_exceeded",
    )
    yield refused("a layer that is listed 100,000 times, in 10 manifests", _references, "limit_exceeded")
    yield refused("700 indexes over one index of 900 images", partial(_shared, 700, 900), "limit_exceeded")
    yield refused("3,000 indexes over one index of 600 images", partial(_shared, 3000, 600), "limit_exceeded")
    yield refused("an index of 3,000 images on 15 levels", partial(_ladder, 3000), "limit_exceeded", "missing_tag")
    yield refused("20,001 manifests", _manifests, "limit_exceeded")


def _images(count: int) -> bytes:
    nodes = [oci_artifact(b"%d" % number) for number in range(count)]
    return oci_layout([entry(node, ref=f"example.com/team/app:{number}") for number, node in enumerate(nodes)])


def _references() -> bytes:
    held = dict(IMAGE.content)
    described = []
    for number in range(10):
        data = to_json(manifest_with(layers=[layer_descriptor(0)] * 11_000, annotations={"n": str(number)}))
        held[sha256(data)] = data
        described.append(named(archives.descriptor(archives.OCI_MANIFEST, data), f"example.com/team/app:{number}"))
    return _with_blobs(listing(*described), held)


def _artifacts(count: int) -> dict[str, bytes]:
    """Manifests of the empty config, so that they are small."""
    config = archives.descriptor(archives.OCI_EMPTY, b"{}")
    found = {}
    for number in range(count):
        data = to_json({"schemaVersion": 2, "config": config, "annotations": {"n": str(number)}})
        found[sha256(data)] = data
    return found


def _children(held: dict[str, bytes]) -> list[dict[str, object]]:
    return [{"mediaType": archives.OCI_MANIFEST, "digest": digest, "size": len(data)} for digest, data in held.items()]


def _shared(tops: int, images: int) -> bytes:
    held = _artifacts(images)
    data = to_json({"schemaVersion": 2, "manifests": _children(held)})
    shared = archives.descriptor(archives.OCI_INDEX, data)
    held |= {sha256(data): data, sha256(b"{}"): b"{}"}
    described = []
    for number in range(tops):
        top = to_json({"schemaVersion": 2, "manifests": [shared], "annotations": {"n": str(number)}})
        held[sha256(top)] = top
        described.append(named(archives.descriptor(archives.OCI_INDEX, top), f"example.com/r{number}/app:1"))
    return _with_blobs(listing(*described), held)


def _ladder(images: int) -> bytes:
    """One index on every level from 2 to 15, reached from all levels above: who follows it each time walks 15 times."""
    held = _artifacts(images)
    wide = [
        to_json({"schemaVersion": 2, "manifests": _children(held), "annotations": {"n": str(n)}}) for n in range(12)
    ]
    described = [archives.descriptor(archives.OCI_INDEX, data) for data in wide]
    held |= {sha256(data): data for data in wide} | {sha256(b"{}"): b"{}"}
    below: list[dict[str, Any]] = []
    for _ in range(14):
        data = to_json({"schemaVersion": 2, "manifests": [*below, *described]})
        held[sha256(data)] = data
        below = [archives.descriptor(archives.OCI_INDEX, data)]
    return _with_blobs(listing(named(below[0])), held)


def _manifests() -> bytes:
    held = _artifacts(20_001)
    children = _children(held)
    indexes = [
        to_json({"schemaVersion": 2, "manifests": children[:10_000]}),
        to_json({"schemaVersion": 2, "manifests": children[10_000:]}),
    ]
    held |= {sha256(data): data for data in indexes} | {sha256(b"{}"): b"{}"}
    described = [
        named(archives.descriptor(archives.OCI_INDEX, data), f"example.com/a:{number}")
        for number, data in enumerate(indexes)
    ]
    return _with_blobs(listing(*described), held)


def _referrers() -> Cases:
    first = oci_artifact(b"signature", subject=IMAGE)
    second = oci_artifact(b"of the signature", subject=first)
    yield accepted("a referrer", oci_layout([entry(IMAGE, ref=NAME), entry(first)]))
    yield accepted("a referrer of a referrer", oci_layout([entry(IMAGE, ref=NAME), entry(second), entry(first)]))
    yield refused(
        "a referrer of what is not there",
        oci_layout([entry(IMAGE, ref=NAME), entry(oci_artifact(b"x", subject=oci_image(OTHER)))]),
        "missing_tag",
    )
    yield accepted("500 referrers", partial(_referring, 500))
    yield refused("a subject that is a list", layout_of(manifest_with(subject=[])))


def _referring(count: int) -> bytes:
    nodes = [oci_artifact(b"%d" % number, subject=IMAGE) for number in range(count)]
    return oci_layout([entry(IMAGE, ref=NAME), *map(entry, nodes)])
