"""The archives that the golden files were made of. They are built in code, and the same in every release."""

from __future__ import annotations

import random

from tests.support.archives import (
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    tagged,
    wrap,
)

_ONE = image({"bin/one": b"one" * 100})
_OTHER = image({"bin/other": b"other" * 100}, label="other")
_A, _B = image({"bin/a": b"a" * 100}, label="a"), image({"bin/b": b"b" * 100}, label="b")
_AMD64 = oci_image(image({"bin/x": b"amd64"}), platform="linux/amd64")
_ARM64 = oci_image(image({"bin/x": b"arm64"}, platform="linux/arm64"), platform="linux/arm64")
INDEX = oci_index([_AMD64, _ARM64])
SIGNATURE = oci_artifact(b"signature", artifact_type="application/vnd.example.signature.v1", subject=INDEX)
_RANDOM = oci_image(image({"bin/random": random.Random(1).randbytes(150_000)}), compression="none")

_one = docker_save([tagged(_ONE, "example.com/team/one:1")])
_layout = oci_layout([entry(INDEX, name="docker.io/library/multi:1.0", ref="1.0"), entry(SIGNATURE)])
_corrupt = docker_save([tagged(image({"bin/corrupt": b"corrupt" * 100}), "example.com/team/corrupt:1")])
ARCHIVES = {
    "one.tar": _one,
    "other.tar": docker_save([tagged(_OTHER, "example.com/team/other:1")], style="podman"),
    "two.tar": docker_save([tagged(_A, "example.com/team/a:1"), tagged(_B, "example.com/team/b:1")]),
    "layout.tar": _layout,
    "random.tar": oci_layout([entry(_RANDOM, name="example.com/team/random:1")]),
    "nameless.tar": docker_save([image({"bin/nameless": b"nameless"})]),
    "corrupt.tar": _corrupt.replace(b"corruptcorrupt", b"corruptCORRUPT", 1),
    "truncated.tar": _one[: len(_one) // 3],
    "gzipped.tar.gz": wrap(_one, "gzip"),
}
NAMES = tuple(ARCHIVES)
LAYER = _ONE.diff_ids[0]
EMBEDDED = ("one.tar", "other.tar", "two.tar", "layout.tar")
