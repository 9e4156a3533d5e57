"""Image layouts in directories: each of them is read, under names that the annotations or the directory tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from app.archive import DEFAULT_LIMITS, index_file, open_archive
from app.archive.formats import nested_layouts
from app.archive.formats.reading.addressed_members import digest_in_name
from app.errors import LimitExceeded, MalformedArchive, MissingContent, MissingTag
from app.push import Destination, PushOptions, make_plan
from tests.hostile.landing import land
from tests.support import archives
from tests.support.archives import Compress, Member, docker_members, entry, oci_artifact, oci_image, oci_index, tagged
from tests.support.archives import tar as tar_of
from tests.support.mirrors import kots_archives, oc_mirror_files
from tests.support.nested import deckhouse, layout_in, zot
from tests.support.opening import opened
from tests.support.storage_tree import tree

APP = archives.image({"app": b"app"})
ONE, TWO = oci_image(APP), oci_image(archives.image({"app": b"two"}))
AMD = oci_image(archives.image({"app": b"amd"}), platform="linux/amd64")
ARM = oci_image(archives.image({"app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
MULTI = oci_index([AMD, ARM])
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
PLATFORM = {
    "": {"v1.70.1": ONE, "stable": TWO},
    "install": {"v1.70.1": MULTI},
    "install-standalone": {},
    "modules/console": {"v1": AMD},
    "modules/console/release": {"stable": ARM},
}
DECK = [
    "deck/ee/install:v1.70.1",
    "deck/ee/modules/console/release:stable",
    "deck/ee/modules/console:v1",
    "deck/ee:stable",
    "deck/ee:v1.70.1",
]
STORED = {"team/web": {"1": ONE, "2": TWO}, "db": {"2": MULTI}, "a/b/c/d/e": {"x": ONE}}
ZOT = ["a/b/c/d/e:x", "db:2", "team/web:1", "team/web:2"]


def tar(members: list[Member], **options: bool) -> bytes:
    return tar_of(members, **options)


def places(data: bytes, options: PushOptions | None = None) -> list[str]:
    plan = make_plan([opened(data)], options or PushOptions(), Destination("default", "registry.test"))
    return sorted(f"{each.repository}:{each.tag}" for image in plan.images for each in image.destinations)


def with_uploads(members: list[Member]) -> list[Member]:
    """What zot was receiving: a layout in .sync, as its synchronisation has it, and a part of a blob."""
    temporary = layout_in("team/web/.sync/0c51/team/web", [entry(TWO, ref="unfinished")])
    return [*members, *temporary, Member("team/web/.uploads/4f1b", b"part")]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param(deckhouse(PLATFORM), DECK, id="d8 mirror pull"),
        pytest.param(deckhouse({"modules/console": {"v1": AMD}}), ["deck/ee/modules/console:v1"], id="d8, one module"),
        pytest.param(deckhouse(PLATFORM)[::-1], DECK, id="in another order"),
        pytest.param(zot(STORED), ZOT, id="zot"),
        pytest.param(zot(STORED, marks=False), ZOT, id="zot, files alone"),
        pytest.param(zot(STORED, deduplicated=True), ZOT, id="zot, deduplicated"),
        pytest.param(zot(STORED, root="var/lib/registry"), ZOT, id="zot in a directory"),
        pytest.param(zot({**STORED, "empty": {}}), ZOT, id="zot with an empty repository"),
        pytest.param(with_uploads(zot(STORED)), ZOT, id="zot while it receives"),
        pytest.param(
            layout_in("images", [entry(ONE, ref="docker.io/kubesphere/kube-apiserver:v1-amd64")]),
            ["kubesphere/kube-apiserver:v1-amd64"],
            id="kubekey",
        ),
        pytest.param(
            [*layout_in("", [entry(ONE, ref="a.test/a:1")]), *layout_in("in/a/in/b", [entry(TWO, name="a.test/b:2")])],
            ["a:1", "b:2"],
            id="a layout in a layout",
        ),
        pytest.param(
            [*layout_in("x", [entry(ONE, ref="a.test/a:1")]), *layout_in("x/blobs/y", [entry(TWO, ref="a.test/b:2")])],
            ["a:1", "b:2"],
            id="in the blobs of another",
        ),
        pytest.param(
            [
                *layout_in("x", [entry(ONE, ref="1")]),
                *layout_in("y", [entry(ONE, ref="2"), entry(ONE, ref="t.test/z:3")]),
            ],
            ["x:1", "y:2", "z:3"],
            id="one image in two layouts",
        ),
    ],
)
@pytest.mark.parametrize("dotslash", [False, True])
def test_every_tag_of_every_layout_has_its_place(members: list[Member], expected: list[str], dotslash: bool) -> None:
    data = tar(members, dotslash=dotslash)
    archive = opened(data)
    assert (archive.format, archive.notes) == ("oci-archive", ())
    assert places(data) == expected


@pytest.mark.parametrize("outer", ["gzip", "zstd", "xz"])
async def test_all_of_it_lands(outer: Compress) -> None:
    landed = await land(archives.wrap(tar(zot(STORED, deduplicated=True)), outer))
    assert (landed.codes, list(landed.tags)) == ([], ZOT)
    assert list((await land(archives.wrap(tar(deckhouse(PLATFORM)), outer))).tags) == DECK


def test_content_may_lie_with_another_layout() -> None:
    """Deduplicated storage that was copied from S3 has an empty file in each other repository."""
    shared = [member for digest in ONE.content for member in [Member(f"first/blobs/{digest.replace(':', '/')}")]]
    second = layout_in("second", [entry(ONE, ref="1")])
    first = layout_in("first", [entry(ONE, ref="1")], without=list(ONE.content))
    for order in ([*first, *shared, *second], [*second, *first, *shared], [*first, *second]):
        assert places(tar(order)) == ["first:1", "second:1"]
    in_common = [replace(member, name=member.name.replace("second/blobs", "common/blobs")) for member in second]
    assert places(tar([*in_common, *first])) == ["first:1", "second:1"]


def test_what_is_missing_everywhere_is_named() -> None:
    with pytest.raises(MissingContent, match=ONE.digest):
        opened(tar([*layout_in("a", [entry(ONE, ref="1")], without=[ONE.digest]), *layout_in("b", [entry(TWO)])]))


@pytest.mark.parametrize("directory", ["My Images", "a:b", "Upper/case", "-x", "a//b"[:2] + ".b/_"])
def test_a_directory_that_names_no_repository_leaves_a_tag_alone(directory: str) -> None:
    data = tar(layout_in(directory, [entry(ONE, ref="1")]))
    assert [image.bare_tags for image in opened(data).images] == [("1",)]
    with pytest.raises(MissingTag):
        places(data)
    assert places(data, PushOptions(tag="team/app:1")) == ["team/app:1"]
    assert places(data, PushOptions(rename=(("1", "team/app:2"),))) == ["team/app:2"]


def test_an_image_without_any_name_is_not_passed_over() -> None:
    """Beside others that have one; old layouts have no ref.name at all."""
    data = tar([*layout_in("new", [entry(ONE, ref="1")]), *layout_in("old", [entry(TWO)])])
    with pytest.raises(MissingTag, match=TWO.digest):
        places(data)
    assert places(data, PushOptions(images=("new:*",))) == ["new:1"]
    assert places(data, PushOptions(rename=((TWO.digest, "old:2"),))) == ["new:1", "old:2"]


def test_what_zot_has_without_a_tag_is_told() -> None:
    signature = oci_artifact(b"signature", subject=ONE)
    untagged = {"team/web": [TWO, signature], "db": [AMD]}
    stored = {"team/web": {"1": ONE}, "db": {"2": MULTI}}
    archive = opened(tar(zot(stored, untagged=untagged)))
    assert [image.paths for image in archive.images] == [("team/web:1",), ("db:2",)]
    assert [str(referrer.digest) for referrer in archive.images[0].referrers] == [signature.digest]
    (note,) = archive.notes
    assert TWO.digest in note
    assert AMD.digest not in note


def test_a_docker_layout_in_a_directory_is_read_the_docker_way() -> None:
    """`docker save` of today, unpacked beside others: plain layers are compressed, an image without a tag counts."""
    members = []
    for name, label in (("one", "1"), ("two", "2")):
        sample = tagged(archives.image({"app": label.encode()}), f"a.test/{name}:1")
        node = oci_image(sample, compression="none")
        members += layout_in(name, [entry(node, ref="1", name=f"a.test/{name}:1")])
        members += [replace(m, name=f"{name}/{m.name}") for m in docker_members([sample], style="docker25")]
    archive = opened(tar(list({member.name: member for member in members}.values())))
    assert [image.names for image in archive.images] == [("a.test/one:1",), ("a.test/two:1",)]
    assert all(image.original is not None for image in archive.images)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a/b/index.json", b"{}"),
        ("a/b/index.json", b"[]"),
        ("a/b/oci-layout", b"{}"),
        ("a/b/oci-layout", b'{"imageLayoutVersion":"9"}'),
    ],
)
def test_what_is_wrong_with_one_layout_names_its_directory(name: str, content: bytes) -> None:
    members = [*layout_in("x", [entry(ONE, ref="1")]), *layout_in("a/b", [])]
    members = [Member(name, content) if member.name == name else member for member in members]
    with pytest.raises(MalformedArchive, match=name):
        opened(tar(members))


def test_there_are_limits_and_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [member for number in range(4) for member in layout_in(f"r{number}", [entry(ONE, ref="1")])]
    with pytest.raises(LimitExceeded, match=r"4 manifests.*3"):
        opened(tar(members), replace(DEFAULT_LIMITS, nodes=3))
    monkeypatch.setattr(nested_layouts, "MAX_LAYOUTS", 3)
    with pytest.raises(LimitExceeded, match=r"4 image.*3"):
        opened(tar(members))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (f"blobs/sha256/{'a' * 64}", f"sha256:{'a' * 64}"),
        (f"x/y/blobs/sha512/{'b' * 128}", f"sha512:{'b' * 128}"),
        (f"v2/a/blobs/sha256:{'c' * 64}", f"sha256:{'c' * 64}"),
        (f"v2/a/manifests/sha256-{'c' * 64}", f"sha256:{'c' * 64}"),
        (f"x/docker/registry/v2/blobs/sha256/dd/{'d' * 64}/data", f"sha256:{'d' * 64}"),
        (f"blobs/sha256/{'a' * 63}", None),
        (f"blobs/sha512/{'a' * 64}", None),
        (f"xblobs/sha256/{'a' * 64}", None),
        (f"blobs/sha256/{'a' * 64}/more", None),
        (f"a/.uploads/blobs/sha256/{'a' * 64}", None),
        (f"docker/registry/v2/blobs/sha256/dd/{'d' * 64}", None),
    ],
)
def test_a_member_tells_the_digest_of_its_content(name: str, digest: str | None) -> None:
    assert digest_in_name(name) == digest


@dataclass
class Counted:
    """A ReadAt that counts what it is asked for."""

    data: bytes
    reads: int = 0
    size: int = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads += 1
        self.size += size
        return self.data[offset : offset + size]


def stored(count: int) -> dict[str, dict[str, archives.Node]]:
    base = {"base": b"x" * 2000}
    return {
        f"team/app{number}": {"1": oci_image(archives.image(base, {"a": b"%d" % number}))} for number in range(count)
    }


BUILDERS: dict[str, Callable[[int], list[Member]]] = {
    "zot": lambda count: zot(stored(count), deduplicated=True),
    "storage": lambda count: [replace(m, name=f"var/lib/registry/{m.name}") for m in tree(stored(count))],
    "oc": lambda count: oc_mirror_files(stored(count)),
    "kots": lambda count: kots_archives(
        {f"a.test/{number}/1": archives.image({"a": b"%d" % number}) for number in range(count)}
    ),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_what_is_read_grows_with_the_images_and_no_faster(kind: str) -> None:
    counts = []
    for count in (20, 200):
        data = tar(BUILDERS[kind](count))
        source = Counted(data)
        archive = open_archive(index_file(source, len(data)), source)
        assert len(archive.images) == count
        counts.append((source.reads, source.size))
    (few, little), (many, much) = counts
    assert many <= 11 * few
    assert much <= 11 * little
    assert much < 16 * len(data)
