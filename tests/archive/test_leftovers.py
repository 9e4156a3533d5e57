"""Blobs that nothing in an archive refers to are counted in a notice, whatever the format."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from app.archive.leftovers import Leftovers, stated_digest
from tests.support.archives import (
    Member,
    docker_members,
    docker_save,
    entry,
    image,
    oci_image,
    oci_index,
    oci_members,
    tagged,
    tar,
    to_json,
    wrap,
)
from tests.support.mirrors import kots_registry, oc_mirror_v1
from tests.support.opening import opened, read
from tests.support.storage_tree import images_yaml, oc_mirror, tree

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
HEX = "ab" * 32
STRAY = b"a layer that nobody lists"
STRAY_HEX = hashlib.sha256(STRAY).hexdigest()


@pytest.mark.parametrize(
    "name",
    [
        f"blobs/sha256/{HEX}",
        f"install/blobs/sha256/{HEX}",
        f"blobs/sha512/{HEX}{HEX}",
        f"docker/registry/v2/blobs/sha256/ab/{HEX}/data",
        f"var/lib/registry/docker/registry/v2/blobs/sha256/ab/{HEX}/data",
        f"v2/app/blobs/sha256:{HEX}",
        f"v2/app/manifests/sha256:{HEX}",
        f"sha256-{HEX}.tar.gz",
        f"{HEX}.tar.gz",
        f"{HEX}.tar",
        f"{HEX}.json",
        f"{HEX}/layer.tar",
    ],
)
def test_a_member_whose_name_states_a_digest_is_a_blob(name: str) -> None:
    assert set(stated_digest(name) or "") == {"a", "b"}


@pytest.mark.parametrize(
    "name",
    [
        "index.json",
        f"{HEX}/json",
        f"{HEX}/VERSION",
        f"repositories/app/_manifests/revisions/sha256/{HEX}/link",
        f"repositories/app/_uploads/{HEX[:36]}/data",
        f"{HEX[:40]}",
        f"sha256-{HEX}.sig",
        f"x{HEX}",
    ],
)
def test_anything_else_is_none(name: str) -> None:
    assert stated_digest(name) is None


APP = image({"bin/app": b"one"})
NODE = oci_image(APP)
STORED = {"team/app": {"1": NODE}}
LISTED = Member("images.yaml", images_yaml({"example.com": {"team/app": ["1"]}}))
FORMATS: dict[str, tuple[list[Member], str]] = {
    "docker-archive": (docker_members([tagged(APP, "a:1")]), f"{STRAY_HEX}.tar"),
    "oci-archive": (oci_members([entry(NODE, ref="a:1")]), f"blobs/sha256/{STRAY_HEX}"),
    "oci-archive below": (oci_members([entry(NODE, ref="a:1")]), f"other/blobs/sha256/{STRAY_HEX}"),
    "registry-storage": (tree(STORED), f"docker/registry/v2/blobs/sha256/{STRAY_HEX[:2]}/{STRAY_HEX}/data"),
    "mindthegap-bundle": (
        [*tree(STORED), LISTED],
        f"docker/registry/v2/blobs/sha256/{STRAY_HEX[:2]}/{STRAY_HEX}/data",
    ),
}


def notes_of(members: list[Member]) -> list[str]:
    return [note for note in opened(tar(members)).notes if " refers to, such as " in note]


@pytest.mark.parametrize("name", FORMATS)
def test_a_blob_that_nothing_refers_to_is_counted_in_every_format(name: str) -> None:
    members, stray = FORMATS[name]
    assert notes_of(members) == []
    assert notes_of([*members, Member(stray, STRAY)]) == [str(Leftovers(1, len(STRAY), stray))]


def test_a_blob_that_is_there_twice_counts_once() -> None:
    strays = [Member(f"{name}/blobs/sha256/{STRAY_HEX}", STRAY) for name in ("a", "b")]
    (note,) = notes_of([*oci_members([entry(NODE, ref="a:1")]), *strays])
    assert "1 blob (" in note


def test_a_copy_of_what_is_pushed_is_no_leftover() -> None:
    members = oci_members([entry(oci_index([NODE]), ref="a:1")])
    copies = [Member(f"copy/{member.name}", member.data) for member in members if member.name.startswith("blobs/")]
    assert copies
    assert notes_of([*members, *copies]) == []


def test_the_descriptions_of_layers_that_docker_writes_beside_them_are_no_leftovers() -> None:
    description = to_json({"id": HEX, "parent": HEX, "os": "linux", "container_config": {}})
    members = oci_members([entry(NODE, ref="a:1")])
    name = f"blobs/sha256/{hashlib.sha256(description).hexdigest()}"
    assert notes_of([*members, Member(name, description)]) == []
    for other in (b'{"id":"', to_json({"id": HEX, "rootfs": {"diff_ids": []}}), to_json({"layers": []})):
        assert len(notes_of([*members, Member(f"blobs/sha256/{hashlib.sha256(other).hexdigest()}", other)])) == 1


@pytest.mark.parametrize("file", ["d29g-save-one.tar", "d29g-save-multi.tar"])
def test_nothing_is_left_of_what_docker_save_writes(file: str) -> None:
    assert not [note for note in opened((CORPUS / file).read_bytes()).notes if " refers to, such as " in note]


def test_the_storage_of_oc_mirror_has_none() -> None:
    assert notes_of(oc_mirror(STORED)) == []


# --- several kinds in one archive ------------------------------------------------------------------------------------

SAVED = docker_save([tagged(image({"inner": b"1"}), "inner:1")])
HELD = {"team/app": {"1": oci_image(image({"a": b"1"}))}}
CATALOG = oci_members([entry(oci_image(image({"c": b"2"})), ref="catalog:1")])
SIDE_BY_SIDE = {
    "docker archives beside a layout": (
        [*oci_members([entry(oci_image(image({"a": b"1"})), ref="a:1")]), Member("x/inner.tar", SAVED)],
        "x/inner.tar",
    ),
    "an archive of the embedded cluster": (
        [*kots_registry(HELD, []), Member("embedded-cluster/images-amd64.tar", wrap(SAVED, "gzip"))],
        "embedded-cluster/images-amd64.tar",
    ),
    "catalogs of oc-mirror v1": (
        [*oc_mirror_v1(HELD), *(replace(member, name=f"catalogs/x/layout/{member.name}") for member in CATALOG)],
        "catalogs/x/layout/",
    ),
}


@pytest.mark.parametrize("kind", SIDE_BY_SIDE)
def test_other_archives_of_images_are_named(kind: str) -> None:
    members, name = SIDE_BY_SIDE[kind]
    archive = read(tar(members))
    assert len(archive.images) == 1
    (note,) = [text for text in archive.notes if "other archives" in text]
    assert name in note
