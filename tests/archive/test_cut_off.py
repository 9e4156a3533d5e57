"""An archive that was cut off is refused, or says so, or has every image. `make cuts` cuts at every place."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import TruncatedArchive
from tests.archive.cut_off import CUT, forms, images_of, verdicts
from tests.support import archives
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout, tagged, tar
from tests.support.opening import opened
from tests.support.storage_tree import bundle, oc_mirror, tree

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
BOMB = "bad-bomb.tar.gz"
FILES = sorted(path.name for path in CORPUS.iterdir() if path.suffix not in {".md", ".json"} and path.name != BOMB)
NODE = oci_image(image({"a": b"1"}))
STORED = {"team/app": {"1": NODE}, "team/other": {"1": oci_image(image({"b": b"2"}))}}


@pytest.mark.parametrize("file", FILES)
def test_no_archive_that_was_cut_off_is_taken_for_whole(file: str) -> None:
    for form in forms((CORPUS / file).read_bytes()):
        assert [place for place, how in verdicts(form, step=13) if how == "silent"] == []


@pytest.mark.parametrize(
    "data",
    [tar(tree(STORED)), tar(oc_mirror(STORED)), tar(tree({"a": {"1": NODE}}))],
    ids=["registry storage", "oc-mirror", "one image"],
)
def test_a_storage_that_was_cut_between_two_members_is_truncated(data: bytes) -> None:
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    assert not isinstance(images_of(data), str)
    with pytest.raises(TruncatedArchive):
        opened(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        docker_save([tagged(image({"a": b"1"}), "a:1")]),
        oci_layout([entry(NODE, ref="a:1")]),
        bundle({"team/app": {"1": NODE}}, images={"docker.io": {"team/app": ["1"]}}),
    ],
    ids=["docker-archive", "oci-archive", "mindthegap-bundle"],
)
@pytest.mark.parametrize("outer", ["none", "gzip", "zstd"])
def test_what_lists_its_content_is_pushed_with_a_notice(data: bytes, outer: archives.Compress) -> None:
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    assert not any(CUT in note for note in opened(archives.wrap(data, outer)).notes)
    assert any(CUT in note for note in opened(archives.wrap(data[:end], outer)).notes)


@pytest.mark.parametrize("outer", ["gzip", "zstd", "xz", "bzip2"])
def test_compressed_data_that_breaks_off_is_truncated(outer: archives.Compress) -> None:
    data = archives.wrap(docker_save([tagged(image({"a": b"1" * 5000}), "a:1")]), outer)
    for place in (len(data) - 1, len(data) // 2):
        with pytest.raises(TruncatedArchive):
            opened(data[:place])
