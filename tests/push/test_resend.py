"""An image whose content the registry took and has lost is sent again, and not for ever."""

from __future__ import annotations

import pytest

from app.errors import RegistryError, RegistryLost, RegistryRejected
from app.oci import Descriptor, Digest
from app.push import Event, ImageChanged, execute
from tests.push.given import Memory, planned
from tests.support.archives import entry, image, oci_image, oci_layout
from tests.support.fake_registry import FakeRegistry

NODE = oci_image(image({"a": b"1"}, {"b": b"2"}), compression="gzip")
TAR = oci_layout([entry(NODE, ref="team/app:1"), entry(NODE, ref="team/two:1")])


class Losing(FakeRegistry):
    """Meets the first manifests with `errors`; of the blobs these name none is left then."""

    def __init__(self, *errors: RegistryError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        if self.errors:
            error = self.errors.pop(0)
            named = getattr(error, "missing", ()) or getattr(error, "blobs", ())
            for digest in named:
                self.blobs.pop((repository, Digest.parse(digest)), None)
            raise error
        return await super().push_manifest(repository, reference, manifest)


def blobs() -> list[str]:
    return [str(step.key) for step in planned(TAR).blobs]


async def pushed(registry: FakeRegistry) -> ImageChanged:
    events: list[Event] = []
    await execute(planned(TAR), [Memory(TAR)], registry, events.append)
    return [event for event in events if isinstance(event, ImageChanged)][-1]


@pytest.mark.parametrize("count", [1, 2])
async def test_blobs_that_are_named_as_missing_are_sent_again_without_asking(count: int) -> None:
    lost = tuple(blobs()[:count])
    registry = Losing(RegistryRejected("lost", missing=lost))
    ended = await pushed(registry)
    assert ended.state == "pushed"
    assert (
        registry.count("push_blob") == len(blobs()) + 2 * count
    )  # at both repositories: which has lost it is not said
    assert registry.manifest("team/two", "1") == NODE.raw


async def test_a_manifest_that_is_lost_is_stored_again() -> None:
    registry = Losing(RegistryLost("gone"))
    assert (await pushed(registry)).state == "pushed"
    assert registry.count("push_blob") == len(blobs())


async def test_a_registry_that_keeps_nothing_is_given_up() -> None:
    registry = Losing(*(RegistryLost("gone", blobs=tuple(blobs())) for _ in range(9)))
    ended = await pushed(registry)
    assert ended.problem is not None
    assert ended.problem.code == "registry_lost"
    assert len(registry.errors) == 6


async def test_what_this_push_did_not_bring_is_not_sent_again() -> None:
    registry = Losing(RegistryRejected("a child is missing", missing=(str(Digest.of(b"child")),)))
    ended = await pushed(registry)
    assert ended.problem is not None
    assert ended.problem.detail == "a child is missing"
    assert registry.count("push_blob") == len(blobs())
