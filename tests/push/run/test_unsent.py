"""Images that are present or skipped are not sent, and are verified all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.push import ImageState, dry_run, execute
from tests.push.given import Run, prepared, pushed
from tests.support.archives import (
    Node,
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    tagged,
)
from tests.support.fake_registry import FakeRegistry

SAMPLE = image({"bin/app": b"one" * 3000}, {"etc/app": b"two" * 3000})
APP, OTHER = tagged(SAMPLE, "example.com/app:1"), tagged(image({"x": b"other"}), "example.com/app:1")
NODE = oci_image(SAMPLE)
CHILD = oci_image(image({"x": b"arm" * 3000}), platform="linux/arm64")
INDEX = oci_index([NODE, CHILD])
SIGNATURE = oci_artifact(b"signature" * 100, subject=NODE)


def layout(*nodes: Node) -> bytes:
    first, *more = nodes
    return oci_layout([entry(first, ref="example.com/app:1"), *map(entry, more)])


def layer_of(node: Node, number: int = -1) -> bytes:
    return tuple(node.blobs.values())[number]


def config_of(node: Node) -> bytes:
    return next(iter(node.blobs.values()))


ARCHIVES = {
    "docker": docker_save([APP]),
    "docker in gzip": docker_save([APP], compress="gzip"),
    "oci": layout(NODE),
    "plain oci": layout(oci_image(SAMPLE, compression="none")),
    "index": layout(INDEX),
    "referrer": layout(NODE, SIGNATURE),
}
CONFIGS = {
    "oci": (layout(NODE), config_of(NODE)),
    "index": (layout(INDEX), config_of(CHILD)),
    "artifact": (layout(SIGNATURE), config_of(SIGNATURE)),
    "referrer": (layout(NODE, SIGNATURE), config_of(SIGNATURE)),
}
LAYERS = {
    "docker": (ARCHIVES["docker"], SAMPLE.layers[0]),
    "oci": (layout(NODE), layer_of(NODE)),
    "index": (layout(INDEX), layer_of(CHILD)),
    "referrer": (layout(NODE, SIGNATURE), layer_of(SIGNATURE)),
}


def damaged(archive: bytes, content: bytes) -> bytes:
    """With another last byte of that content."""
    place = archive.index(content) + len(content) - 1
    return archive[:place] + bytes([archive[place] ^ 1]) + archive[place + 1 :]


async def present(archive: bytes) -> tuple[FakeRegistry, str]:
    registry = FakeRegistry()
    await pushed(registry, archive)
    return registry, "overwrite"


async def skipped(_: bytes) -> tuple[FakeRegistry, str]:
    registry = FakeRegistry()
    await pushed(registry, docker_save([OTHER]))
    return registry, "skip"


Ground = Callable[[bytes], object]
GROUNDS = {ImageState.ALREADY_PRESENT: present, ImageState.SKIPPED: skipped}


async def again(whole: bytes, archive: bytes, state: ImageState, *, layers: bool, dry: bool = False) -> Run:
    registry, on_existing_tag = await GROUNDS[state](whole)
    run = prepared(archive, on_existing_tag=on_existing_tag)
    run.plan = replace(run.plan, verify_layers=layers)
    await (dry_run if dry else execute)(run.plan, run.sources, registry, run.events.append)
    return run


@pytest.mark.parametrize("state", GROUNDS)
@pytest.mark.parametrize("layers", [True, False])
@pytest.mark.parametrize("kind", ARCHIVES)
async def test_what_is_whole_stays_what_it_is(kind: str, layers: bool, state: ImageState) -> None:
    run = await again(ARCHIVES[kind], ARCHIVES[kind], state, layers=layers)
    assert run.states == [state] * len(run.plan.images)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("state", GROUNDS)
@pytest.mark.parametrize("layers", [True, False])
@pytest.mark.parametrize("kind", CONFIGS)
async def test_a_damaged_config_fails_the_image(kind: str, layers: bool, state: ImageState, dry: bool) -> None:
    whole, config = CONFIGS[kind]
    run = await again(whole, damaged(whole, config), state, layers=layers, dry=dry)
    assert run.states == [ImageState.FAILED]
    assert run.problem().code == "digest_mismatch"


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("state", GROUNDS)
@pytest.mark.parametrize("kind", LAYERS)
async def test_a_damaged_layer_fails_the_image_where_layers_are_read(kind: str, state: ImageState, dry: bool) -> None:
    whole, layer = LAYERS[kind]
    run = await again(whole, damaged(whole, layer), state, layers=True, dry=dry)
    assert run.states == [ImageState.FAILED]
    assert run.problem().code == "digest_mismatch"
    run = await again(whole, damaged(whole, layer), state, layers=False, dry=dry)
    assert run.states == [state]


async def test_a_damaged_image_ends_alone() -> None:
    two = [tagged(image({"x": b"%d" % n * 3000}, label=str(n)), f"example.com/app{n}:1") for n in range(2)]
    whole = docker_save(two)
    run = await again(whole, damaged(whole, two[1].layers[0]), ImageState.ALREADY_PRESENT, layers=True)
    assert run.states == [ImageState.ALREADY_PRESENT, ImageState.FAILED]


async def test_what_images_share_is_read_once() -> None:
    base = {"base": b"base" * 100_000}
    archive = docker_save([tagged(image(base, {"x": b"%d" % n}), f"example.com/app{n}:1") for n in range(5)])
    run = await again(archive, archive, ImageState.ALREADY_PRESENT, layers=True)
    assert run.states == [ImageState.ALREADY_PRESENT] * 5
    assert run.sources[0].bytes_read <= len(archive)


async def test_what_is_sent_is_not_read_twice() -> None:
    archive = ARCHIVES["docker"]
    runs = [prepared(archive) for _ in range(2)]
    for run, layers in zip(runs, (True, False), strict=True):
        await execute(replace(run.plan, verify_layers=layers), run.sources, FakeRegistry(), run.events.append)
        assert run.states == [ImageState.PUSHED]
    assert runs[0].sources[0].bytes_read == runs[1].sources[0].bytes_read
