"""An archive is opened with one pass over its headers, and what stands in it is read once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from app.archive import IngestStream, index_file, open_archive
from app.archive.tar import indexer as module
from app.archive.tar.header import BLOCK, Header, parse_header
from tests.bench.opening import SAMPLES
from tests.support.opening import Memory

COUNT = 20


@dataclass(frozen=True, slots=True)
class Counted:
    """A ReadAt that remembers what was asked of it."""

    source: Memory
    reads: list[tuple[int, int]] = field(default_factory=list)

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        return self.source.read_at(offset, size)


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often the header at each offset was read."""
    counted: Counter[int] = Counter()

    def counting(block: bytes, at: int) -> Header:
        counted[at] += 1
        return parse_header(block, at)

    monkeypatch.setattr(module, "parse_header", counting)
    return counted


@pytest.mark.parametrize("kind", SAMPLES)
def test_each_header_is_read_once(kind: str, headers: Counter[int]) -> None:
    data = SAMPLES[kind](COUNT)
    source = Counted(Memory(data))
    index = index_file(source, len(data))
    assert set(headers.values()) == {1}
    assert len(headers) >= sum(map(len, index.members.values())) > COUNT
    offsets = [offset for offset, _ in source.reads]
    assert offsets == sorted(set(offsets))
    assert len(offsets) <= len(headers) + 2
    source.reads.clear()
    archive = open_archive(index, source)
    assert len(archive.images) == COUNT
    assert not any(offset <= at < offset + size for offset, size in source.reads for at in headers)
    assert max(Counter(source.reads).values()) <= 2  # the list at the root: once to tell the format, once to read it
    assert set(headers.values()) == {1}


@pytest.mark.parametrize("kind", SAMPLES)
def test_while_an_archive_comes_in_each_header_is_read_once(kind: str, headers: Counter[int]) -> None:
    data = SAMPLES[kind](COUNT)
    intake = IngestStream()
    for at in range(0, len(data), 7 * BLOCK + 1):
        for _ in intake.feed(data[at : at + 7 * BLOCK + 1]):
            pass
    assert not list(intake.finish())
    assert set(headers.values()) == {1}
    assert intake.index == index_file(Memory(data), len(data))
