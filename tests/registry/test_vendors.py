"""Whole pushes, by Tarmac's core, to each vendor's registry as it behaves on the wire: every kind of archive for the
first time, again and to a second repository, and what is reported if the vendor refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import RegistryAuth
from app.push import ImageState
from app.registry.auth import FixedCredentials
from tests.push.given import Run
from tests.registry.vendors import VENDORS
from tests.registry.vendors.kinds import Kind, app, content, kinds
from tests.registry.vendors.pushing import Ground, kind_of, opened
from tests.registry.vendors.vendor import GUEST, STRANGER, Fault, Vendor
from tests.support.archives import entry, image, oci_image, oci_layout

ROOT = Path(__file__).parents[2]
FRAMEWORK = {"__init__", "kinds", "pushing", "vendor"}
CLOSED = ("PUT", "upload")
LARGE = oci_layout([entry(oci_image(image({"data": content("large", 800_000)})), ref="example.com/app:1")])
ONE = oci_layout([entry(oci_image(app("one")), ref="example.com/app:1")])
OTHER = oci_layout([entry(oci_image(app("other")), ref="example.com/app:1")])


PAIRS = [(vendor, kind) for vendor in VENDORS for kind in kinds()]


def pairs(*, taken: bool) -> list[object]:
    """Vendors with the kinds of archives that they take, or do not take."""
    found = [(vendor, kind) for vendor, kind in PAIRS if (kind.name in vendor.refuses) != taken]
    return [pytest.param(vendor, kind, id=f"{vendor.__name__}-{kind.name}") for vendor, kind in found]


EVERY_VENDOR = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.__name__)
TAKEN = pytest.mark.parametrize(("vendor", "kind"), pairs(taken=True))
REFUSED = pytest.mark.parametrize(("vendor", "kind"), pairs(taken=False))


@pytest.fixture
async def ground(vendor: type[Vendor]) -> AsyncIterator[Ground]:
    async with opened(vendor()) as running:
        yield running
        assert [seen.target for seen in running.seen if "cookie" in seen.headers] == []


def states(run: Run) -> set[ImageState]:
    problems = [run.last(number).problem for number in range(len(run.plan.images))]
    assert not any(problems), problems
    return set(run.states)


def check_refused(run: Run, ground: Ground, fault: Fault | Kind) -> None:
    """The first image's problem."""
    vendor = ground.vendor
    expected = vendor.expected[fault] if isinstance(fault, Fault) else vendor.refuses[fault.name]
    problem = run.problem()
    assert (problem.code, problem.retryable) == (expected.code, expected.retryable), problem
    assert expected.words in problem.detail, problem


async def check_landed(ground: Ground, kind: Kind, home: str | None = None) -> None:
    """Every name leads to the archive's digest, and all below it can be read back."""
    for name, digest in kind.digests.items():
        repository, _, tag = name.rpartition(":")
        found = await ground.pull(f"{home or ground.vendor.home}/{repository}", tag)
        assert digest in {None, found[0]}
        for referrer in kind.referrers:
            await ground.pull(f"{home or ground.vendor.home}/{repository}", referrer)


def unauthorized(ground: Ground) -> list[str]:
    """Paths that the registry was asked for without any authorization, besides the ping."""
    asked = [seen for seen in ground.servers[0].requests if "authorization" not in seen.headers]
    return [seen.path for seen in asked if seen.path != "/v2/"]


def sent(ground: Ground) -> list[int]:
    """The sizes of the blobs whose sessions were closed since the last mark."""
    return [ground.vendor.size_of(seen.target) for seen in ground.since if (seen.method, kind_of(seen)) == CLOSED]


@TAKEN
async def test_a_push_sends_each_blob_once_again_nothing_and_elsewhere_mounts(ground: Ground, kind: Kind) -> None:
    """All can be pulled from both repositories."""
    vendor = ground.vendor
    run = await ground.push(kind.tar)
    assert states(run) == {ImageState.PUSHED}
    assert len(sent(ground)) == len(run.plan.blobs) or not vendor.manners.mounts
    assert vendor.sessions == {}
    await check_landed(ground, kind)
    ground.mark()
    assert states(await ground.push(kind.tar)) == {ImageState.ALREADY_PRESENT}
    written = {request for request in ground.counted() if request[0] not in {"GET", "HEAD"}}
    assert written <= ({("PUT", "manifest")} if kind.referrers else set())  # whether they are listed is not known
    ground.mark()
    assert states(await ground.push(kind.tar, home=vendor.second)) == {ImageState.PUSHED}
    assert sent(ground) == [] or not vendor.manners.mounts
    assert vendor.sessions == {}
    await check_landed(ground, kind, vendor.second)
    assert unauthorized(ground) == []


@EVERY_VENDOR
async def test_a_connection_that_breaks_in_the_middle_of_a_blob_costs_one_blob_at_most(ground: Ground) -> None:
    """Whatever the registry says of what its session holds: Quay and Gitea say one byte more."""
    ground.cut = 400_000
    assert states(await ground.push(LARGE)) == {ImageState.PUSHED}
    assert not all(seen.complete for seen in ground.since)
    assert ground.payload() <= 2_100_000  # the blob, the rest that a vendor without chunks refuses, the blob
    assert ground.vendor.sessions == {} or not ground.vendor.ends_sessions
    await ground.pull(f"{ground.vendor.home}/app", "1")


@REFUSED
async def test_an_archive_that_the_vendor_does_not_take_is_refused_at_once(ground: Ground, kind: Kind) -> None:
    """Without waiting, and without sending its blobs again and again."""
    run = await ground.push(kind.tar)
    check_refused(run, ground, kind)
    assert ground.lapse.waits == []
    assert max(Counter(seen.target for seen in ground.since if seen.method == "PUT").values(), default=0) <= 1
    blobs = {step.key: step.extent.size for step in run.plan.blobs}
    assert ground.payload() <= 2 * sum(blobs.values())


def test_every_fault_is_expected_or_does_not_exist_there() -> None:
    for vendor in VENDORS:
        assert set(vendor.expected).isdisjoint(vendor.absent), vendor.name
        assert set(vendor.expected) | set(vendor.absent) == set(Fault), vendor.name


@EVERY_VENDOR
async def test_a_wrong_password_is_reported_as_one(ground: Ground) -> None:
    run = await ground.push(ONE, credentials=FixedCredentials(STRANGER))
    check_refused(run, ground, Fault.WRONG_CREDENTIALS)
    assert ground.lapse.waits == []


@EVERY_VENDOR
async def test_a_check_says_whether_the_credentials_are_accepted(ground: Ground) -> None:
    found = await ground.check()
    assert (found.authentication, found.authenticated) == (ground.vendor.manners.auth, True)
    with pytest.raises(RegistryAuth):
        await ground.check(FixedCredentials(STRANGER))


@EVERY_VENDOR
async def test_an_account_without_the_right_to_push_is_told_so(ground: Ground) -> None:
    run = await ground.push(ONE, credentials=ground.vendor.credentials(GUEST))
    check_refused(run, ground, Fault.NO_RIGHTS)
    assert ground.lapse.waits == []


@EVERY_VENDOR
async def test_a_quota_ends_the_image_and_leaves_no_session(ground: Ground) -> None:
    ground.vendor.impose(Fault.QUOTA)
    run = await ground.push(ONE)
    if Fault.QUOTA in ground.vendor.absent:
        assert states(run) == {ImageState.PUSHED}
        return
    check_refused(run, ground, Fault.QUOTA)
    assert ground.vendor.sessions == {} or not ground.vendor.ends_sessions


@EVERY_VENDOR
async def test_a_tag_that_may_not_move_stays(ground: Ground) -> None:
    await ground.push(ONE)
    ground.vendor.impose(Fault.IMMUTABLE)
    run = await ground.push(OTHER)
    if Fault.IMMUTABLE in ground.vendor.absent:
        assert states(run) == {ImageState.PUSHED}
        return
    check_refused(run, ground, Fault.IMMUTABLE)
    assert states(await ground.push(ONE)) == {ImageState.ALREADY_PRESENT}


@EVERY_VENDOR
async def test_a_registry_that_takes_no_pushes_now_says_so(ground: Ground) -> None:
    ground.vendor.impose(Fault.READ_ONLY)
    run = await ground.push(ONE)
    if Fault.READ_ONLY in ground.vendor.absent:
        assert states(run) == {ImageState.PUSHED}
        return
    check_refused(run, ground, Fault.READ_ONLY)


@EVERY_VENDOR
async def test_a_project_that_does_not_exist_is_named(ground: Ground) -> None:
    run = await ground.push(ONE, home=ground.vendor.elsewhere)
    if Fault.MISSING_PROJECT in ground.vendor.absent:
        assert states(run) == {ImageState.PUSHED}
        return
    check_refused(run, ground, Fault.MISSING_PROJECT)
    assert ground.lapse.waits == []


@EVERY_VENDOR
async def test_a_rate_limit_is_waited_for(ground: Ground) -> None:
    ground.vendor.impose(Fault.RATE_LIMIT)
    assert states(await ground.push(ONE)) == {ImageState.PUSHED}
    if Fault.RATE_LIMIT in ground.vendor.expected:
        assert ground.lapse.now >= ground.vendor.retry_after


def test_every_vendor_has_its_row_in_the_documentation() -> None:
    """And every module of the folder is listed."""
    text = (ROOT / "app" / "docs" / "registries.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    documented = {name: (read, holds) for name, read, holds in (row for row in rows if len(row) == 3)}
    for vendor in VENDORS:
        read, holds = documented[vendor.name]
        assert read == vendor.sources
        assert holds
    files = {file.stem for file in (ROOT / "tests" / "registry" / "vendors").glob("*.py")}
    assert files - FRAMEWORK == {vendor.__module__.rpartition(".")[2] for vendor in VENDORS}
