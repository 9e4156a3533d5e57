"""Blobs over a line that cuts one in a hundred pieces, again and again: each arrives whole, little is sent twice."""

from __future__ import annotations

import asyncio
import random

from app.errors import RegistryError
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.retry import RetryingRegistry
from tests.soak import Orders, Report
from tests.support.bad_line import BadLine
from tests.support.blob_content import BytesContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, served

BLOBS = 8  # at once
LARGEST = 16 << 20  # bytes
MOST_AGAIN = 1.05  # bytes sent over bytes needed, where the registry can resume; over all rounds


def run(orders: Orders) -> Report:
    """Every fourth round is for a registry that cannot resume; its bytes do not count."""
    report, chance = Report("bad_line"), random.Random(orders.seed)
    needed = sent = 0
    for number in range(orders.rounds):
        resumes = number % 4 != 3
        round_needed, round_sent = asyncio.run(_round(report, chance, resumes=resumes))
        if resumes:
            needed, sent = needed + round_needed, sent + round_sent
    if sent > needed * MOST_AGAIN:
        report.losses.append(f"{sent} bytes were sent where {needed} were needed")
    return report


async def _round(report: Report, chance: random.Random, *, resumes: bool) -> tuple[int, int]:
    """Bytes needed, and bytes that went into the line."""
    memory, pause = MemoryRegistry(Manners(resumes=resumes)), Lapse(chance.randrange(1 << 30)).pause
    contents = [
        BytesContent(chance.randbytes(chance.randrange(1, LARGEST)), known=chance.random() < 0.5) for _ in range(BLOBS)
    ]
    async with (
        ScriptedRegistry(route=lambda seen: served(memory)) as server,
        BadLine(server.port, cuts=lambda: chance.random() < 0.01) as line,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(line.url, "url")), pause=pause) as registry,
    ):
        pushed = [RetryingRegistry(registry, pause=pause).push_blob("team/app", content) for content in contents]
        outcomes = await asyncio.gather(*pushed, return_exceptions=True)
    stored = memory.repository("team/app").blobs
    for content, outcome in zip(contents, outcomes, strict=True):
        if isinstance(outcome, RegistryError) and not resumes:
            continue  # of a registry that begins anew each time a large blob may not get through
        if isinstance(outcome, BaseException) or stored.get(str(Digest.of(content.data))) != content.data:
            report.losses.append(f"round {report.rounds}: a blob of {len(content.data)} bytes: {outcome}")
    if memory.sessions:
        report.losses.append(f"round {report.rounds}: {len(memory.sessions)} sessions are left")
    report.rounds, report.jobs = report.rounds + 1, report.jobs + BLOBS
    return sum(len(content.data) for content in contents), line.received
