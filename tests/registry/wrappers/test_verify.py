"""Whether a registry has what it said it took, and what it wants its users to read."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from app.errors import RegistryDenied, RegistryLost
from app.net.backoff import TimeSource
from app.net.warnings import MAX_WARNINGS, add_notice, collect_warnings, record_warning_header
from app.oci import Descriptor, Digest, media_types
from app.registry.wrappers.verify import Verification, VerifyingRegistry
from tests.support.archives import OCI_MANIFEST, image, oci_image
from tests.support.fake_registry import FakeRegistry
from tests.support.lapse import Lapse

NODE = oci_image(image({"a": b"1"}), compression="gzip")
MANIFEST = (Descriptor(OCI_MANIFEST, Digest.parse(NODE.digest), len(NODE.raw)), NODE.raw)


class Forgetful(FakeRegistry):
    """Takes every manifest; keeps its tag for those who ask as often as `late` says."""

    def __init__(self, late: int = 0) -> None:
        super().__init__()
        self.late = late

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        self.late -= 1
        return MANIFEST[0].digest if self.late < 0 else None

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        self.calls.clear()
        return True


def proved(fake: FakeRegistry, how: Verification, pause: TimeSource | None = None) -> VerifyingRegistry:
    return VerifyingRegistry(fake, how, pause or Lapse().pause)


async def test_a_tag_that_is_there_costs_one_question() -> None:
    fake = Forgetful()
    assert await proved(fake, Verification.TAG).push_manifest("a", "1", MANIFEST)
    assert fake.late == -1


async def test_what_has_no_tag_is_not_asked_for() -> None:
    fake = Forgetful()
    await proved(fake, Verification.TAG).push_manifest("a", str(MANIFEST[0].digest), MANIFEST)
    await proved(fake, Verification.NONE).push_manifest("a", "1", MANIFEST)
    assert fake.late == 0


async def test_a_tag_that_is_listed_late_is_waited_for_once() -> None:
    lapse = Lapse(seed=None)
    await proved(Forgetful(late=1), Verification.TAG, lapse.pause).push_manifest("a", "1", MANIFEST)
    assert lapse.waits == [1.0]
    with pytest.raises(RegistryLost, match="nothing is there"):
        await proved(Forgetful(late=9), Verification.TAG).push_manifest("a", "1", MANIFEST)


async def test_a_tag_that_leads_elsewhere_is_told() -> None:
    class Stubborn(Forgetful):
        async def find_manifest(self, repository: str, reference: str) -> Digest | None:
            return Digest.of(b"other")

    with pytest.raises(RegistryLost, match=str(Digest.of(b"other"))):
        await proved(Stubborn(), Verification.TAG).push_manifest("a", "1", MANIFEST)


async def test_a_tag_is_compared_by_the_algorithm_that_the_registry_has() -> None:
    class Other(Forgetful):
        said = Digest("sha512", hashlib.sha512(NODE.raw).hexdigest())

        async def find_manifest(self, repository: str, reference: str) -> Digest | None:
            return self.said

    fake = Other()
    assert await proved(fake, Verification.TAG).push_manifest("a", "1", MANIFEST)
    fake.said = Digest("sha512", "0" * 128)
    with pytest.raises(RegistryLost, match=str(fake.said)):
        await proved(fake, Verification.TAG).push_manifest("a", "1", MANIFEST)


async def test_an_account_that_may_not_read_is_no_failure() -> None:
    class Blind(Forgetful):
        async def find_manifest(self, repository: str, reference: str) -> Digest | None:
            raise RegistryDenied("push only")

    told: list[str] = []
    with collect_warnings(told.append):
        await proved(Blind(), Verification.TAG).push_manifest("a", "1", MANIFEST)
    assert told == ["a:1 was pushed and cannot be verified: push only"]


async def test_every_blob_is_asked_for_where_that_is_wanted() -> None:
    with pytest.raises(RegistryLost) as lost:
        await proved(Forgetful(), Verification.BLOBS).push_manifest("a", "1", MANIFEST)
    assert len(lost.value.blobs) == 2
    index = Descriptor(media_types.OCI_INDEX, Digest.of(b"{"), 1)
    fake = Forgetful()
    await proved(fake, Verification.BLOBS).push_manifest("a", str(index.digest), (index, b"{"))
    assert fake.count("blob_exists") == 0


async def test_a_warning_is_told_once_to_each_job() -> None:
    one, two = list[str](), list[str]()

    async def job(told: list[str]) -> None:
        with collect_warnings(told.append):
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(speak())

    async def speak() -> None:
        record_warning_header("r.local", ['299 - "moves \\"soon\\"", 299 - "closes"', '110 - "stale"'])

    await asyncio.gather(job(one), job(two))
    assert one == two == ['r.local warns: moves "soon"', "r.local warns: closes"]
    await speak()
    add_notice("to nobody")
    assert len(one) == 2


async def test_a_registry_cannot_flood_a_job_with_warnings() -> None:
    told: list[str] = []
    with collect_warnings(told.append):
        record_warning_header("r", [f'299 - "number {number}"' for number in range(100)])
        record_warning_header("r", ['299 - "' + "x" * 10_000 + '"', "299 -", 'nonsense "', '299 - "\x1b[2J"'])
    assert len(told) == MAX_WARNINGS
