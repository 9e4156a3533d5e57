"""An image whose content the registry took and has lost is sent again, and not for ever."""

from __future__ import annotations

import pytest

from app.errors import RegistryError, RegistryLost, RegistryRejected
from app.oci import Descriptor, Digest, parse_manifest
from app.push import Event, ImageChanged, ImageState, execute
from app.registry import BlobContent
from app.registry.uploads.spare_session import SpareSession
from tests.push.given import Memory, planned
from tests.push.given import pushed as landed
from tests.support.archives import entry, image, image_of, oci_image, oci_layout
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
    assert len(registry.errors) == 7, "it is sent again once"


async def test_what_this_push_did_not_bring_is_not_sent_again() -> None:
    registry = Losing(RegistryRejected("a child is missing", missing=(str(Digest.of(b"child")),)))
    ended = await pushed(registry)
    assert ended.problem is not None
    assert ended.problem.detail == "a child is missing"
    assert registry.count("push_blob") == len(blobs())


class Liar(FakeRegistry):
    """Answers 201 to the blobs in `never` and stores none of them; `heals`: from which sending on it does. Names them
    as missing when it is given a manifest, or, with `by_proof`, when it is asked about the manifest it took."""

    def __init__(self, *never: str, heals: int = 99, by_proof: bool = False) -> None:
        super().__init__()
        self.never, self.heals, self.by_proof = frozenset(never), heals, by_proof
        self.sent: dict[tuple[str, str], int] = {}

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        blob = await super().push_blob(repository, content)
        place = (repository, str(blob[0]))
        self.sent[place] = self.sent.get(place, 0) + 1
        if place[1] in self.never and self.sent[place] < self.heals:
            del self.blobs[repository, blob[0]]
        return blob

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        return False

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        blobs = {blob.digest for blob in parse_manifest(manifest[1], manifest[0]).blobs}
        missing = tuple(str(digest) for digest in blobs if (repository, digest) not in self.blobs)
        if missing and self.by_proof:
            raise RegistryLost(f"lost: {missing}", blobs=missing)
        if missing:
            raise RegistryRejected("MANIFEST_BLOB_UNKNOWN", missing=missing)
        return await super().push_manifest(repository, reference, manifest)


COMMON = b"what all of them have"
SEVERAL = tuple(oci_image(image_of((COMMON, b"own %d" % number)), compression="none") for number in range(8))
SHARED = str(Digest.of(COMMON))


def fleet(repositories: int) -> bytes:
    return oci_layout(
        [entry(node, ref=f"team/app{number % repositories}:{number}") for number, node in enumerate(SEVERAL)]
    )


@pytest.mark.parametrize("by_proof", [False, True])
@pytest.mark.parametrize("repositories", [1, 2, 8])
async def test_a_blob_that_is_never_stored_ends_every_image_that_waits_for_it(
    repositories: int, by_proof: bool
) -> None:
    registry = Liar(SHARED, by_proof=by_proof)
    run = await landed(registry, fleet(repositories))
    assert run.states == [ImageState.FAILED] * len(SEVERAL)
    assert {run.problem(number).code for number in range(len(SEVERAL))} == {"registry_lost"}
    assert [count for (_, digest), count in registry.sent.items() if digest == SHARED] == [2] * repositories
    assert SHARED in run.problem().detail


@pytest.mark.parametrize("by_proof", [False, True])
@pytest.mark.parametrize("repositories", [1, 2, 8])
async def test_a_blob_that_is_stored_when_it_is_sent_again_ends_no_image(repositories: int, by_proof: bool) -> None:
    registry = Liar(SHARED, heals=2, by_proof=by_proof)
    run = await landed(registry, fleet(repositories))
    assert run.states == [ImageState.PUSHED] * len(SEVERAL)
    assert [count for (_, digest), count in registry.sent.items() if digest == SHARED] == [2] * repositories
    assert [count for (_, digest), count in registry.sent.items() if digest != SHARED] == [1] * len(SEVERAL) * 2
    assert run.progress.percent == 100.0


async def test_a_blob_of_one_image_that_is_never_stored_leaves_the_others_alone() -> None:
    own = SEVERAL[3]
    (layer,) = (str(Digest.of(data)) for data in own.blobs.values() if data == b"own 3")
    run = await landed(Liar(layer), fleet(1))
    assert [number for number, state in enumerate(run.states) if state is not ImageState.PUSHED] == [3]
    assert run.problem(3).code == "registry_lost"


async def test_blobs_that_are_named_as_missing_one_by_one_are_each_sent_again() -> None:
    class OneByOne(Liar):
        async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
            try:
                return await super().push_manifest(repository, reference, manifest)
            except RegistryRejected as error:
                raise RegistryRejected("MANIFEST_BLOB_UNKNOWN", missing=error.missing[:1]) from None

    tar = fleet(1)
    keys = [str(step.key) for step in planned(tar).blobs]
    registry = OneByOne(*keys, heals=2)
    run = await landed(registry, tar)
    assert run.states == [ImageState.PUSHED] * len(SEVERAL)
    assert set(registry.sent.values()) == {2}
