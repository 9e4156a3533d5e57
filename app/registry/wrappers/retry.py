"""Retries with backoff: a wrapper, so that no adapter handles them.

`classification.TABLE` defines what is retried, for how long, and what the last failure means. The loop is our own,
because stamina accepts neither a clock nor a sleep function, and its timeout includes the hours of a successful
upload.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from app.errors import RegistryError
from app.net.backoff import DEFAULT_POLICY, REAL, RetryPolicy, TimeSource, delay_after, honoured_wait
from app.net.retry_observer import report_failure, report_success
from app.registry import BlobContent, Registry
from app.registry.distribution.classification import PROBATION_SECONDS, TABLE, Again, Course, Rule, Verdict, is_over
from app.registry.wrappers.forwarding import ForwardingRegistry

CONNECT_SECONDS = 10.0  # until an attempt without a connection fails (`client.Timeouts`); content may take hours
REMEMBERED_SECONDS = 300.0  # for which a refused operation is refused sooner

T = TypeVar("T")
Probe = Callable[[], Awaitable[bool]]
"""Return whether the registry currently answers `/v2/` properly. Raises nothing."""


async def never_answers() -> bool:
    """Return False: a probe for registries that cannot be probed, whose server errors then count as outages."""
    return False


@dataclass(slots=True)
class _Failures:
    """Failures of one request so far; times in seconds, by the clock of `pause`."""

    name: str  # of the operation
    tries: int = 0
    began: float = 0.0  # start of the last attempt
    since: float = 0.0
    waited: float = 0.0
    honoured: float = 0.0  # the part of `waited` that the registry asked for


class RetryingRegistry(ForwardingRegistry):
    """Repeats failed requests by `classification.TABLE`.

    The last error is raised; its `outage` says whether the job waits. Content is read from its start each time. Errors
    of content and cancellations pass immediately.
    """

    def __init__(
        self,
        registry: Registry,
        policy: RetryPolicy = DEFAULT_POLICY,
        pause: TimeSource = REAL,
        *,
        is_answering: Probe = never_answers,
    ) -> None:
        super().__init__(registry)
        self._policy, self._pause = policy, pause
        self._is_answering = is_answering
        self._refused: dict[str, float] = {}  # time at which an operation was last refused after all its attempts

    async def _forward(self, name: str, verb: Callable[[], Awaitable[T]], content: BlobContent | None = None) -> T:
        """Run `verb` until it succeeds or is final.

        For `content` that may still be discarded, the attempts of the policy are enough, because another task sends it
        again later.
        """
        failures = _Failures(name)
        while True:
            failures.began = self._pause.now()
            try:
                result = await verb()
            except RegistryError as error:
                is_brief = content is not None and not content.is_commit_allowed
                wait = await self._wait_after(error, failures, is_brief=is_brief)
                report_failure(error, wait)
            else:
                report_success()
                self._refused.pop(name, None)
                return result
            if content is not None:
                await content.rest()
            await self._pause.sleep(wait)

    async def _wait_after(self, error: RegistryError, failures: _Failures, *, is_brief: bool) -> float:
        """Return the seconds to the next attempt. Raises `error` if there is none."""
        rule, now = self._rule_for(error, failures.name), self._pause.now()
        failures.since = failures.since if failures.tries else now - error.silence
        failures.tries += 1
        # the next attempt must end in time, assuming that it takes as long as this one, which found no connection or
        # silence
        expected = max(min(now - failures.began, CONNECT_SECONDS), error.silence)
        elapsed = now - failures.since - failures.honoured + expected
        wait = delay_after(error, failures.tries, self._policy, self._pause.chance())
        if rule.again is Again.MINUTE:
            wait = min(wait, max(PROBATION_SECONDS - elapsed, 0.0))
        patience_over = failures.tries >= self._policy.tries or failures.waited + wait > self._policy.patience
        is_last = is_over(rule, Course(failures.tries, elapsed, patience_over, error.silence)) or (
            is_brief and patience_over
        )
        if is_last or (rule.again is Again.MINUTE and patience_over):
            await self._judge(error, rule.verdict)
            if is_last and not error.outage and not is_brief:
                self._refused[failures.name] = now
            if is_last or error.outage:
                raise error
        failures.waited += wait
        failures.honoured += honoured_wait(error, self._policy)
        return wait

    def _rule_for(self, error: RegistryError, name: str) -> Rule:
        """Return the rule for an error.

        What was just refused after a minute is refused sooner the next time, so that not every one of 100 images waits
        for a minute.
        """
        rule = TABLE[error.failure]
        is_known = self._pause.now() - self._refused.get(name, -REMEMBERED_SECONDS) < REMEMBERED_SECONDS
        return replace(rule, again=Again.TRIES) if is_known and rule.again is Again.MINUTE else rule

    async def _judge(self, error: RegistryError, verdict: Verdict) -> None:
        """Set whether the job waits for the registry."""
        error.outage = verdict is Verdict.OUTAGE or (verdict is Verdict.DEPENDS and not await self._is_answering())


__all__ = ["DEFAULT_POLICY", "Probe", "RetryPolicy", "RetryingRegistry", "TimeSource"]
