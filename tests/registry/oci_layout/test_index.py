from __future__ import annotations

import json

import pytest

from app.errors import LimitExceeded, MalformedArchive
from app.oci import Descriptor, Digest
from app.oci.media_types import OCI_INDEX, OCI_MANIFEST
from app.registry.oci_layout import index as layout_index
from app.registry.oci_layout.index import EMPTY_INDEX, LayoutIndex

EMPTY = LayoutIndex.parse(EMPTY_INDEX)


def manifest(text: str, subject: str | None = None) -> tuple[Descriptor, Digest | None]:
    digest = Digest.of(text.encode())
    return Descriptor(OCI_MANIFEST, digest, len(text)), None if subject is None else Digest.of(subject.encode())


def entries(index: LayoutIndex) -> list[dict[str, object]]:
    document = json.loads(index.dump())
    assert document["schemaVersion"] == 2
    found: list[dict[str, object]] = document["manifests"]
    return found


def test_a_tagged_manifest_is_an_entry_that_other_tools_find() -> None:
    index = EMPTY.with_manifest("library/nginx", "1.25", manifest("a"))
    assert entries(index) == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": str(Digest.of(b"a")),
            "size": 1,
            "annotations": {"org.opencontainers.image.ref.name": "library/nginx:1.25", "tarmac.held": ""},
        }
    ]


def test_a_manifest_without_a_tag_says_its_repository() -> None:
    index = EMPTY.with_manifest("team/app", None, manifest("a", subject="s"))
    assert entries(index)[0]["annotations"] == {
        "tarmac.repository": "team/app",
        "tarmac.subject": str(Digest.of(b"s")),
        "tarmac.held": "",
        "tarmac.by-digest": "false",
    }


def test_optional_content_that_comes_later_is_added_to_the_entry() -> None:
    first, second = Digest.of(b"1"), Digest.of(b"2")
    index = EMPTY.with_manifest("r", None, manifest("x"), {first})
    assert index.with_manifest("r", None, manifest("x"), {first}) is index
    index = index.with_manifest("r", None, manifest("x"), {second}).with_manifest("r", "1", manifest("x"))
    index = index.with_manifest("r", "1", manifest("y"))
    root = LayoutIndex.parse(index.dump()).find("r", str(Digest.of(b"x")))
    assert root is not None
    assert root.held == frozenset({first, second})


@pytest.mark.parametrize("held", ["sha256:short", "no digest"])
def test_an_entry_with_unreadable_held_content_is_shown_to_nobody(held: str) -> None:
    annotations = {"org.opencontainers.image.ref.name": "a:1", "tarmac.held": held}
    entry = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(b"x")), "size": 1, "annotations": annotations}
    assert not LayoutIndex.parse(json.dumps({"manifests": [entry]}).encode()).repositories


def test_what_was_written_is_read_back() -> None:
    index = EMPTY.with_manifest("a", "1", manifest("x")).with_manifest("a", None, manifest("y", subject="x"))
    again = LayoutIndex.parse(index.dump())
    assert again == index
    assert again.dump() == index.dump()


def test_tags_are_sorted_and_hold_no_digests() -> None:
    index = EMPTY
    for tag in ("b", "a", "B", None):
        index = index.with_manifest("r", tag, manifest(f"of {tag}"))
    assert index.tags("r") == ["B", "a", "b"]
    assert index.tags("other") == []


def test_a_manifest_is_found_by_tag_and_by_digest_in_its_repository_only() -> None:
    index = EMPTY.with_manifest("r", "1", manifest("x")).with_manifest("r", None, manifest("y"))
    for reference, text in (("1", b"x"), (str(Digest.of(b"x")), b"x"), (str(Digest.of(b"y")), b"y")):
        root = index.find("r", reference)
        assert root is not None
        assert root.digest == Digest.of(text)
    assert index.find("r", "2") is None
    assert index.find("r", str(Digest.of(b"z"))) is None
    assert index.find("other", "1") is None


def test_the_same_push_again_changes_nothing() -> None:
    index = EMPTY.with_manifest("r", "1", manifest("x"))
    assert index.with_manifest("r", "1", manifest("x")) is index
    assert index.with_manifest("r", None, manifest("x")) is index


def test_a_manifest_that_gets_a_tag_needs_no_entry_by_digest_any_more() -> None:
    index = EMPTY.with_manifest("r", None, manifest("x")).with_manifest("r", "1", manifest("x"))
    assert len(entries(index)) == 1


def test_a_manifest_whose_tag_moved_on_can_still_be_pulled_by_digest() -> None:
    index = EMPTY.with_manifest("r", "1", manifest("x", subject="s")).with_manifest("r", "1", manifest("y"))
    root = index.find("r", str(Digest.of(b"x")))
    assert root is not None
    assert root.subject == Digest.of(b"s")
    assert index.tags("r") == ["1"]


def test_a_manifest_that_has_another_tag_needs_no_entry_by_digest() -> None:
    index = EMPTY.with_manifest("r", "1", manifest("x")).with_manifest("r", "2", manifest("x"))
    assert len(entries(index.with_manifest("r", "1", manifest("y")))) == 2


@pytest.mark.parametrize(
    "entry",
    [
        {"annotations": {"org.opencontainers.image.ref.name": "1.0"}},
        {"annotations": {"org.opencontainers.image.ref.name": "Upper/Case:1"}},
        {"annotations": {"org.opencontainers.image.ref.name": "team/app:-bad"}},
        {"annotations": {"tarmac.repository": "../up"}},
        {"annotations": {"tarmac.repository": "a", "tarmac.subject": "sha256:short"}},
        {"annotations": {}},
        {"mediaType": "text/plain", "annotations": {"org.opencontainers.image.ref.name": "a:1"}},
        {"digest": "sha256:../../etc/passwd", "annotations": {"org.opencontainers.image.ref.name": "a:1"}},
        {"size": -1, "annotations": {"org.opencontainers.image.ref.name": "a:1"}},
    ],
)
def test_an_entry_that_is_not_for_us_is_shown_to_nobody_and_kept(entry: dict[str, object]) -> None:
    whole = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(b"x")), "size": 1} | entry
    document = {"schemaVersion": 2, "manifests": [whole], "annotations": {"of": "another tool"}}
    index = LayoutIndex.parse(json.dumps(document).encode())
    assert not index.repositories
    written = json.loads(index.with_manifest("r", "1", manifest("y")).dump())
    assert whole in written["manifests"]
    assert written["annotations"] == {"of": "another tool"}


def test_an_entry_that_is_no_object_is_kept() -> None:
    assert json.loads(LayoutIndex.parse(b'{"manifests":[7]}').dump()) == {"manifests": [7]}


def test_an_index_that_another_tool_tagged_as_we_do_is_seen() -> None:
    entry = {
        "mediaType": OCI_INDEX,
        "digest": str(Digest.of(b"x")),
        "size": 1,
        "annotations": {"org.opencontainers.image.ref.name": "library/x:1"},
    }
    assert LayoutIndex.parse(json.dumps({"manifests": [entry]}).encode()).tags("library/x") == ["1"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"manifests":{}}', b'{"manifests":[],"manifests":[]}'])
def test_what_is_no_image_index_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedArchive):
        LayoutIndex.parse(raw)


def test_an_index_over_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_index, "MAX_INDEX_BYTES", len(EMPTY_INDEX))
    LayoutIndex.parse(EMPTY_INDEX)
    with pytest.raises(LimitExceeded):
        LayoutIndex.parse(EMPTY_INDEX + b" ")
