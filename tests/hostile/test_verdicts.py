"""Every case of the catalogue comes to its verdict, cheaply, and nothing that is refused is tagged."""

from __future__ import annotations

import sys
import time

import pytest

from tests.hostile.case import Accepted, Refused
from tests.hostile.catalogue import CASES, GROUPS
from tests.hostile.landing import Landed, land

MAX_WORDS = 8_000  # of one error
NOISE = 2  # of a machine that does other things at the same time; the slowest cases take 0.7 s
TRACED = 6  # measuring coverage makes Python that much slower


def allowed(seconds: float) -> float:
    """A second, on a quiet machine."""
    return seconds * NOISE * (TRACED if sys.gettrace() is not None or "coverage" in sys.modules else 1)


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_archive_comes_to_its_verdict(name: str) -> None:
    case = CASES[name]
    data = case.build()
    started = time.process_time()
    landed = await land(data)
    spent = time.process_time() - started
    assert_verdict(case.verdict, landed)
    assert all(len(words) < MAX_WORDS for words in landed.words)
    assert spent < allowed(case.seconds), f"{spent:.2f} s of CPU time"


def assert_verdict(verdict: Accepted | Refused, landed: Landed) -> None:
    if isinstance(verdict, Accepted):
        wanted = tuple(sorted(filter(None, verdict.tags)))
        assert (landed.codes, landed.tags, landed.images) == ([], wanted, verdict.images), landed.words
    else:
        assert landed.codes, f"accepted as {landed.tags}"
        assert set(landed.codes) <= set(verdict.codes), landed.words
        assert not landed.tags


def test_there_are_hostile_archives_of_every_kind() -> None:
    assert sum(len(cases) for cases in GROUPS.values()) == len(CASES) > 600
    assert min(len(cases) for cases in GROUPS.values()) >= 30


def test_archives_are_built_the_same_every_time() -> None:
    for case in (each for cases in GROUPS.values() for each in cases[::25]):
        assert case.build() == case.build(), case.name
