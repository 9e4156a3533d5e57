"""Packaged Helm charts: gzip over a tar of one directory with Chart.yaml, which `helm package` writes first."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.archive.compression import decompressor
from app.archive.helm.metadata import CHART_YAML, REQUIREMENTS_YAML
from app.archive.model import Compression, Extent, Limits
from app.archive.tar.header import BLOCK, octal
from app.archive.tar.indexer import TarIndexer
from app.archive.yaml import MAX_BYTES
from app.errors import ArchiveError, LimitExceeded, MalformedArchive

MAX_CHART_BYTES = 20 << 20  # as sent; stored in memory while it is received. Helm itself cannot install 1 MiB
MAX_UNPACKED_BYTES = 100 << 20  # the most that Helm reads of a chart
MAX_AHEAD = 4 << 20  # decompressed bytes within which Chart.yaml must begin, if a chart is sent alone
HEAD_BYTES = 64 << 10  # of a chart in a tar, to detect it
MAX_HEAD_UNPACKED = 1 << 20  # the decompressed size of these bytes at most
_SEPARATOR = re.compile(r"[/\\]")  # Helm also reads charts that were packaged on Windows


class _ChartDetector:
    """Decides from the files indexed so far whether this is a chart: True, False, or None if not known yet."""

    def __init__(self, indexer: TarIndexer) -> None:
        self.root: str | None = None
        self._indexer = indexer
        self._seen = 0
        self._verdict: bool | None = None

    def verdict(self) -> bool | None:
        for member in self._indexer.files_since(self._seen):
            self._seen += 1
            root, *path = _SEPARATOR.split(member.name)
            if self._verdict is None and (not path or self.root not in {None, root}):
                self._verdict = False
            elif self._verdict is None and path == [CHART_YAML]:
                self._verdict = True
            self.root = root if self.root is None else self.root
        return self._verdict


class HelmChartBuffer:
    """Buffers received bytes while they may be a chart."""

    def __init__(self, indexer: TarIndexer) -> None:
        self.is_chart = False
        self.plain: list[bytes] = []
        self._indexer = indexer
        self._detector = _ChartDetector(indexer)
        self._raw: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Add raw bytes. Raises LimitExceeded for a chart that is too large."""
        self._raw.append(chunk)
        self._size += len(chunk)
        if self.is_chart and self._size > MAX_CHART_BYTES:
            raise LimitExceeded(f"the Helm chart has more than {MAX_CHART_BYTES} bytes")

    def might_be_chart(self, piece: bytes) -> bool:
        """Return whether this may be a chart, after `piece` was indexed. Raises LimitExceeded.

        If not, `plain` has all bytes that were decompressed so far."""
        if self.is_chart:
            if self._indexer.position > MAX_UNPACKED_BYTES:
                raise LimitExceeded(f"the Helm chart decompresses to more than {MAX_UNPACKED_BYTES} bytes")
            return True
        self.plain.append(piece)
        verdict = self._detector.verdict()
        self.is_chart = bool(verdict)
        if self.is_chart:
            self.plain.clear()
        return self.is_chart or (verdict is None and sum(map(len, self.plain)) <= MAX_AHEAD)

    def finish(self) -> Iterator[bytes]:
        """Yield the bytes for the spool after the last byte: a tar of the unchanged chart, or the buffered bytes."""
        if not self.is_chart:
            yield from self.plain
            return
        info = tarfile.TarInfo(f"{self._detector.root}.tgz")
        info.size = self._size
        yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        yield from self._raw
        yield bytes(-self._size % BLOCK + 2 * BLOCK)


def looks_like_chart(head: bytes, limits: Limits) -> bool:
    """Return whether data that starts with `head` is a packaged chart, judged by MAX_HEAD_UNPACKED bytes."""
    indexer = TarIndexer(limits)
    detector = _ChartDetector(indexer)
    try:
        for piece in decompressor(Compression.GZIP, limits).feed(head):
            indexer.feed(piece)
            if detector.verdict() is not None or indexer.position > MAX_HEAD_UNPACKED:
                break
    except ArchiveError:
        return False
    return bool(detector.verdict())


@dataclass(frozen=True, slots=True)
class ChartFiles:
    """Content of a packaged chart.

    chart_yaml    the unchanged file
    requirements  requirements.yaml, empty if absent
    packaged_at   seconds since 1970 in the header of Chart.yaml
    unpacked      decompressed size in bytes"""

    chart_yaml: bytes
    requirements: bytes
    packaged_at: int
    unpacked: int


def read_chart(raw: bytes, limits: Limits) -> ChartFiles:
    """Read the packaged chart `raw`. All of it is decompressed, to verify that it is complete.

    Raises UnknownFormat, MalformedArchive, TruncatedArchive, LimitExceeded."""
    indexer = TarIndexer(limits)
    stream = decompressor(Compression.GZIP, limits)
    for piece in stream.feed(raw):
        indexer.feed(piece)
    stream.finish()
    index = indexer.finish()
    paths = {tuple(_SEPARATOR.split(member.name)[1:]): member.name for member in index.files()}
    found = index.extent(paths.get((CHART_YAML,), ""))
    if found is None:
        raise MalformedArchive(f"the Helm chart has no {CHART_YAML}")
    required = index.extent(paths.get((REQUIREMENTS_YAML,), "")) or Extent(0, 0)
    for extent in (found, required):
        if extent.size > MAX_BYTES:
            raise LimitExceeded(f"a file of the Helm chart has {extent.size} bytes; at most {MAX_BYTES} are read")
    header = Extent(found.offset - BLOCK, BLOCK)
    block, chart_yaml, requirements = _cut(raw, limits, (header, found, required))
    return ChartFiles(chart_yaml, requirements, octal(block[136:148].strip(b" \0")) or 0, index.size)


def _cut(raw: bytes, limits: Limits, extents: Sequence[Extent]) -> list[bytes]:
    """Return the bytes at `extents` in decompressed `raw`, without storing the rest."""
    pieces = [bytearray() for _ in extents]
    end, position = max(extent.offset + extent.size for extent in extents), 0
    for plain in decompressor(Compression.GZIP, limits).feed(raw):
        for extent, piece in zip(extents, pieces, strict=True):
            first = max(extent.offset - position, 0)
            piece.extend(plain[first : max(extent.offset + extent.size - position, 0)])
        position += len(plain)
        if position >= end:
            break
    return [bytes(piece) for piece in pieces]
