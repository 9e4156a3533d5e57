"""The floor: blobs sent by a bare client, POST and PUT and nothing else; no hashing, no questions, no manifest.

    python -m tests.bench.floor HOST:PORT REPOSITORY JOBS < list      a line for each blob: digest, size, path

prints {"wall": …, "cpu": …, "memory": …} of the sending alone, without the start of the interpreter.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tests.bench.inputs import Input
from tests.bench.layers import PIECE
from tests.bench.processes import CommandFailed, Cost, memory_peak
from tests.bench.servers import ROOT, Registry
from tests.bench.ways import Way

JOBS = (1, 2, 4)
SEND_SECONDS = 300.0


def floor_way(jobs: int) -> Way:
    def push(registry: Registry, archive: Input) -> Cost:
        listed = "".join(f"{blob.digest} {blob.size} {blob.path}\n" for blob in archive.blobs)
        program = [sys.executable, "-m", "tests.bench.floor", registry.address, "bench/floor"]
        done = subprocess.run(
            [*program, str(jobs)],
            input=listed,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=SEND_SECONDS,
        )
        if done.returncode != 0:
            raise CommandFailed(done.stderr[-2000:])
        return Cost(**json.loads(done.stdout))

    return Way(f"bare client, {jobs} at once", push)


async def send_all(address: str, repository: str, jobs: int, blobs: list[tuple[str, int, Path]]) -> None:
    """Raises httpx.HTTPError."""
    turns = asyncio.Semaphore(jobs)
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", timeout=SEND_SECONDS) as client,
        asyncio.TaskGroup() as group,
    ):
        for digest, size, path in blobs:
            group.create_task(_send(client, turns, repository, (digest, size, path)))


async def _send(
    client: httpx.AsyncClient, turns: asyncio.Semaphore, repository: str, blob: tuple[str, int, Path]
) -> None:
    digest, size, path = blob
    async with turns:
        opened = (await client.post(f"/v2/{repository}/blobs/uploads/")).raise_for_status()
        where = httpx.URL(opened.headers["Location"]).copy_merge_params({"digest": digest})
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        (await client.put(where, content=_pieces(path), headers=headers)).raise_for_status()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb", buffering=0) as source:
        while piece := source.read(PIECE):
            yield piece


def main() -> None:
    address, repository, jobs = sys.argv[1:]
    blobs = [(digest, int(size), Path(path)) for digest, size, path in (line.split() for line in sys.stdin)]
    began, cpu = time.monotonic(), time.process_time()
    asyncio.run(send_all(address, repository, int(jobs), blobs))
    wall, used = time.monotonic() - began, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": used, "memory": memory_peak(os.getpid())}))


if __name__ == "__main__":
    main()
