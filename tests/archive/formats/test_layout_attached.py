"""Tags of a layout that say by their name what they belong to."""

from __future__ import annotations

from app.archive import Archive, ImageEntry
from app.oci import Descriptor
from tests.support.archives import Node, entry, image, oci_artifact, oci_image, oci_index, oci_layout
from tests.support.opening import opened

ONE, TWO = oci_image(image({"a": b"1"})), oci_image(image({"a": b"2"}))
THING = oci_artifact(b"thing")


def hung(node: Node, suffix: str = "") -> str:
    return node.digest.replace(":", "-") + suffix


def tags(entry_: ImageEntry) -> list[str]:
    return [item.tag for item in entry_.attached]


def bare(archive: Archive) -> list[tuple[str, ...]]:
    return [image.bare_tags for image in archive.images]


def test_a_tag_that_names_an_image_of_the_layout_is_no_image_of_its_own() -> None:
    archive = opened(oci_layout([entry(ONE, ref="v1"), entry(TWO, ref="v2"), entry(THING, ref=hung(ONE, ".sig"))]))
    assert bare(archive) == [("v1",), ("v2",)]
    assert [tags(image) for image in archive.images] == [[hung(ONE, ".sig")], []]


def test_what_belongs_to_nothing_in_the_layout_stands_for_itself() -> None:
    for ref in (hung(TWO, ".sig"), hung(ONE, ".other"), hung(THING), "sha256-1234.sig"):
        archive = opened(oci_layout([entry(ONE, ref="v1"), entry(THING, ref=ref)]))
        assert bare(archive) == [("v1",), (ref,)]


def test_a_name_of_its_own_stays_beside_the_tie() -> None:
    listed = [entry(ONE, ref="v1"), entry(THING, ref=hung(ONE, ".sig")), entry(THING, ref="a/b:thing")]
    archive = opened(oci_layout(listed))
    assert [image.names for image in archive.images] == [(), ("a/b:thing",)]
    assert tags(archive.images[0]) == [hung(ONE, ".sig")]


def test_one_thing_may_be_tied_to_two_images() -> None:
    listed = [entry(ONE, ref="v1"), entry(TWO, ref="v2")]
    archive = opened(oci_layout([*listed, *(entry(THING, ref=hung(node, ".sbom")) for node in (ONE, TWO))]))
    assert [tags(image) for image in archive.images] == [[hung(ONE, ".sbom")], [hung(TWO, ".sbom")]]


def test_ties_lead_over_referrers_and_lists_to_the_image() -> None:
    sbom = oci_artifact(b"sbom", subject=ONE)
    signature = oci_artifact(b"of the sbom", subject=sbom)
    listed = [
        entry(ONE, ref="v1"),
        entry(oci_index([sbom]), ref=hung(ONE)),
        entry(sbom),
        entry(oci_index([signature]), ref=hung(sbom)),
        entry(THING, ref=hung(signature, ".sig")),
    ]
    (image_,) = opened(oci_layout(listed)).images
    assert isinstance(image_.root, Descriptor)
    assert tags(image_) == [hung(ONE), hung(sbom), hung(signature, ".sig")]
    assert image_.referrers == ()


def test_things_tied_to_one_another_in_a_circle_stand_for_themselves() -> None:
    other = oci_artifact(b"other")
    listed = [entry(THING, ref=hung(other, ".sig")), entry(other, ref=hung(THING, ".sig")), entry(ONE, ref="v1")]
    archive = opened(oci_layout(listed))
    assert bare(archive) == [(hung(other, ".sig"),), (hung(THING, ".sig"),), ("v1",)]
    assert [tags(image) for image in archive.images] == [[], [], []]


def test_a_hybrid_image_that_something_is_tied_to_keeps_its_manifest() -> None:
    sample = image({"a": b"plain"})
    plain = oci_image(sample, compression="none")
    alone = opened(oci_layout([entry(plain, ref="a/b:1")], hybrid=[sample])).images[0]
    assert not isinstance(alone.root, Descriptor)
    tied = opened(oci_layout([entry(plain, ref="a/b:1"), entry(THING, ref=hung(plain, ".sig"))], hybrid=[sample]))
    assert isinstance(tied.images[0].root, Descriptor)
