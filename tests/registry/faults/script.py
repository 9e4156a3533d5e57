"""A fault: which requests meet it, what happens to them, and what becomes of the push."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from app.registry.wrappers.verify import Verification
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import Connection, Seen, Step, answer, served

Act = Callable[[MemoryRegistry], Step]
"""What a request meets; a registry that behaves stands behind."""

# `METHOD target content-length` of requests
PING = r"GET /v2/ "
TOKEN = r"GET /token"
LOOK = r"HEAD /v2/team/app/manifests/1\.0"
HEAD_BLOB = r"HEAD /v2/team/app/blobs/"
ASK = r"POST /v2/team/app/blobs/uploads/\?mount=\S+from=team%2Fapp"
START = rf"{ASK}|POST /v2/team/app/blobs/uploads/ "
MOUNT = r"POST /v2/other/app/blobs/uploads/\?mount=\S+from=team%2Fapp"
CLOSE = r"PUT .*/uploads/"
SEND = r"(PUT|PATCH) .*/uploads/"
PATCH = r"PATCH .*/uploads/"
LARGE = r"(PUT|PATCH) /v2/team/app/blobs/uploads/\S* 3\d{5}$"  # the largest blob, whole
TAG = r"PUT /v2/team/app/manifests/1\.0"
WAYS = ("put", "patch", "chunks", "refusal", "most", "too_large")  # of uploading, which a front may refuse
BODY_OF_300K = 200_000  # bytes into the largest layer


def fine(registry: MemoryRegistry) -> Step:
    return served(registry)


def says(status: int, body: bytes = b"", **headers: str) -> Act:
    """Take the request's body, do nothing, answer so. `Retry_After="1"` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda registry: answer(status, named, body)


def complains(status: int, code: str, words: str = "") -> Act:
    return says(
        status, f'{{"errors":[{{"code":"{code}","message":"{words}"}}]}}'.encode(), Content_Type="application/json"
    )


def meets(step: Step) -> Act:
    return lambda registry: step


def cut(after: int) -> Act:
    """The registry gets so many bytes of the body, then the connection breaks."""
    return lambda registry: served(registry, cut=after)


def deaf(registry: MemoryRegistry) -> Step:
    """Done, but the answer is lost."""
    return served(registry, deaf=True)


def changed(change: Callable[[MemoryRegistry], None]) -> Act:
    """As it should be, after `change` has happened to the registry."""

    def act(registry: MemoryRegistry) -> Step:
        change(registry)
        return served(registry)

    return act


def relabelled(status: int | None = None, **headers: str) -> Act:
    """Done, and answered with other headers ("" takes one away) or another status."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}

    def act(registry: MemoryRegistry) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            plain = connection.answer

            async def answer_otherwise(code: int, found: dict[str, str], body: bytes) -> None:
                merged = {name: value for name, value in {**found, **named}.items() if value}
                await plain(status or code, merged, body, head=seen.method == "HEAD")

            with with_answer(connection, answer_otherwise):
                await served(registry)(connection, seen)

        return step

    return act


@contextmanager
def with_answer(
    connection: Connection, answer: Callable[[int, dict[str, str], bytes], Awaitable[None]]
) -> Iterator[None]:
    """Let `answer` write the response: its status, headers and body."""
    plain = connection.answer

    async def answering(status: int, headers: dict[str, str], body: bytes, *, head: bool = False) -> None:
        await answer(status, headers, body)

    connection.answer = answering  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        connection.answer = plain  # type: ignore[method-assign]


def after_interim(interim: bytes) -> Act:
    """As it should be, after `interim` responses."""

    def act(registry: MemoryRegistry) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            connection.writer.write(interim)
            await served(registry)(connection, seen)

        return step

    return act


@dataclass(frozen=True)
class Fault:
    """The first requests that match `when` meet `acts` in order, the later ones what `after` says. `ends`: "pushed" or
    the code of the error. `outage`: the job would wait; else the image ends within 90 s. `orphans`: upload sessions
    nobody can know of, because the answer that named them was lost. `drops`: so many connections end as soon as they
    are there, before everything else.
    """

    name: str
    when: str
    acts: tuple[Act, ...]
    ends: str = "pushed"
    after: Act = fine
    outage: bool = False
    orphans: int = 0
    drops: int = 0
    says: str = ""
    manners: Manners = field(default_factory=lambda: Manners(auth="bearer"))
    verification: Verification = Verification.TAG

    def __post_init__(self) -> None:
        self.manners.auth = "bearer"

    @property
    def is_for_real_ones(self) -> bool:
        """Whether nothing is asked of the registry behind that only one in memory can do."""
        return self.manners == replace(Manners(auth="bearer"), **{way: getattr(self.manners, way) for way in WAYS})


class Script:
    """The route of a ScriptedRegistry."""

    def __init__(self, fault: Fault, registry: MemoryRegistry) -> None:
        self._fault, self._registry = fault, registry
        self.met = 0
        self.first_met: float | None = None  # when a request met it first

    def __call__(self, seen: Seen) -> Step:
        if not re.match(self._fault.when, f"{seen.method} {seen.target} {seen.headers.get('content-length', '')}"):
            return served(self._registry)
        self.met += 1
        self.first_met = self.first_met or time.monotonic()
        acts = self._fault.acts
        act = acts[self.met - 1] if self.met <= len(acts) else self._fault.after
        return act(self._registry)
