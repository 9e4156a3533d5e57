"""What is told of an archive before it is pushed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.archive import FORMATS, open_archive
from app.push.report import inspection
from app.push.report.inspection import NEW_DIGESTS, RECOGNITION_REASONS, inspect, inspect_all
from tests.support.archives import (
    Image,
    Node,
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    sha256,
    tagged,
)
from tests.support.imgpkg import described, imgpkg_tar, layers_of
from tests.support.opening import taken_in

CREATED = "2026-01-02T03:04:05Z"


def dated(sample: Image, created: object = CREATED) -> Image:
    return Image(json.dumps({**json.loads(sample.config), "created": created}).encode(), sample.layers, sample.tags)


APP = dated(image({"bin/app": b"one"}, {"etc/app": b"two"}))
NODE = oci_image(APP)


def inspected(data: bytes) -> dict[str, Any]:
    index, source = taken_in(data)
    return inspect(open_archive(index, source), source)


def test_every_format_has_its_reason() -> None:
    assert RECOGNITION_REASONS.keys() == {known.name for known in FORMATS}


def test_an_image_of_a_layout_is_told_with_its_layers() -> None:
    found = inspected(oci_layout([entry(NODE, ref="example.com/app:1")]))
    (told,) = found["images"]
    layers = json.loads(NODE.raw)["layers"]
    assert (found["format"], found["why"], found["notices"]) == ("oci-archive", RECOGNITION_REASONS["oci-archive"], [])
    assert told["names"] == ["example.com/app:1"]
    assert (told["digest"], told["media_type"], told["config"]) == (NODE.digest, NODE.media_type, None)
    assert (told["platforms"], told["created"]) == (["linux/amd64"], CREATED)
    assert [layer["digest"] for layer in told["layers"]] == [layer["digest"] for layer in layers]
    assert told["size"] == sum(layer["size"] for layer in layers)


def test_an_image_of_a_docker_archive_has_no_digest_yet_and_that_is_told() -> None:
    found = inspected(docker_save([tagged(APP, "example.com/app:1")]))
    (told,) = found["images"]
    assert (told["digest"], told["config"], told["created"]) == (None, APP.config_digest, CREATED)
    assert [layer["diff_id"] for layer in told["layers"]] == list(APP.diff_ids)
    assert {layer["stored"] for layer in told["layers"]} == {"none"}
    assert found["notices"] == [NEW_DIGESTS]


def test_images_whose_manifests_are_beside_keep_them_on_request_so_nothing_is_lost() -> None:
    plain = oci_image(APP, compression="none")
    found = inspected(oci_layout([entry(plain, ref="example.com/app:1")], hybrid=[APP]))
    assert found["notices"] == []


def test_what_hangs_on_an_image_is_told() -> None:
    referrer = oci_artifact(b"sbom", subject=NODE)
    signature = oci_artifact(b"signature")
    layout = [
        entry(NODE, ref="v1"),
        entry(referrer),
        entry(signature, ref=f"sha256-{NODE.digest[7:]}.sig"),
    ]
    (told,) = inspected(oci_layout(layout))["images"]
    assert told["referrers"] == [referrer.digest]
    assert told["attached"] == [f"sha256-{NODE.digest[7:]}.sig"]


def test_an_archive_without_images_says_so() -> None:
    assert inspected(oci_layout([]))["notices"] == ["no images found"]


def with_config(config: bytes) -> Node:
    members = json.loads(NODE.raw)
    members["config"] |= {"digest": sha256(config), "size": len(config)}
    return Node(json.dumps(members).encode(), NODE.media_type, {**NODE.blobs, sha256(config): config})


@pytest.mark.parametrize(
    "config", [b"no json", b"[]", b"{}", b'{"created":1}', b'{"created":"%s"}' % (b"9" * 100), b" " * (2 << 20)]
)
def test_a_config_that_does_not_tell_tells_nothing(config: bytes) -> None:
    (told,) = inspected(oci_layout([entry(with_config(config), ref="a/b:1")]))["images"]
    assert told["created"] is None


def test_of_an_index_the_first_that_tells_counts() -> None:
    index = oci_index([oci_artifact(b"thing"), with_config(b"{}"), NODE])
    (told,) = inspected(oci_layout([entry(index, ref="a/b:1")]))["images"]
    assert told["created"] == CREATED
    assert told["media_type"] == index.media_type


def test_configs_are_read_wherever_they_stand() -> None:
    found = inspected(imgpkg_tar([described(NODE, "a/b", "1")], layers_of([NODE])))
    assert (found["producer"], found["images"][0]["created"]) == ("imgpkg", CREATED)


def test_no_more_configs_are_read_than_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MAX_CONFIGS", 1)
    nodes = [oci_image(dated(image({"a": b"a"}, label=label))) for label in ("a", "b")]
    found = inspected(oci_layout([entry(node, ref=f"a/b:{number}") for number, node in enumerate(nodes)]))
    assert [told["created"] for told in found["images"]] == [CREATED, None]


def test_a_document_does_not_grow_with_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MAX_INSPECTED_IMAGES", 1)
    nodes = [oci_image(dated(image({"a": b"a"}, label=label))) for label in ("a", "b")]
    layout = oci_layout([entry(node, ref=f"a/b:{number}") for number, node in enumerate(nodes)])
    index, source = taken_in(layout)
    (told,) = inspect_all([open_archive(index, source)], [source])
    assert len(told["images"]) == 1
    assert told["notices"] == ["only the first 1 of 2 images are listed here"]


def test_what_is_told_of_many_archives_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MAX_BYTES", 3_000)
    node = oci_image(dated(image({"a": b"a"})))
    layout = oci_layout([entry(node, ref=f"a/b:{'x' * 100}{number}") for number in range(10)])
    index, source = taken_in(layout)
    told = inspect_all([open_archive(index, source)] * 50, [source] * 50)
    assert len(told) == 50
    assert len(told[0]["images"]) > 0
    assert [len(item["images"]) for item in told[1:]] == [0] * 49
    assert len(json.dumps(told)) < 30_000
    assert told[-1]["notices"] == ["only the first 0 of 1 images are listed here"]
