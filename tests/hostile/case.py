"""What a hostile archive is to the tests: a name, bytes built when they are wanted, and what has to come of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CPU_SECONDS = 1.0  # of any file, until it is pushed or refused
BOMB_SECONDS = 3.0
SAMPLE_SECONDS = 0.13  # of the sample on a machine that has nothing else to do
TRACED = 6  # so much slower measuring coverage makes Python


def is_traced() -> bool:
    """Coverage counts what runs in this process alone."""
    return sys.gettrace() is not None or "coverage" in sys.modules


def allowed(seconds: float) -> float:
    """Return the limit on this machine as it is now. `seconds` is the limit if it has nothing else to do."""
    return seconds * (TRACED if is_traced() else max(1.0, _sample_seconds() / SAMPLE_SECONDS))


def _sample_seconds() -> float:
    """Return the processor time of a fixed piece of work."""
    began = time.process_time()
    members = {}
    for number in range(500_000):
        name = b"%07d" % number
        members[name] = (number, name[:3])
    return time.process_time() - began


@dataclass(frozen=True, slots=True)
class Accepted:
    """`tags`: what is tagged at the destination, as repository:tag. `images` counts those without a tag as well."""

    tags: tuple[str, ...] = ("team/app:1",)
    images: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """With one of `codes`; nothing is tagged."""

    codes: tuple[str, ...]


Verdict = Accepted | Refused


@dataclass(frozen=True, slots=True)
class Case:
    """`build` is deterministic. A case is decided within `seconds` of CPU time."""

    name: str
    build: Callable[[], bytes]
    verdict: Verdict
    seconds: float = CPU_SECONDS

    def __str__(self) -> str:
        return self.name


Cases = Iterator[Case]


def accepted(name: str, build: Callable[[], bytes] | bytes, *tags: str, images: int = 1) -> Case:
    """Without `tags`: the one tag of the sample."""
    return Case(name, build if callable(build) else lambda: build, Accepted(tags or ("team/app:1",), images))


def refused(name: str, build: Callable[[], bytes] | bytes, *codes: str) -> Case:
    """Without `codes`: malformed."""
    return Case(name, build if callable(build) else lambda: build, Refused(codes or ("malformed_archive",)))
