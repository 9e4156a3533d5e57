from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Compression, DockerImage, Limits
from app.errors import DigestMismatch, LimitExceeded, MalformedArchive, MissingContent
from app.oci import Digest
from app.oci.media_types import DOCKER_CONFIG
from tests.push.given import planned
from tests.support import archives
from tests.support.archives import Image, Member, docker_members, docker_save, files, tagged, tar
from tests.support.opening import opened, taken_in

ONE = tagged(archives.image({"bin/app": b"one"}, {"etc/app": b"two"}), "example.com/team/one:1")
TWO = tagged(archives.image({"bin/app": b"one"}, {"etc/app": b"other"}, platform="linux/arm64/v8"), "two:2")


def with_manifest(change: Any, image: Image = ONE) -> bytes:
    """A docker archive of `image` whose one manifest.json entry was changed by `change`."""
    members = docker_members([image])
    manifest = json.loads(members[-1].data)
    changed = change(manifest[0])
    return tar([*members[:-1], Member("manifest.json", json.dumps([changed]).encode())])


def with_config(change: Any, name: str = "config.json") -> bytes:
    """An image whose config document was changed and is called `name`."""
    config = json.loads(ONE.config)
    raw = json.dumps(change(config)).encode()
    layers = {f"{number}.tar": plain for number, plain in enumerate(ONE.layers)}
    manifest = [{"Config": name, "RepoTags": None, "Layers": list(layers)}]
    return tar(files({name: raw, **layers, "manifest.json": json.dumps(manifest).encode()}))


@pytest.mark.parametrize("style", ["classic", "podman", "crane", "docker25"])
@pytest.mark.parametrize("manifest_first", [False, True])
def test_every_writer_is_read_alike(style: archives.Style, manifest_first: bool) -> None:
    data = docker_save([ONE, TWO], style=style, manifest_first=manifest_first)
    archive = opened(data)
    assert archive.format == "docker-archive"
    assert [image.names for image in archive.images] == [("example.com/team/one:1",), ("two:2",)]
    assert [[str(platform) for platform in image.platforms] for image in archive.images] == [
        ["linux/amd64"],
        ["linux/arm64/v8"],
    ]
    for image, sample in zip(archive.images, (ONE, TWO), strict=True):
        assert isinstance(image.root, DockerImage)
        assert image.root.config.media_type == DOCKER_CONFIG
        assert str(image.root.config.digest) == sample.config_digest
        assert image.root.config.size == len(sample.config)
        assert tuple(str(layer.diff_id) for layer in image.root.layers) == sample.diff_ids
    assert not archive.manifests
    assert archive.notes == ()


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_a_layer_lies_where_its_extent_says_and_is_compressed_as_it_says(compress: archives.Compress) -> None:
    data = docker_save([ONE], compress=compress)
    _, source = taken_in(data)
    (image,) = opened(data).images
    assert isinstance(image.root, DockerImage)
    for layer, plain in zip(image.root.layers, ONE.layers, strict=True):
        assert layer.compression == Compression(compress)
        assert source.read_at(layer.extent.offset, layer.extent.size) == archives.wrap(plain, compress)


def test_each_layer_is_looked_at_for_itself() -> None:
    members = [
        replace(member, data=archives.wrap(member.data, "gzip")) if member.data == ONE.layers[1] else member
        for member in docker_members([ONE], style="podman")
    ]
    (image,) = opened(tar(members)).images
    assert isinstance(image.root, DockerImage)
    assert [layer.compression for layer in image.root.layers] == [Compression.NONE, Compression.GZIP]


@pytest.mark.parametrize("compress", ["xz", "bzip2"])
def test_layers_that_no_runtime_unpacks_are_refused(compress: archives.Compress) -> None:
    with pytest.raises(MalformedArchive, match=compress):
        opened(docker_save([ONE], compress=compress))


@pytest.mark.parametrize("links", ["none", "symlink", "hardlink"])
@pytest.mark.parametrize("dotslash", [False, True])
def test_a_repeated_layer_may_be_a_link(links: Any, dotslash: bool) -> None:
    same = archives.image({"a": b"same"}, {"a": b"same"}, {"a": b"same"})
    (image,) = opened(docker_save([same], links=links, dotslash=dotslash)).images
    assert isinstance(image.root, DockerImage)
    assert tuple(str(layer.diff_id) for layer in image.root.layers) == same.diff_ids
    assert len({layer.extent for layer in image.root.layers}) == (3 if links == "none" else 1)


def test_an_empty_list_is_an_archive_of_no_images() -> None:
    archive = opened(docker_save([]))
    assert archive.format == "docker-archive"
    assert archive.images == ()


def test_an_image_without_tags_has_no_names() -> None:
    untagged, empty = replace(ONE, tags=None), tagged(TWO)
    assert [image.names for image in opened(docker_save([untagged, empty])).images] == [(), ()]


def test_an_image_without_layers_is_an_image() -> None:
    (image,) = opened(with_manifest(lambda entry: {**entry, "Layers": None}, archives.image())).images
    assert isinstance(image.root, DockerImage)
    assert image.root.layers == ()


def test_entries_of_one_config_are_one_image_with_all_names() -> None:
    (image,) = opened(docker_save([ONE, tagged(ONE, "b:1", "example.com/team/one:1", "c:1")], style="podman")).images
    assert image.names == ("example.com/team/one:1", "b:1", "c:1")


def test_a_platform_that_the_config_does_not_tell_is_not_made_up() -> None:
    (image,) = opened(with_config(lambda config: {"rootfs": config["rootfs"]})).images
    assert image.platforms == ()


def test_names_stay_as_they_are_written() -> None:
    written = ("nginx", "UPPER/case:1", "index.docker.io/library/x:1")
    (image,) = opened(docker_save([tagged(ONE, *written)])).images
    assert image.names == written


@pytest.mark.parametrize("name", ["{0}.json", "{0}", "sha256:{0}", "blobs/sha256/{0}"])
def test_a_config_that_does_not_match_the_digest_it_is_called_by_is_refused(name: str) -> None:
    with pytest.raises(DigestMismatch, match="sha256"):
        opened(with_config(lambda config: config, name.format("0" * 64)))


def test_a_config_may_have_any_other_name() -> None:
    assert len(opened(with_config(lambda config: config, "config.json")).images) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda entry: {"Layers": entry["Layers"]}, "`Config`"),
        (lambda entry: {**entry, "Config": ""}, "`Config`"),
        (lambda entry: {**entry, "Layers": "x"}, "`Layers` of image"),
        (lambda entry: {**entry, "Layers": [1]}, "`Layers` of image"),
        (lambda entry: {**entry, "RepoTags": {"a": 1}}, "`RepoTags` of image"),
        (lambda entry: {**entry, "LayerSources": []}, "`LayerSources` of image"),
        (lambda entry: {**entry, "Layers": entry["Layers"][:1]}, "1 layers.*2 diff_ids"),
        (lambda entry: {**entry, "Layers": [*entry["Layers"], "/etc/passwd"]}, "3 layers"),
    ],
)
def test_an_entry_of_another_shape_is_refused_with_what_is_wrong(change: Any, words: str) -> None:
    with pytest.raises(MalformedArchive, match=words):
        opened(with_manifest(change))


def test_an_entry_that_is_no_object_is_refused() -> None:
    with pytest.raises(MalformedArchive, match="image 2"):
        opened(tar(files({"manifest.json": b'[{"Config":"a"},7]'})))


@pytest.mark.parametrize(
    "change",
    [
        lambda config: [],
        lambda config: {},
        lambda config: {"rootfs": []},
        lambda config: {"rootfs": {"diff_ids": "x"}},
        lambda config: {"rootfs": {"diff_ids": ["sha256:short", "sha256:short"]}},
    ],
)
def test_a_config_without_diff_ids_is_refused(change: Any) -> None:
    with pytest.raises(MalformedArchive, match=r"diff_ids|digest"):
        opened(with_config(change))


def test_everything_that_is_missing_is_named_at_once() -> None:
    members = [member for member in docker_members([ONE, TWO], style="podman") if member.name.endswith("n")]
    del members[0]  # the config of the first image
    with pytest.raises(MissingContent) as refused:
        planned(tar(members))
    message = str(refused.value)
    assert "the config" in message
    assert message.count("diff_id sha256:") == 2
    assert "image 2 of manifest.json" in message


def test_a_long_list_of_missing_layers_is_cut() -> None:
    many = archives.image_of([archives.layer({str(number): b""}) for number in range(30)])
    with pytest.raises(MissingContent, match="20 more") as refused:
        opened(tar([member for member in docker_members([many]) if not member.name.endswith("layer.tar")]))
    assert len(str(refused.value)) < 4000


def test_a_layer_that_leads_out_of_the_archive_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        opened(
            tar(
                [
                    Member(member.name, link="../../etc/passwd") if member.data == ONE.layers[0] else member
                    for member in docker_members([ONE])
                ]
            )
        )


def test_layer_sources_of_docker_25_do_not_make_a_layer_foreign() -> None:
    sources = {diff_id: {"mediaType": archives.OCI_LAYER, "digest": diff_id, "size": 1} for diff_id in ONE.diff_ids}
    archive = opened(with_manifest(lambda entry: {**entry, "LayerSources": sources}))
    assert len(archive.images) == 1
    assert archive.notes == ()


FOREIGN = [
    {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
    {"mediaType": ["odd"], "urls": ["https://example.com/layer"]},
]


@pytest.mark.parametrize("source", FOREIGN)
def test_a_foreign_layer_whose_bytes_are_there_is_pushed_and_a_note_says_so(source: object) -> None:
    archive = opened(with_manifest(lambda entry: {**entry, "LayerSources": {ONE.diff_ids[0]: source}}))
    (image,) = archive.images
    assert isinstance(image.root, DockerImage)
    assert len(image.root.layers) == 2
    assert ONE.diff_ids[0] in archive.notes[0]


def test_a_foreign_layer_that_is_absent_is_missing_and_called_foreign() -> None:
    def change(entry: dict[str, Any]) -> dict[str, Any]:
        absent = ["absent.tar", *entry["Layers"][1:]]
        return {**entry, "Layers": absent, "LayerSources": {ONE.diff_ids[0]: FOREIGN[1], "x": 1}}

    with pytest.raises(MissingContent, match="foreign"):
        opened(with_manifest(change))


def test_more_names_than_the_limit_are_refused() -> None:
    data = docker_save([tagged(ONE, "a:1", "a:2"), tagged(ONE, "a:3")], style="podman")
    assert len(opened(data, Limits(tags=3)).images) == 1
    with pytest.raises(LimitExceeded, match="2 names"):
        opened(data, Limits(tags=2))


def test_more_images_than_the_limit_are_refused() -> None:
    assert len(opened(docker_save([ONE, TWO]), Limits(nodes=2)).images) == 2
    with pytest.raises(LimitExceeded, match="2 images"):
        opened(docker_save([ONE, TWO]), Limits(nodes=1))


def test_a_config_beyond_its_limit_is_not_read() -> None:
    with pytest.raises(LimitExceeded):
        opened(docker_save([ONE]), Limits(config_bytes=len(ONE.config) - 1))


def test_the_config_blob_is_where_the_config_is() -> None:
    data = docker_save([ONE])
    archive = opened(data)
    extent = archive.blobs[Digest.parse(ONE.config_digest)]
    assert taken_in(data)[1].read_at(extent.offset, extent.size) == ONE.config
