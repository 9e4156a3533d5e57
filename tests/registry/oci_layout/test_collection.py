"""What a collection deletes, and what it leaves."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.oci import Digest
from app.registry.oci_layout.collection import Collected, Collector, Scope
from app.registry.oci_layout.reachability import RetentionRule
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.oci_layout.served import ServedLayout
from app.registry.oci_layout.uses import PULL_SECONDS, Needed, Uses
from tests.registry.oci_layout.landing import described, land, land_blobs
from tests.support.archives import Node, image, oci_artifact, oci_image, oci_index
from tests.support.blob_content import BytesContent

BASE = {"base": b"shared by all"}
ONE = oci_image(image(BASE, {"bin/app": b"one"}))
TWO = oci_image(image(BASE, {"bin/app": b"two"}))
ALONE = oci_image(image({"alone": b"shares nothing"}))
INDEX = oci_index([ONE, TWO])
SIGNATURE = oci_artifact(b"a signature", subject=ONE)
NONE = RetentionRule()
DAY = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def layout(tmp_path: Path, clock: Clock) -> LayoutRegistry:
    return LayoutRegistry(tmp_path / "layout", clock)


def prune(layout: LayoutRegistry, rule: RetentionRule = NONE, **scope: Any) -> Collected:
    scope = {"may": lambda _: True, "is_whole": True, **scope}
    return Collector(layout, layout._clock).prune(rule, Scope(**scope))


def delete(layout: LayoutRegistry, repository: str, *keys: str) -> Collected:
    return Collector(layout, layout._clock).delete(repository, lambda _: keys)


def stored(layout: LayoutRegistry) -> set[str]:
    return {str(digest) for digest, _ in layout.files.blobs()}


def whole(*nodes: Node) -> set[str]:
    """The digests of nodes and of all below them."""
    return {digest for node in nodes for digest in node.content}


async def is_whole(layout: LayoutRegistry, repository: str, node: Node) -> bool:
    found = await layout.read_manifest(repository, node.digest)
    sizes = [await layout.blob_size(repository, Digest.parse(digest)) for digest in node.blobs]
    return found is not None and None not in sizes


async def test_what_a_tag_leads_to_is_kept(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", INDEX, "1")
    await land(layout, "team/app", SIGNATURE)
    assert prune(layout) == Collected()
    assert stored(layout) == whole(INDEX, SIGNATURE)


async def test_a_manifest_whose_tag_moved_on_goes_and_what_others_share_stays(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE, "1")
    await land(layout, "team/app", TWO, "1")
    found = prune(layout)
    assert [(entry.tag, str(entry.digest)) for entry in found.entries] == [(None, ONE.digest)]
    assert stored(layout) == whole(TWO)
    assert found.blobs == len(whole(ONE) - whole(TWO))
    assert found.freed_bytes == sum(len(ONE.content[digest]) for digest in whole(ONE) - whole(TWO))
    assert await is_whole(layout, "team/app", TWO)


async def test_what_was_pushed_by_its_digest_is_kept_until_it_is_deleted(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE)
    await layout.keep([("team/app", ONE.digest)])
    for instance in (layout, LayoutRegistry(layout.files.root)):
        assert prune(instance) == Collected()
    assert delete(layout, "team/app", ONE.digest).freed_bytes > 0
    assert stored(layout) == set()
    assert await layout.repositories() == []


async def test_children_whose_index_never_came_go(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE)
    prune(layout)
    assert stored(layout) == set()


async def test_referrers_go_with_their_subject_and_so_do_tags_that_belong_to_it(layout: LayoutRegistry) -> None:
    cosign = ONE.digest.replace(":", "-") + ".sig"
    await land(layout, "team/app", ONE, "1")
    await land(layout, "team/app", SIGNATURE)
    await land(layout, "team/app", ALONE, cosign)
    assert prune(layout) == Collected()
    found = delete(layout, "team/app", "1")
    assert {entry.tag for entry in found.entries} == {"1", cosign, None}
    assert stored(layout) == set()


@pytest.mark.parametrize("key", ["1", ONE.digest])
async def test_a_tag_that_belongs_to_an_image_elsewhere_is_kept_on_its_own(layout: LayoutRegistry, key: str) -> None:
    await land(layout, "signatures", ALONE, ONE.digest.replace(":", "-") + ".sig")
    await land(layout, "team/app", ONE, "1")
    delete(layout, "team/app", key, "1")
    assert prune(layout) == Collected()
    assert stored(layout) == whole(ALONE)


async def test_a_repository_that_shares_all_blobs_keeps_them(layout: LayoutRegistry) -> None:
    await land(layout, "team/a", ONE, "1")
    await land(layout, "team/b", ONE, "1")
    delete(layout, "team/a", "1")
    assert await is_whole(layout, "team/b", ONE)
    assert not await is_whole(layout, "team/a", ONE)
    assert await layout.repositories() == ["team/b"]


async def test_bytes_that_a_caller_loses_count_whoever_else_has_them(layout: LayoutRegistry) -> None:
    """How many bytes a deletion frees would tell what other tenants have."""
    await land(layout, "team/a", ONE, "1")
    alone = delete(layout, "team/a", "1").freed_bytes
    await land(layout, "team/a", ONE, "1")
    await land(layout, "team/b", ONE, "1")
    assert delete(layout, "team/a", "1").freed_bytes == alone


async def test_a_prune_of_some_repositories_leaves_the_others_and_what_is_of_none(layout: LayoutRegistry) -> None:
    for repository in ("team/a", "team/b"):
        await land(layout, repository, ONE, "1")
        await land(layout, repository, TWO, "1")
    await layout.push_blob("team/a", BytesContent(b"of a push that failed"))
    found = prune(layout, may=lambda repository: repository == "team/a", is_whole=False)
    assert {entry.repository for entry in found.entries} == {"team/a"}
    assert await layout.find_manifest("team/b", ONE.digest) is not None
    assert str(Digest.of(b"of a push that failed")) in stored(layout)
    assert prune(layout).freed_bytes
    assert stored(layout) == whole(TWO)


async def test_a_dry_run_says_what_a_prune_does_and_does_nothing(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE, "1")
    await land(layout, "team/app", ALONE, "1")
    before = stored(layout), layout.files.read_index()
    planned = prune(layout, dry_run=True)
    assert (stored(layout), layout.files.read_index()) == before
    assert prune(layout) == planned
    assert planned.freed_bytes > 0


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (RetentionRule(keep_tags=2), {"3", "4"}),
        (RetentionRule(older_than=1.5 * DAY), {"3", "4"}),
        (RetentionRule(older_than=1.5 * DAY, keep_tags=3), {"2", "3", "4"}),
        (RetentionRule(older_than=0.5 * DAY, keep_tags=1), {"4"}),
        (RetentionRule(keep_tags=0), set()),
        (RetentionRule(older_than=9 * DAY), {"1", "2", "3", "4"}),
    ],
)
async def test_tags_expire_by_age_and_number(
    layout: LayoutRegistry, clock: Clock, rule: RetentionRule, left: set[str]
) -> None:
    for tag in ("1", "2", "3", "4"):
        await land(layout, "team/app", oci_image(image({"tag": tag.encode()})), tag)
        await land(layout, "team/other", ALONE, "1")  # renewed each time
        clock.now += DAY
    clock.now -= DAY
    prune(layout, rule)
    assert set(await layout.tags("team/app") or ()) == left
    assert (await layout.tags("team/other") == ["1"]) == (rule.keep_tags != 0)


async def test_what_a_push_finds_again_is_as_new(layout: LayoutRegistry, clock: Clock) -> None:
    await land(layout, "team/app", ONE, "1")
    await land(layout, "team/app", ALONE)
    await layout.keep([("team/app", ALONE.digest)])
    clock.now += 10 * DAY
    await layout.keep([("team/app", "1")])
    await layout.keep([("team/app", ALONE.digest)])
    assert prune(layout, RetentionRule(older_than=DAY)) == Collected()
    clock.now += 2 * DAY
    prune(layout, RetentionRule(older_than=DAY))
    assert stored(layout) == set()


async def test_a_push_by_digest_that_expires_stays_as_a_child_of_an_index(layout: LayoutRegistry, clock: Clock) -> None:
    await land(layout, "team/app", ONE)
    await layout.keep([("team/app", ONE.digest)])
    clock.now += 10 * DAY
    await land(layout, "team/app", INDEX, "multi")
    assert not prune(layout, RetentionRule(older_than=DAY)).entries
    assert await is_whole(layout, "team/app", ONE)
    delete(layout, "team/app", "multi")
    assert stored(layout) == set()


# Pushes and pulls under way


@pytest.fixture
def push(layout: LayoutRegistry) -> Iterator[None]:
    with layout.push_under_way("a-job"):
        yield


@pytest.mark.usefixtures("push")
async def test_blobs_of_a_push_under_way_stay(layout: LayoutRegistry) -> None:
    other = LayoutRegistry(layout.files.root)
    await land_blobs(layout, "team/app", ONE)
    found = prune(other)
    assert (found.blobs, found.freed_bytes) == (0, 0)
    assert found.in_use_bytes == sum(map(len, ONE.blobs.values()))
    await layout.push_manifest("team/app", "1", described(ONE))
    assert await is_whole(other, "team/app", ONE)


@pytest.mark.usefixtures("push")
async def test_children_stay_until_their_index_comes(layout: LayoutRegistry) -> None:
    for child in INDEX.children:
        await land(layout, "team/app", child)
        assert prune(LayoutRegistry(layout.files.root)).entries == ()
    await layout.push_manifest("team/app", "1", described(INDEX))
    for child in INDEX.children:
        assert await is_whole(layout, "team/app", child)


async def test_what_a_push_found_stays_until_it_ends(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", INDEX, "1")
    with layout.push_under_way("a-job"):
        assert await layout.find_manifest("team/app", "1")
        await land(layout, "team/app", ALONE, "1")
        assert prune(layout).freed_bytes == 0
        assert await is_whole(layout, "team/app", TWO)
    assert prune(layout).freed_bytes > 0
    assert stored(layout) == whole(ALONE)


async def test_a_blob_that_a_push_asked_for_stays(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE, "1")
    (blob, *_) = map(Digest.parse, ONE.blobs)
    with layout.push_under_way("a-job"):
        assert await layout.mount_blob("team/other", blob, "team/app")
        delete(layout, "team/app", "1")
        prune(layout)
        assert stored(layout) == {str(blob)}
    prune(layout)
    assert stored(layout) == set()


async def test_a_use_of_a_process_that_died_counts_no_more(layout: LayoutRegistry) -> None:
    with layout.push_under_way("a-job") as use:
        await land_blobs(layout, "team/app", ONE)
        assert use._file is not None
        fcntl.flock(use._file[1], fcntl.LOCK_UN)  # as the kernel does it
        prune(layout)
    assert stored(layout) == set()
    assert list((layout.files.root / ".uses").iterdir()) == []


async def test_a_push_may_end_while_a_prune_reads_what_is_in_use(
    layout: LayoutRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = type(layout.uses)._is_alive
    with layout.push_under_way("a-job") as use:
        await land(layout, "team/app", ONE, "1")

        def end_meanwhile(uses: Uses, path: Path) -> bool:
            found = alive(uses, path)
            use.close()
            return found

        monkeypatch.setattr(Uses, "_is_alive", end_meanwhile)
        assert prune(layout) == Collected()
    assert stored(layout) == whole(ONE)


async def test_what_a_client_has_not_pulled_yet_stays(layout: LayoutRegistry, clock: Clock) -> None:
    layout.uses = type(layout.uses)(layout.files.root, clock)
    await land(layout, "team/app", ONE, "1")
    assert await ServedLayout(layout).pull_manifest("team/app", "1", "a client") is not None
    delete(layout, "team/app", "1")
    assert stored(layout) == whole(ONE)
    for blob in map(Digest.parse, ONE.blobs):
        assert await ServedLayout(layout).pull_blob("team/app", blob, "a client") is not None
        await ServedLayout(layout).end_pull("team/app", blob, "a client")
    prune(layout)
    assert stored(layout) == set()


async def test_a_client_that_is_silent_for_long_pulls_no_more(layout: LayoutRegistry, clock: Clock) -> None:
    layout.uses = type(layout.uses)(layout.files.root, clock)
    await land(layout, "team/app", ONE, "1")
    await ServedLayout(layout).pull_manifest("team/app", "1", "a client")
    await land(layout, "team/app", ALONE, "1")
    clock.now += PULL_SECONDS / 2
    assert prune(layout).in_use_bytes
    clock.now += PULL_SECONDS
    prune(layout)
    assert stored(layout) == whole(ALONE)


async def test_a_client_reads_on_what_was_deleted_meanwhile_and_no_other_does(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE, "1")
    await ServedLayout(layout).pull_manifest("team/app", "1", "a client")
    delete(layout, "team/app", "1", ONE.digest)
    (blob, *_) = map(Digest.parse, ONE.blobs)
    assert await ServedLayout(layout).pull_blob("team/app", blob, "a client") == len(ONE.blobs[str(blob)])
    assert await ServedLayout(layout).pull_blob("team/app", blob, "another") is None
    assert await ServedLayout(layout).pull_blob("team/other", blob, "a client") is None


def test_half_a_line_of_a_use_is_ignored(layout: LayoutRegistry) -> None:
    path, descriptor = layout.uses.new_push_file()
    os.write(descriptor, f"B team/app {ONE.digest}\nB team/app sha256:".encode())
    assert layout.uses.read() == Needed(blobs=frozenset({("team/app", Digest.parse(ONE.digest))}))
    os.close(descriptor)
    assert layout.uses.read() == Needed()
    assert not path.exists()


# What else lies in the directory


async def test_what_entries_of_other_tools_lead_to_stays(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", INDEX, "1")
    index = layout.files.root / "index.json"
    index.write_bytes(index.read_bytes().replace(b"team/app:1", b"NO REPOSITORY"))
    assert await layout.repositories() == ["team/app"]  # the children
    prune(layout)
    assert stored(layout) == whole(INDEX)


async def test_files_of_writers_that_died_go(layout: LayoutRegistry) -> None:
    (layout.files.root / ".incoming" / "left").write_bytes(bytes(1000))
    assert prune(layout).freed_bytes == 1000


async def test_a_damaged_manifest_stops_a_prune_and_can_be_deleted(layout: LayoutRegistry) -> None:
    await land(layout, "team/app", ONE, "1")
    await land(layout, "team/app", ALONE, "2")
    fresh = LayoutRegistry(layout.files.root)
    fresh.files.blob_path(Digest.parse(ONE.digest)).write_bytes(b"{}")
    with pytest.raises(Exception, match="damaged"):
        prune(fresh, RetentionRule(keep_tags=0))
    assert await fresh.tags("team/app") == ["1", "2"]
    delete(fresh, "team/app", "1")
    prune(fresh)
    assert stored(fresh) == whole(ALONE)


async def test_entries_of_an_older_version_that_nothing_refers_to_stay(layout: LayoutRegistry) -> None:
    """An older version did not say which manifests had been pushed by their digests."""
    await land(layout, "team/app", INDEX, "1")
    await land(layout, "team/app", SIGNATURE)
    await land(layout, "team/app", ALONE)
    index = layout.files.root / "index.json"
    index.write_bytes(index.read_bytes().replace(b',"tarmac.by-digest":"false"', b""))
    fresh = LayoutRegistry(layout.files.root)
    assert prune(fresh) == Collected()
    delete(fresh, "team/app", "1")
    assert stored(fresh) == whole(ALONE)
