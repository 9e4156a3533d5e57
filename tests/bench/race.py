"""Ways against each other on one input, in turn (A B A B), each run against a registry with empty storage."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.inputs import Input
from tests.bench.processes import CommandFailed, Cost
from tests.bench.servers import Taken, empty_registry
from tests.bench.ways import Way

SLOW_SECONDS = 45.0  # what takes longer is run once: a third run of it would not change the picture
Row = dict[str, Any]


def race(archive: Input, ways: Sequence[Way], runs: int) -> list[Row]:
    """A row for each way, medians over its runs; `error` where it could not do it."""
    found: dict[str, list[Row]] = {way.name: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            earlier = found[way.name]
            if any("error" in row or row["wall"] > SLOW_SECONDS for row in earlier):
                continue
            earlier.append(once(archive, way))
    return [medians(name, rows) for name, rows in found.items()]


def once(archive: Input, way: Way) -> Row:
    with empty_registry() as registry:
        before = registry.taken()
        try:
            cost = way.push(registry, archive)
        except CommandFailed as failure:
            say(f"  {way.name}: {failure}")
            return {"error": str(failure)[:300]}
        row = row_of(cost, registry.taken().since(before))
    say(f"  {way.name:<28} {row['wall']:7.2f} s  cpu {row['cpu']:6.2f}  {row['requests']} requests")
    return row


def row_of(cost: Cost, taken: Taken) -> Row:
    return {
        **asdict(cost),
        "registry_cpu": taken.cpu,
        "requests": sum(taken.requests.values()),
        "methods": taken.requests,
        "received": taken.received,
        "stored": taken.stored,
    }


def medians(name: str, rows: Sequence[Row]) -> Row:
    for row in rows:
        if "error" in row:
            return {"name": name, **row}
    figures = {key: value for key, value in rows[-1].items() if isinstance(value, (int, float))}
    middle = {key: statistics.median(row[key] for row in rows) for key in figures}
    texts = {key: value for key, value in rows[-1].items() if key not in figures}
    return {"name": name, **middle, **texts, "walls": [round(row["wall"], 3) for row in rows]}


def say(line: str) -> None:
    """To whoever waits for the end."""
    print(line, file=sys.stderr, flush=True)
