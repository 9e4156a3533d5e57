"""What archives may share, and how much they may say, before they are refused for what that would cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.archive import DEFAULT_LIMITS
from app.errors import LimitExceeded
from tests.support import archives
from tests.support.archives import docker_save, entry, oci_artifact, oci_image, oci_index, oci_layout, tagged
from tests.support.opening import opened

ONE = tagged(archives.image({"a": b"1"}, {"b": b"2"}), "example.com/a:1", "example.com/a:2")
IMAGE = oci_image(ONE)


def test_what_images_share_is_counted_for_each_of_them() -> None:
    tops = [oci_index([IMAGE], annotations={"n": str(number)}) for number in range(4)]
    data = oci_layout([entry(top, ref=f"example.com/a{number}:1") for number, top in enumerate(tops)])
    each = 1 + 1 + 1 + 2  # the index and its child, the image and its layers
    opened(data, replace(DEFAULT_LIMITS, steps=4 * each))
    with pytest.raises(LimitExceeded, match=f"{4 * each - 1} manifests"):
        opened(data, replace(DEFAULT_LIMITS, steps=4 * each - 1))


def test_a_manifest_that_an_image_reaches_on_two_ways_is_counted_once() -> None:
    inner = oci_index([IMAGE])
    data = oci_layout([entry(oci_index([inner, IMAGE]), ref="example.com/a:1")])
    opened(data, replace(DEFAULT_LIMITS, steps=3 + 2 + 3))


def test_referrers_and_docker_images_are_counted() -> None:
    signature = oci_artifact(b"signature", subject=IMAGE)
    data = oci_layout([entry(IMAGE, ref="example.com/a:1"), entry(signature)])
    opened(data, replace(DEFAULT_LIMITS, steps=5))
    with pytest.raises(LimitExceeded):
        opened(data, replace(DEFAULT_LIMITS, steps=4))
    with pytest.raises(LimitExceeded):
        opened(docker_save([ONE]), replace(DEFAULT_LIMITS, steps=2))


def test_the_names_of_all_images_have_a_limit() -> None:
    opened(docker_save([ONE]), replace(DEFAULT_LIMITS, names=2))
    with pytest.raises(LimitExceeded, match=r"2 names.*1"):
        opened(docker_save([ONE]), replace(DEFAULT_LIMITS, names=1))


def test_what_manifests_refer_to_has_a_limit() -> None:
    data = oci_layout([entry(IMAGE, ref="example.com/a:1")])
    opened(data, replace(DEFAULT_LIMITS, references=3))
    with pytest.raises(LimitExceeded, match="2"):
        opened(data, replace(DEFAULT_LIMITS, references=2))


def test_the_layers_of_docker_images_have_a_limit() -> None:
    opened(docker_save([ONE]), replace(DEFAULT_LIMITS, references=2))
    with pytest.raises(LimitExceeded, match="2 layers"):
        opened(docker_save([ONE]), replace(DEFAULT_LIMITS, references=1))


def test_names_beside_a_layout_have_a_limit() -> None:
    data = oci_layout([entry(oci_image(ONE, compression="none"))], hybrid=[ONE])
    opened(data, replace(DEFAULT_LIMITS, tags=2))
    with pytest.raises(LimitExceeded, match="1 names"):
        opened(data, replace(DEFAULT_LIMITS, tags=1))


def test_documents_have_a_limit_of_bytes_and_of_values() -> None:
    data = docker_save([ONE])
    opened(data, replace(DEFAULT_LIMITS, documents_bytes=2000, values=200))
    with pytest.raises(LimitExceeded, match="100 bytes"):
        opened(data, replace(DEFAULT_LIMITS, documents_bytes=100))
    with pytest.raises(LimitExceeded, match="10 values"):
        opened(data, replace(DEFAULT_LIMITS, values=10))


def test_what_hangs_on_an_image_by_its_tag_is_counted() -> None:
    signature = oci_artifact(b"signature")
    tag = IMAGE.digest.replace(":", "-") + ".sig"
    data = oci_layout([entry(IMAGE, ref="example.com/a:1"), entry(signature, ref=f"example.com/a:{tag}")])
    opened(data, replace(DEFAULT_LIMITS, steps=5))
    with pytest.raises(LimitExceeded):
        opened(data, replace(DEFAULT_LIMITS, steps=4))
