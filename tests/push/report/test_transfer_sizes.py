"""What each image of an archive takes, before and after the registry was asked."""

from __future__ import annotations

import json
from dataclasses import replace

from app.archive import Archive, open_archive
from app.push import Destination, Event, PushOptions, dry_run, execute, make_plan
from app.push.report.inspection import inspect, with_registry_state
from app.push.report.transfer_sizes import TransferSize, transfer_sizes
from tests.support.archives import Node, entry, image, oci_image, oci_layout
from tests.support.fake_registry import FakeRegistry
from tests.support.opening import Memory, taken_in

SHARED = {"etc/shared": b"s" * 5000}
FIRST = oci_image(image(SHARED, {"a": b"1" * 100}))
SECOND = oci_image(image(SHARED, {"b": b"2" * 200}))
BOTH = oci_layout([entry(FIRST, ref="a.b/first:1"), entry(SECOND, ref="a.b/second:1")])


def sizes(node: Node) -> dict[str, int]:
    document = json.loads(node.raw)
    return {item["digest"]: item["size"] for item in (document["config"], *document["layers"])}


ALL = sum(sizes(FIRST).values())
REST = sum(size for digest, size in sizes(SECOND).items() if digest not in sizes(FIRST))


def opened(data: bytes) -> tuple[Archive, Memory]:
    index, source = taken_in(data)
    return open_archive(index, source), source


def test_what_images_share_counts_for_the_first() -> None:
    archive, source = opened(BOTH)
    assert transfer_sizes(archive) == (TransferSize(ALL), TransferSize(REST))
    told = inspect(archive, source)
    assert (told["to_send"], told["at_registry"]) == (ALL + REST, None)


def test_an_image_that_lacks_something_has_no_sum() -> None:
    lacking = replace(opened(BOTH)[0], blobs={})
    assert transfer_sizes(lacking) == (TransferSize(), TransferSize())


async def test_after_the_registry_was_asked_it_is_told_what_is_there() -> None:
    archive, source = opened(BOTH)
    registry = FakeRegistry()
    only, file = opened(oci_layout([entry(FIRST, ref="a.b/first:1")]))
    events: list[Event] = []
    await execute(make_plan([only], PushOptions(), Destination("r", "r.example")), [file], registry, events.append)
    plan = make_plan([archive], PushOptions(), Destination("r", "r.example"))
    found = await dry_run(plan, [source], registry, events.append)
    there = sum(sizes(SECOND).values()) - REST
    assert found == (TransferSize(0, ALL), TransferSize(REST, there))
    (told,) = with_registry_state([inspect(archive, source)], plan, found)
    assert (told["to_send"], told["at_registry"]) == (REST, ALL + there)
    assert [item["at_registry"] for item in told["images"]] == [ALL, there]
