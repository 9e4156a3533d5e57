"""The process is killed at each step of a change of the image store. Every image that is listed is whole afterwards,
and the next prune leaves no byte that nothing refers to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.oci import Digest
from app.registry.oci_layout.collection import Collector, Scope
from app.registry.oci_layout.reachability import RetentionRule
from app.registry.oci_layout.registry import LayoutRegistry
from tests.crash.forked import in_a_process
from tests.crash.killed_at import Stage, arm
from tests.registry.oci_layout.landing import land
from tests.support.archives import Node, image, oci_artifact, oci_image, oci_index

BASE = {"base": b"shared" * 1000}
KEPT = oci_image(image(BASE, {"bin/app": b"kept"}))
MOVED = oci_index([oci_image(image(BASE, {"bin/app": b"moved"})), oci_image(image({"other": b"moved"}))])
LATER = oci_index([oci_image(image(BASE, {"bin/app": b"later"})), KEPT])
SIGNATURE = oci_artifact(b"a signature", subject=MOVED)
FILES = "app.registry.oci_layout.files:"
STAGES = {
    "entries are written": Stage(f"{FILES}LayoutFiles.replace_index"),
    "entries have their name": Stage(f"{FILES}sync_directory", call=3),
    "the first blob is deleted": Stage(f"{FILES}LayoutFiles.delete_blob"),
    "the second blob is deleted": Stage(f"{FILES}LayoutFiles.delete_blob", call=2),
    "the last blob is deleted": Stage(f"{FILES}LayoutFiles.delete_blob", call=7),
}
PUSHED = {
    "a blob is written": Stage(f"{FILES}IncomingFile.write"),
    "a blob gets its name": Stage(f"{FILES}IncomingFile.rename"),
    "a manifest gets its name": Stage(f"{FILES}IncomingFile.rename", call=4),
    "the first entry is written": Stage(f"{FILES}LayoutFiles.replace_index"),
    "the tag is written": Stage(f"{FILES}LayoutFiles.replace_index", call=3),
}


def whole(*nodes: Node) -> set[str]:
    return {digest for node in nodes for digest in node.content}


async def fill(root: Path) -> None:
    layout = LayoutRegistry(root)
    await land(layout, "team/app", KEPT, "kept")
    await land(layout, "team/app", MOVED, "1")
    await land(layout, "team/app", SIGNATURE)


async def prune(root: Path, stage: str) -> None:
    layout = LayoutRegistry(root)
    await land(layout, "team/app", KEPT, "1")
    arm(STAGES[stage])
    Collector(layout, lambda: 0.0).prune(RetentionRule(), Scope(lambda _: True, is_whole=True))


async def delete(root: Path, stage: str) -> None:
    layout = LayoutRegistry(root)
    arm(STAGES[stage])
    Collector(layout, lambda: 0.0).delete("team/app", lambda _: ("1",))


async def push(root: Path, stage: str) -> None:
    layout = LayoutRegistry(root)
    with layout.push_under_way("a-job"):
        arm(PUSHED[stage])
        await land(layout, "team/new", LATER, "1")


async def check_listed(root: Path) -> LayoutRegistry:
    """Assert that all that is listed can be read."""
    layout = LayoutRegistry(root)
    for repository in await layout.repositories():
        for tag in await layout.tags(repository) or ():
            stored = await layout.read_manifest(repository, tag)
            assert stored is not None
            root_entry = layout.index().find(repository, tag)
            assert root_entry is not None
            for _, digest in layout.needed(repository, root_entry).blobs:
                size = await layout.blob_size(repository, digest)
                assert size is not None
                assert Digest.of(await layout.read_blob(digest, 0, size)) == digest
    return layout


def left(layout: LayoutRegistry) -> set[str]:
    """What is in the store after a prune."""
    found = Collector(layout, lambda: 0.0).prune(RetentionRule(), Scope(lambda _: True, is_whole=True))
    assert found.in_use_bytes == 0
    assert list((layout.files.root / ".incoming").iterdir()) == []
    return {str(digest) for digest, _ in layout.files.blobs()}


@pytest.mark.parametrize("work", [prune, delete], ids=["prune", "delete"])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_kill_while_images_are_deleted_breaks_none_and_leaves_nothing(
    tmp_path: Path, work: Callable[[Path, str], Coroutine[Any, Any, None]], stage: str
) -> None:
    root = tmp_path / "images"
    await fill(root)
    assert in_a_process(partial(work, root, stage), tmp_path / "log") == -signal.SIGKILL
    layout = await check_listed(root)
    tags = await layout.tags("team/app") or []
    assert "kept" in tags
    is_there = await layout.find_manifest("team/app", "1") == Digest.parse(MOVED.digest)
    assert left(layout) == (whole(KEPT, MOVED, SIGNATURE) if is_there else whole(KEPT))


@pytest.mark.parametrize("stage", PUSHED)
async def test_a_kill_while_an_image_is_pushed_leaves_nothing_after_a_prune(tmp_path: Path, stage: str) -> None:
    root = tmp_path / "images"
    await fill(root)
    assert in_a_process(partial(push, root, stage), tmp_path / "log") == -signal.SIGKILL
    layout = await check_listed(root)
    assert await layout.find_manifest("team/new", "1") is None
    assert left(layout) == whole(KEPT, MOVED, SIGNATURE)
    await land(layout, "team/new", LATER, "1")
    assert left(layout) == whole(KEPT, MOVED, SIGNATURE, LATER)
