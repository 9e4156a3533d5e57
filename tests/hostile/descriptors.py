"""Digests, sizes, media types and inline data: lies about content, and ways to say two things at once."""

from __future__ import annotations

import base64
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
    layer_descriptor,
    layout,
    layout_of,
    listing,
    manifest_with,
    named,
    raw,
    without,
)
from tests.support import archives
from tests.support.archives import blob_name, sha256, to_json

HEX = "a" * 64
BAD_DIGESTS: dict[str, Any] = {
    "empty": "",
    "no algorithm": HEX,
    "no encoded part": "sha256:",
    "too short": "sha256:" + HEX[1:],
    "too long": "sha256:" + HEX + "a",
    "upper case": "sha256:" + "A" * 64,
    "upper case algorithm": "SHA256:" + HEX,
    "no hex": "sha256:" + "g" * 64,
    "arabic digits": "sha256:" + "٣" * 64,
    "full width": "sha256:" + "ａ" * 64,
    "a path": "sha256:../../../../etc/passwd",
    "a path of the right length": "sha256:" + "../" * 21 + "x",
    "a path as algorithm": "../../sha256:" + HEX,
    "a URL": "sha256:http://evil.example/" + HEX[:44],
    "a line feed at its end": "sha256:" + HEX + "\n",
    "a header": "sha256:" + HEX[:60] + "\r\nX:",
    "NUL": "sha256:" + HEX[:63] + "\0",
    "blanks": " sha256:" + HEX,
    "md5": "md5:" + "a" * 32,
    "sha1": "sha1:" + "a" * 40,
    "sha384": "sha384:" + "a" * 96,
    "sha512 of the wrong length": "sha512:" + HEX,
    "multihash": "sha256+b64u:" + HEX,
    "two colons": "sha256:sha256:" + HEX,
    "a number": 5,
    "a list": ["sha256:" + HEX],
    "null": None,
    "true": True,
}
BAD_SIZES: dict[str, Any] = {
    "negative": -1,
    "2**63": 1 << 63,
    "2**64": 1 << 64,
    "a float": 1.5,
    "a round float": 3.0,
    "a string": "3",
    "true": True,
    "null": None,
    "a list": [3],
}
BAD_TYPES: dict[str, Any] = {
    "empty": "",
    "no slash": "application",
    "two slashes": "application/a/b",
    "a parameter": "application/vnd.oci.image.layer.v1.tar; charset=utf-8",
    "a header": "application/x\r\nX-Evil: 1",
    "a line feed at its end": "application/x\n",
    "a blank": "application/ x",
    "a wildcard": "*/*",
    "300 characters": "application/" + "x" * 300,
    "no ASCII": "application/ｘ",
    "NUL": "application/x\0",
    "a number": 5,
    "a list": ["application/x"],
    "an object": {},
}


def cases() -> Cases:
    yield from _digests()
    yield from _wrong_digests()
    yield from _sizes()
    yield from _media_types()
    yield from _confusion()
    yield from _inline()


def _digests() -> Cases:
    for name, digest in BAD_DIGESTS.items():
        yield refused(f"digest in index.json: {name}", layout(listing(named(IMAGE.descriptor | {"digest": digest}))))
        yield refused(
            f"digest of a layer: {name}", layout_of(manifest_with(layers=[layer_descriptor(0, digest=digest)]))
        )
        yield refused(f"diff_id: {name}", partial(_diff_ids, digest, sha256(ONE.layers[1])))
    config = archives.descriptor(archives.OCI_CONFIG, ONE.config)
    for name in ("a path", "null", "upper case", "sha1"):
        yield refused(
            f"digest of the config: {name}", layout_of(manifest_with(config=config | {"digest": BAD_DIGESTS[name]}))
        )
        yield refused(
            f"digest of the subject: {name}", layout_of(manifest_with(subject=config | {"digest": BAD_DIGESTS[name]}))
        )
    node = archives.oci_image(ONE, algorithm="sha512")
    yield accepted("digest: sha512 all over", archives.oci_layout([archives.entry(node, ref=NAME)]))


def _diff_ids(*digests: object) -> bytes:
    return docker_config(
        to_json({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": digests}})
    )


def _wrong_digests() -> Cases:
    mismatch = ("digest_mismatch",)
    for number, name in enumerate(name for name in LAYOUT if name.startswith("blobs/")):
        data = LAYOUT[name]
        flipped = data[:-1] + bytes([data[-1] ^ 1])
        yield refused(f"digest: blob {number + 1} has one bit flipped", raw({**LAYOUT, name: flipped}), *mismatch)
        yield refused(f"digest: blob {number + 1} has a byte more", raw({**LAYOUT, name: data + b" "}), "size_mismatch")
        yield refused(f"digest: blob {number + 1} has a byte less", raw({**LAYOUT, name: data[:-1]}), "size_mismatch")
        yield refused(f"digest: blob {number + 1} is empty", raw({**LAYOUT, name: b""}), "size_mismatch")
    for number, name in enumerate(LAYERS):
        data = MEMBERS[name]
        yield refused(
            f"diff_id: layer {number + 1} has one bit flipped", raw({**MEMBERS, name: data[:-1] + b"\1"}), *mismatch
        )
        yield refused(
            f"diff_id: layer {number + 1} is the other", raw({**MEMBERS, name: MEMBERS[LAYERS[1 - number]]}), *mismatch
        )
        yield refused(f"diff_id: layer {number + 1} is empty", raw({**MEMBERS, name: b""}), *mismatch)
    yield refused("diff_ids in another order", _diff_ids(*reversed(ONE.diff_ids)), *mismatch)
    yield refused("diff_ids of one layer for two", _diff_ids(ONE.diff_ids[0]))
    yield refused("diff_ids of three layers for two", _diff_ids(*ONE.diff_ids, ONE.diff_ids[0]))
    yield refused(
        "the config has another digest than its name",
        raw({**MEMBERS, CONFIG: ONE.config.replace(b"amd64", b"arm64")}),
        *mismatch,
    )


def _sizes() -> Cases:
    for name, size in BAD_SIZES.items():
        yield refused(f"size in index.json: {name}", layout(listing(named(IMAGE.descriptor | {"size": size}))))
        yield refused(f"size of a layer: {name}", layout_of(manifest_with(layers=[layer_descriptor(0, size=size)])))
    for name, size in {"one too many": 1, "one too few": -1, "2**63-1": (1 << 63) - 1 - 200}.items():
        described = IMAGE.descriptor
        yield refused(
            f"size in index.json: {name}",
            layout(listing(named(described | {"size": described["size"] + size}))),
            *("size_mismatch", "malformed_archive"),
        )
        layer = layer_descriptor(0)
        yield refused(
            f"size of a layer: {name}",
            layout_of(manifest_with(layers=[layer | {"size": layer["size"] + size}])),
            "size_mismatch",
        )
    twice = layer_descriptor(0)
    yield refused(
        "one layer with two sizes",
        layout_of(manifest_with(layers=[twice, twice | {"size": twice["size"] + 1}])),
        "size_mismatch",
    )
    yield accepted("one layer twice", layout_of(manifest_with(layers=[twice, twice])))
    yield accepted("one layer 4,000 times", lambda: layout_of(manifest_with(layers=[twice] * 4000)))
    yield refused(
        "one layer 20,001 times",
        lambda: layout_of(manifest_with(layers=[twice] * 20_001)),
        "limit_exceeded",
    )


def _media_types() -> Cases:
    for name, media_type in BAD_TYPES.items():
        yield refused(
            f"media type of a layer: {name}",
            layout_of(manifest_with(layers=[layer_descriptor(0, mediaType=media_type)])),
        )
        if media_type:
            yield refused(
                f"media type in index.json: {name}",
                layout(listing(named(IMAGE.descriptor | {"mediaType": media_type}))),
            )
    yield refused("media type of a layer: none", layout_of(manifest_with(layers=[layer_descriptor(0, mediaType=...)])))
    yield accepted(
        "media type of a layer: unknown",
        layout_of(manifest_with(layers=[layer_descriptor(0, mediaType="application/vnd.example+x")])),
    )
    yield accepted(
        "media type in index.json: none",
        layout(listing({key: value for key, value in named(IMAGE.descriptor).items() if key != "mediaType"})),
    )
    yield accepted("media type of a manifest: none", layout_of(manifest_with(mediaType=...)))


def _confusion() -> Cases:
    index = {"schemaVersion": 2, "mediaType": archives.OCI_INDEX, "manifests": [IMAGE.descriptor]}
    both = manifest_with(manifests=[IMAGE.descriptor])
    yield refused("an image that is an index as well", layout_of(both))
    yield refused(
        "an index that is an image as well",
        layout_of(both | {"mediaType": archives.OCI_INDEX}, mediaType=archives.OCI_INDEX),
    )
    yield refused("an index that is listed as an image", layout_of(index))
    yield refused("an image that is listed as an index", layout_of(manifest_with(), mediaType=archives.OCI_INDEX))
    yield refused(
        "an index without mediaType, listed as an image",
        layout_of({"schemaVersion": 2, "manifests": [IMAGE.descriptor]}),
    )
    yield refused(
        "an image without mediaType, listed as an index",
        layout_of(manifest_with(mediaType=...), mediaType=archives.OCI_INDEX),
    )
    yield refused(
        "a docker manifest that is listed as OCI", layout_of(manifest_with(mediaType=archives.DOCKER_MANIFEST))
    )
    schema_1 = {"schemaVersion": 1, "name": "x", "fsLayers": []}
    type_1 = "application/vnd.docker.distribution.manifest.v1+json"
    yield accepted("a manifest of schema 1 is told and left", layout_of(schema_1, mediaType=type_1), "", images=0)
    yield refused("a manifest of schema 1 as one of today", layout_of(schema_1))
    yield refused("a manifest without a config", layout_of(manifest_with(config=...)))
    yield refused("a config that is a list", layout_of(manifest_with(config=[])))
    yield refused("layers that are an object", layout_of(manifest_with(layers={})))
    yield refused("a layer that is a string", layout_of(manifest_with(layers=["x"])))
    yield accepted("layers that are null", layout_of(manifest_with(layers=None)))
    yield accepted("no layers", layout_of(manifest_with(layers=...)))
    yield refused("annotations that are numbers", layout_of(manifest_with(annotations={"a": 1})))
    yield refused("annotations that are a list", layout_of(manifest_with(annotations=[])))
    yield refused("urls that are a string", layout_of(manifest_with(layers=[layer_descriptor(0, urls="http://x")])))
    yield accepted(
        "urls of what is there",
        layout_of(manifest_with(layers=[layer_descriptor(0, urls=["http://169.254.169.254/"])])),
    )
    yield refused(
        "index.json says it is an image", layout(listing(named(IMAGE.descriptor), mediaType=archives.OCI_MANIFEST))
    )
    yield refused("index.json with layers", layout(listing(named(IMAGE.descriptor), layers=[])))
    yield refused("index.json without manifests", layout({"schemaVersion": 2}))
    yield refused("index.json with an object of manifests", layout({"schemaVersion": 2, "manifests": {}}))
    yield accepted("index.json with null for manifests", layout({"schemaVersion": 2, "manifests": None}), "", images=0)
    for version in ("2.0.0", "0.9.0", "1", "", "1.0.0\n", "1.x", "٣.٠.٠", 1, None):
        yield refused(
            f"imageLayoutVersion {version!r}",
            layout(listing(named(IMAGE.descriptor)), marker=to_json({"imageLayoutVersion": version})),
        )
    blob = next(iter(IMAGE.blobs))
    yield refused(
        "one digest, listed as image and as index",
        layout(listing(named(IMAGE.descriptor), IMAGE.descriptor | {"mediaType": archives.OCI_INDEX})),
    )
    yield refused(
        "one digest, listed with two sizes",
        layout(listing(named(IMAGE.descriptor), IMAGE.descriptor | {"size": 1})),
        "size_mismatch",
    )
    yield refused("a config that is no blob of the archive", raw(without(LAYOUT, blob_name(blob))), "missing_content")


def _inline() -> Cases:
    data = archives.wrap(ONE.layers[0], "gzip")
    good = base64.b64encode(data).decode()
    yield accepted("inline data that is true", layout_of(manifest_with(layers=[layer_descriptor(0, data=good)])))
    for name, value in {
        "other content": base64.b64encode(b"x" * len(data)).decode(),
        "shorter": base64.b64encode(data[:-1]).decode(),
    }.items():
        yield refused(
            f"inline data: {name}",
            layout_of(manifest_with(layers=[layer_descriptor(0, data=value)])),
            "digest_mismatch",
        )
    for name, odd in {"no base64": "%%%", "a number": 5, "not padded": "YQ", "no ASCII": "ａ", "a list": []}.items():
        yield refused(f"inline data: {name}", layout_of(manifest_with(layers=[layer_descriptor(0, data=odd)])))
