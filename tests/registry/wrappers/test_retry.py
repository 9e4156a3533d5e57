from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app.errors import (
    DigestMismatch,
    Failure,
    RegistryAuth,
    RegistryError,
    RegistryFault,
    RegistryLost,
    RegistryRateLimited,
    RegistryUnreachable,
    TarmacError,
)
from app.net.retry_observer import observe_retries
from app.oci import Descriptor, Digest
from app.registry import BlobContent, StoredManifest
from app.registry.distribution.classification import PROBATION_SECONDS, TABLE, Again, Verdict
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.wrappers.retry import DEFAULT_POLICY, REMEMBERED_SECONDS, RetryingRegistry, RetryPolicy, TimeSource
from tests.support.blob_content import BytesContent, UndecidedContent
from tests.support.lapse import Lapse

DIGEST = Digest.of(b"x")
MANIFEST = (Descriptor("application/x", DIGEST, 1), b"x")


class Flaky:
    """Fails with `errors` in order, then works."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls: list[str] = []

    def _meet(self, verb: str) -> None:
        self.calls.append(verb)
        if self.errors:
            raise self.errors.pop(0)

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        self._meet("blob_exists")
        return True

    async def mount_blob(
        self, repository: str, digest: Digest, source: str, size: int | None = None, spare: object = None
    ) -> bool:
        self._meet("mount_blob")
        return True

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        read = b"".join([chunk async for chunk in content.chunks()])
        self._meet("push_blob")
        return Digest.of(read), len(read)

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        self._meet("find_manifest")
        return DIGEST

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        self._meet("read_manifest")
        return StoredManifest("application/x", DIGEST, b"x")

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> None:
        self._meet("push_manifest")


class Sleeps:
    """Takes no time, and remembers."""

    def __init__(self, chance: Callable[[], float] = lambda: 1.0) -> None:
        self.waits: list[float] = []
        self.pause = TimeSource(self._sleep, chance)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def wrapped(flaky: Flaky, sleeps: Sleeps, **policy: float) -> RetryingRegistry:
    return RetryingRegistry(flaky, RetryPolicy(**policy), sleeps.pause)  # type: ignore[arg-type]


async def test_every_verb_is_tried_again_and_gives_what_the_registry_gives() -> None:
    content = BytesContent(b"x")
    flaky = Flaky()
    registry = wrapped(flaky, Sleeps())

    async def again() -> None:
        flaky.errors = [RegistryFault("once")]

    await again()
    assert await registry.blob_exists("a", DIGEST)
    await again()
    assert await registry.mount_blob("a", DIGEST, "b")
    await again()
    assert await registry.push_blob("a", content) == (DIGEST, 1)
    await again()
    assert await registry.find_manifest("a", "1") == DIGEST
    await again()
    assert await registry.read_manifest("a", "1") == StoredManifest("application/x", DIGEST, b"x")
    await again()
    await registry.push_manifest("a", "1", MANIFEST)
    assert len(flaky.calls) == 12
    assert content.reads == 2


async def test_waits_double_up_to_a_limit_and_the_last_error_is_raised() -> None:
    errors = [RegistryUnreachable(f"number {number}") for number in range(6)]
    sleeps, flaky = Sleeps(), Flaky(*errors)
    with pytest.raises(RegistryUnreachable, match="number 5"):
        await wrapped(flaky, sleeps, longest_wait=5.0).blob_exists("a", DIGEST)
    assert sleeps.waits == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert len(flaky.calls) == 6


async def test_a_wait_is_a_random_part_of_its_length() -> None:
    parts = iter([0.0, 0.5])
    sleeps = Sleeps(lambda: next(parts))
    await wrapped(Flaky(RegistryFault("1"), RegistryFault("2")), sleeps).blob_exists("a", DIGEST)
    assert sleeps.waits == [0.0, 0.5]


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (100_000.0, 300.0), (None, 0.0)])
async def test_retry_after_is_honoured_up_to_five_minutes(asked: float | None, waited: float) -> None:
    sleeps = Sleeps(lambda: 0.0)
    await wrapped(Flaky(RegistryRateLimited("slow down", retry_after=asked)), sleeps).blob_exists("a", DIGEST)
    assert sleeps.waits == [waited]


async def test_nothing_is_tried_again_when_its_waits_would_exceed_the_patience() -> None:
    sleeps = Sleeps(lambda: 0.0)
    flaky = Flaky(*(RegistryRateLimited("slow down", retry_after=250.0) for _ in range(6)))
    with pytest.raises(RegistryRateLimited):
        await wrapped(flaky, sleeps).blob_exists("a", DIGEST)
    assert sleeps.waits == [250.0, 250.0]


@pytest.mark.parametrize(
    "error",
    [RegistryAuth("wrong"), RegistryLost("gone"), DigestMismatch("bad layer"), asyncio.CancelledError()],
)
async def test_what_trying_again_cannot_mend_is_raised_at_once(error: TarmacError | asyncio.CancelledError) -> None:
    sleeps, flaky = Sleeps(), Flaky(error)
    with pytest.raises(type(error)):
        await wrapped(flaky, sleeps).push_blob("a", BytesContent(b"x"))
    assert (sleeps.waits, len(flaky.calls)) == ([], 1)


async def test_an_error_that_says_it_may_pass_is_believed() -> None:
    error: RegistryError = RegistryAuth("the clock of the token service is wrong", failure=Failure.OVERLOADED)
    assert await wrapped(Flaky(error), Sleeps()).blob_exists("a", DIGEST)


class Observer:
    def __init__(self) -> None:
        self.reports: list[tuple[str, float] | str] = []

    def request_failed(self, error: RegistryError, wait: float) -> None:
        self.reports.append((error.code, wait))

    def request_held(self, error: RegistryError, wait: float) -> None:
        self.reports.append((f"held by {error.code}", wait))

    def request_succeeded(self) -> None:
        self.reports.append("succeeded")


async def test_each_job_is_told_of_its_own_retries_before_each_wait() -> None:
    registry = wrapped(Flaky(RegistryUnreachable("1"), RegistryRateLimited("2", retry_after=9.0)), Sleeps())
    mine, other = Observer(), Observer()
    with observe_retries(other):
        with observe_retries(mine):
            async with asyncio.TaskGroup() as group:
                group.create_task(registry.blob_exists("a", DIGEST))
        await registry.blob_exists("a", DIGEST)
    await registry.blob_exists("a", DIGEST)
    assert mine.reports == [("registry_unreachable", 0.5), ("registry_rate_limited", 10.0), "succeeded"]
    assert other.reports == ["succeeded"]


async def test_what_is_not_tried_again_is_no_retry() -> None:
    observer = Observer()
    with observe_retries(observer), pytest.raises(RegistryAuth):
        await wrapped(Flaky(RegistryAuth("wrong")), Sleeps()).blob_exists("a", DIGEST)
    assert observer.reports == []


async def test_who_only_waits_for_what_a_registry_asked_of_another_is_told_too() -> None:
    gate, observer = RequestThrottle(pause=Lapse().pause), Observer()
    gate.record_response(0, slow_down=True, retry_after=7.0)
    with observe_retries(observer):
        async with gate.slot():
            assert observer.reports == [("held by registry_rate_limited", 7.0)]
        async with gate.slot():
            assert len(observer.reports) == 1


class Refusing(Flaky):
    """Fails with the same error for ever; each try takes `seconds` of the clock."""

    def __init__(self, error: Callable[[], RegistryError], lapse: Lapse, seconds: float = 0.0) -> None:
        super().__init__()
        self._error, self._lapse, self._seconds = error, lapse, seconds

    def _meet(self, verb: str) -> None:
        self.calls.append(verb)
        self._lapse.now += self._seconds
        raise self._error()


class Probe:
    """Answers with `answers` in turn, then with the last."""

    def __init__(self, *answers: bool) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def refused(failure: Failure, probe: Probe, seconds: float = 0.0) -> tuple[RegistryError, Lapse, int]:
    lapse = Lapse()
    flaky = Refusing(lambda: RegistryFault("no", failure=failure), lapse, seconds)
    registry = RetryingRegistry(flaky, pause=lapse.pause, is_answering=probe)  # type: ignore[arg-type]
    with pytest.raises(RegistryFault) as caught:
        await registry.push_manifest("a", "1", MANIFEST)
    return caught.value, lapse, len(flaky.calls)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("answers", [True, False])
async def test_every_class_of_failure_ends_as_the_table_says(failure: Failure, answers: bool) -> None:
    error, lapse, tries = await refused(failure, Probe(answers))
    rule = TABLE[failure]
    is_outage = rule.verdict is Verdict.OUTAGE or (rule.verdict is Verdict.DEPENDS and not answers)
    assert (error.outage, error.retryable) == (is_outage, rule.retryable)
    assert error.problem.outage is is_outage
    if rule.again is Again.NEVER:
        assert tries == 1
    elif rule.again is Again.TRIES or not answers:
        assert (tries, lapse.now < 20) == (DEFAULT_POLICY.tries, True)
    else:
        assert lapse.now == pytest.approx(PROBATION_SECONDS)
    assert lapse.now <= 90


@pytest.mark.parametrize("failure", [Failure.CONTENT_ERROR, Failure.SERVER_ERROR, Failure.BROKEN_RESPONSE])
@pytest.mark.parametrize("seconds", [5.0, 20.0, 29.0])
async def test_a_refusal_that_takes_its_time_is_over_within_90_seconds_of_its_first_response(
    failure: Failure, seconds: float
) -> None:
    error, lapse, tries = await refused(failure, Probe(True), seconds)
    assert not error.outage
    assert tries >= 2
    assert lapse.now - seconds <= 90


async def test_a_large_blob_is_sent_twice_at_least_however_long_it_takes() -> None:
    _, _, tries = await refused(Failure.CONTENT_ERROR, Probe(True), seconds=1000.0)
    assert tries == 2


async def test_a_registry_that_goes_away_while_it_refuses_is_waited_for() -> None:
    error, lapse, _ = await refused(Failure.SERVER_ERROR, Probe(True, False))
    assert error.outage
    assert lapse.now < PROBATION_SECONDS


async def test_the_last_try_of_a_name_that_does_not_resolve_ends_in_time() -> None:
    seconds = 10.0
    error, lapse, tries = await refused(Failure.ELSEWHERE, Probe(True), seconds)
    assert (error.outage, tries > 3) == (False, True)
    assert lapse.now <= seconds + PROBATION_SECONDS


@pytest.mark.parametrize("silence", [60.0, 300.0])
async def test_a_host_that_is_silent_elsewhere_is_asked_once(silence: float) -> None:
    lapse = Lapse()
    flaky = Refusing(lambda: RegistryUnreachable("no", failure=Failure.ELSEWHERE, silence=silence), lapse, silence)
    registry = RetryingRegistry(flaky, pause=lapse.pause, is_answering=Probe(True))  # type: ignore[arg-type]
    with pytest.raises(RegistryUnreachable) as caught:
        await registry.push_manifest("a", "1", MANIFEST)
    assert (caught.value.outage, len(flaky.calls), lapse.now) == (False, 1, silence)


async def test_a_silence_of_some_seconds_is_met_again_within_the_minute() -> None:
    lapse = Lapse()
    flaky = Refusing(lambda: RegistryUnreachable("no", failure=Failure.ELSEWHERE, silence=20.0), lapse, 20.0)
    registry = RetryingRegistry(flaky, pause=lapse.pause, is_answering=Probe(True))  # type: ignore[arg-type]
    with pytest.raises(RegistryUnreachable):
        await registry.push_manifest("a", "1", MANIFEST)
    assert len(flaky.calls) >= 2
    assert lapse.now <= 20.0 + PROBATION_SECONDS


async def test_what_a_registry_asks_to_wait_is_not_counted() -> None:
    lapse = Lapse()
    errors = iter(
        [RegistryRateLimited("wait", retry_after=200.0), *(RegistryFault("no", failure=Failure.SERVER_ERROR),) * 100]
    )
    flaky = Refusing(lambda: next(errors), lapse)
    registry = RetryingRegistry(flaky, pause=lapse.pause, is_answering=Probe(True))  # type: ignore[arg-type]
    with pytest.raises(RegistryFault) as caught:
        await registry.push_manifest("a", "1", MANIFEST)
    assert not caught.value.outage
    assert pytest.approx(lapse.now) == 200.0 + PROBATION_SECONDS


async def test_what_is_sent_early_is_left_to_the_push_that_follows() -> None:
    lapse = Lapse()
    flaky = Refusing(lambda: RegistryFault("no", failure=Failure.SERVER_ERROR), lapse)
    registry = RetryingRegistry(flaky, pause=lapse.pause, is_answering=Probe(True))  # type: ignore[arg-type]
    with pytest.raises(RegistryFault):
        await registry.push_blob("a", UndecidedContent(b"x"))
    assert len(flaky.calls) == DEFAULT_POLICY.tries


async def test_what_was_refused_for_a_minute_is_refused_sooner_the_next_time() -> None:
    lapse = Lapse()
    flaky = Refusing(lambda: RegistryFault("no", failure=Failure.SERVER_ERROR), lapse)
    registry = RetryingRegistry(flaky, pause=lapse.pause, is_answering=Probe(True))  # type: ignore[arg-type]
    took = []
    for _ in range(3):
        began = lapse.now
        with pytest.raises(RegistryFault) as caught:
            await registry.find_manifest("a", "1")
        assert not caught.value.outage
        took.append(lapse.now - began)
    assert took[0] == pytest.approx(PROBATION_SECONDS)
    assert max(took[1:]) < 20
    lapse.now += REMEMBERED_SECONDS
    began = lapse.now
    with pytest.raises(RegistryFault):
        await registry.find_manifest("a", "1")
    assert lapse.now - began == pytest.approx(PROBATION_SECONDS)


class RestingContent(BytesContent):
    rests = 0

    async def rest(self) -> None:
        self.rests += 1


async def test_content_rests_while_its_request_waits_to_be_sent_again() -> None:
    content = RestingContent(b"x")
    await wrapped(Flaky(RegistryFault("1"), RegistryFault("2")), Sleeps()).push_blob("a", content)
    assert content.rests == 2
