"""Every case of the catalogue comes to its verdict, cheaply, and nothing that is refused is tagged.

What is large, wrapped or a bomb is decided by a process of its own (`footprint`), where the processor time is that of
the decision alone and memory is measured too; the rest, which cannot become much, here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hostile.case import CPU_SECONDS, Accepted, Case, Refused, allowed, is_traced
from tests.hostile.catalogue import CASES, GROUPS
from tests.hostile.landing import Landed, land

ROOT = Path(__file__).parents[2]
MAX_WORDS = 8_000  # of one error
SMALL = 256 << 10  # bytes; what is smaller and not wrapped cannot become much
ALLOWED = 64 << 10  # KiB of memory


@dataclass(frozen=True, slots=True)
class Decided:
    """`grown`: KiB of memory; 0 where it was not measured."""

    landed: Landed
    seconds: float
    grown: int = 0


@dataclass(frozen=True, slots=True)
class Decider:
    """The process, and the file by which it is handed archives."""

    process: subprocess.Popen[str]
    path: Path

    def decide(self, data: bytes) -> Decided:
        self.path.write_bytes(data)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(self.path, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "the process that decides has ended"
        found = json.loads(line)
        codes, words, tags, images = found["landed"]
        return Decided(Landed(codes, words, tuple(tags), images), found["seconds"], found["grown"])


@pytest.fixture(scope="session")
def decider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decider]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.footprint"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Decider(process, tmp_path_factory.mktemp("decider") / "archive")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


async def decided(case: Case, data: bytes, request: pytest.FixtureRequest) -> Decided:
    wants_its_own = len(data) >= SMALL or case.seconds > CPU_SECONDS or case in GROUPS["wrappings"]
    if wants_its_own and not is_traced():
        decider: Decider = request.getfixturevalue("decider")
        return decider.decide(data)
    began = time.process_time()
    landed = await land(data)
    return Decided(landed, time.process_time() - began)


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_archive_comes_to_its_verdict(name: str, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    found = await decided(case, case.build(), request)
    assert_verdict(case.verdict, found.landed)
    assert all(len(words) < MAX_WORDS for words in found.landed.words)
    within = found.seconds < case.seconds or found.seconds < allowed(case.seconds)
    assert within, f"{found.seconds:.2f} s of processor time"
    assert found.grown < ALLOWED, f"{found.grown} KiB of memory"


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
