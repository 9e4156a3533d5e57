"""What an archive is: told by the whole root listing, never by order or by a name."""

from __future__ import annotations

import pytest

from app.archive import FORMATS
from app.errors import ArchiveError, LimitExceeded, MalformedArchive, UnknownFormat
from tests.support import archives
from tests.support.archives import Member, files, tar
from tests.support.mirrors import kots_archives, oc_mirror_files
from tests.support.nested import zot
from tests.support.opening import opened

APP = archives.image({"app": b"1"})


def refusal(data: bytes) -> str:
    with pytest.raises(UnknownFormat) as refused:
        opened(data)
    return str(refused.value)


def test_the_formats_have_the_names_of_the_contract_in_its_order() -> None:
    assert [known.name for known in FORMATS] == [
        "mindthegap-bundle",
        "hauler",
        "oci-archive",
        "oci-archive",
        "oci-archive",
        "docker-archive",
        "imgpkg",
        "zarf",
        "kots-airgap",
        "oc-mirror",
        "registry-storage",
        "oc-image-mirror",
        "kubekey",
        "oci-archive",
        "oci-artifact",
        "helm-chart",
    ]


@pytest.mark.parametrize("index_last", [False, True])
@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_an_archive_of_both_kinds_is_an_image_layout_in_either_order(index_last: bool, compression: str) -> None:
    node = archives.oci_image(APP, compression="gzip" if compression == "gzip" else "none")
    data = archives.oci_layout([archives.entry(node)], hybrid=[APP], index_last=index_last)
    assert opened(data).format == "oci-archive"


def test_members_may_begin_with_dot_slash() -> None:
    assert opened(archives.docker_save([APP], dotslash=True)).format == "docker-archive"
    assert opened(archives.oci_layout([], dotslash=True)).format == "oci-archive"


@pytest.mark.parametrize("outer", ["gzip", "zstd", "xz", "bzip2"])
def test_any_outer_compression_is_taken(outer: archives.Compress) -> None:
    assert opened(archives.docker_save([APP], outer=outer)).format == "docker-archive"


def test_markers_below_a_directory_do_not_count_and_the_message_says_what_to_do() -> None:
    members = [Member(f"export/{member.name}", member.data) for member in archives.docker_members([APP])]
    message = refusal(tar(members))
    assert "'export'" in message
    assert "tar -C DIRECTORY" in message


def test_the_message_names_what_was_found_and_what_is_supported() -> None:
    message = refusal(tar(files({"readme.txt": b"", "data/a": b""})))
    assert "'readme.txt', 'data'" in message
    assert "mindthegap-bundle, hauler, oci-archive, docker-archive" in message


def test_the_message_stays_short_however_much_there_is() -> None:
    message = refusal(tar(files({f"{number}-{'x' * 90}": b"" for number in range(500)})))
    assert "and 490 more" in message
    assert len(message) < 1500


def test_names_with_control_characters_are_escaped() -> None:
    message = refusal(tar(files({"evil\x1b[31m\nname": b""})))
    assert "\x1b" not in message
    assert "\n" not in message


def test_a_tar_without_members_says_so() -> None:
    assert "without members" in refusal(tar([]))


@pytest.mark.parametrize(
    ("members", "hint"),
    [
        ({"chart/Chart.yaml": b"", "chart/values.yaml": b""}, "Helm chart"),
        ({".dockerenv": b"", "app": b""}, "docker export"),
        ({"bin/sh": b"", "etc/passwd": b"", "usr/bin/x": b"", "var/x": b""}, "docker export"),
        ({"manifest.json": b'{"schemaVersion":2}', "version": b"Directory Transport Version: 1.1"}, "dir: transport"),
        ({"manifest.json": b'{"manifest_version":3}'}, "docker save"),
        ({"manifest.json": b"[1]"}, "docker save"),
        ({"inner.tar.gz": b""}, "'inner.tar.gz'"),
        ({"oci-layout": b"{}"}, "index.json"),
        ({"index.json": b"{}", "blobs/sha256/x": b""}, "oci-layout"),
    ],
)
def test_what_it_seems_to_be_is_told(members: dict[str, bytes], hint: str) -> None:
    assert hint in refusal(tar(files(members)))


SAVED = archives.docker_save([APP], style="podman")


@pytest.mark.parametrize(
    "content",
    [
        SAVED,
        archives.wrap(SAVED, "gzip"),
        archives.wrap(archives.docker_save([APP]), "xz"),
        archives.wrap(archives.oci_layout([archives.entry(archives.oci_image(APP))]), "zstd"),
        archives.docker_save([APP], dotslash=True),
        archives.docker_save([archives.image({"big": bytes(1 << 20)})], style="crane"),
        archives.wrap(tar(kots_archives({"a.test/app/1": APP})), "gzip"),
        tar(oc_mirror_files({"a": {"1": archives.oci_image(APP)}})),
        tar(zot({"team/app": {"1": archives.oci_image(APP)}})),
    ],
    ids=["podman", "gzip", "xz", "zstd", "dotslash", "large", "kots", "oc", "zot"],
)
def test_of_an_archive_that_holds_archives_those_with_images_are_named(content: bytes) -> None:
    beside = {"install.sh": b"#!/bin/sh", "bin/tool": b"\x7fELF", "charts.tar": tar(files({"x/y.yaml": b""}))}
    message = refusal(tar(files({**beside, "payload/app-images": content})))
    assert "Images are in 'payload/app-images';" in message


def test_charts_beside_other_files_are_named() -> None:
    chart = archives.wrap(
        tar(files({"app/Chart.yaml": b"name: app\nversion: 1.0.0\n", "app/values.yaml": b""})), "gzip"
    )
    message = refusal(tar(files({"app-1.0.0.tgz": chart, "app-1.0.0.tgz.other": b"-----BEGIN", "notes.txt": b""})))
    assert "Charts are in 'app-1.0.0.tgz';" in message


def test_a_directory_of_the_name_of_a_marker_is_no_marker() -> None:
    message = refusal(tar([Member("oci-layout", directory=True), Member("index.json", b"{}")]))
    assert "is a directory" in message


@pytest.mark.parametrize("config", ["images.yaml", "charts.yaml"])
@pytest.mark.parametrize("beside", [{}, {"oci-layout": b"{}", "index.json": b"{}"}, {"manifest.json": b"[]"}])
def test_a_bundle_is_a_bundle_whatever_lies_beside_it(config: str, beside: dict[str, bytes]) -> None:
    archive = opened(tar(files({**beside, "docker/registry/v2/repositories/a": b"", config: b""})))
    assert (archive.format, archive.images) == ("mindthegap-bundle", ())


def test_a_manifest_json_that_is_no_json_is_malformed_rather_than_unknown() -> None:
    with pytest.raises(MalformedArchive, match=r"manifest\.json"):
        opened(tar(files({"manifest.json": b"[{]"})))


def test_a_manifest_json_beyond_its_limit_is_never_read() -> None:
    with pytest.raises(LimitExceeded):
        opened(tar(files({"manifest.json": b" " * ((16 << 20) + 1)})))


def test_two_markers_of_one_name_with_different_content_are_refused() -> None:
    other = Member("manifest.json", b'[{"Config":"other.json","Layers":[]}]')
    with pytest.raises(ArchiveError):
        opened(tar([*archives.docker_members([APP]), other]))
