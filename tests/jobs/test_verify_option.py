"""The option `verify`: what one push wants proved, whatever the registry's settings say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import RegistryLost
from app.jobs import JobState
from app.oci import Digest
from app.push import PushOptions
from app.registry import StoredManifest
from app.registry.wrappers.verify import Verification, VerifyingRegistry, with_verification
from tests.jobs.bench import REQUEST, Bench, ended, upload
from tests.support.fake_registry import FakeRegistry
from tests.support.lapse import Lapse


class Losing(FakeRegistry):
    """Takes every manifest, and then has none."""

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        return None

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return None


@pytest.mark.parametrize(
    ("setting", "option", "found_out"),
    [
        ("tag", None, True),
        ("tag", "none", False),
        ("none", None, False),
        ("none", "tag", True),
        ("none", "blobs", True),
    ],
)
async def test_the_option_goes_before_the_registry_s_setting(
    bench: Bench, setting: str, option: str | None, found_out: bool
) -> None:
    bench.registry = VerifyingRegistry(Losing(), Verification(setting), Lapse().pause)  # type: ignore[assignment]
    async with bench.service() as service:
        options = PushOptions.parse({"verify": [option]} if option else {})
        job = await ended(service, await upload(service, request=replace(REQUEST, options=options)))
    problems = {image.problem.code for image in job.images if image.problem}
    assert (job.state, problems) == (
        (JobState.FAILED, {RegistryLost.code}) if found_out else (JobState.SUCCEEDED, set())
    )


@pytest.mark.parametrize("wanted", [None, Verification.NONE, Verification.TAG])
def test_a_destination_that_needs_no_proof_is_used_as_it_is(wanted: Verification | None) -> None:
    fake = FakeRegistry()
    assert with_verification(fake, wanted) is fake
