"""The whole service in one process without a socket, and archives put to it until one is pushed: for whoever makes
system calls fail meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from httpx import ASGITransport, AsyncClient

from app.config.settings import Settings
from app.errors import TarmacError
from app.main import create_app
from tests.support.archives import docker_save, image, tagged

MOST_PUSHES = 40  # each thread of the process may meet the fault once, and more are made as they are needed
WAIT_SECONDS = 20
MOST_OPEN = 40
STARTED = "started"  # a file that says that the service was there


async def push_until_it_works(data: Path) -> list[list[Any]]:
    answers = []
    app = create_app(_settings(data))
    async with app.router.lifespan_context(app), client_of(app) as client:
        (data / STARTED).touch()
        for number in range(MOST_PUSHES):
            archive = docker_save([tagged(image({"bin/app": b"%d" % number * 9000}), f"example.com/team/app:{number}")])
            with contextlib.suppress(OSError):  # Starlette raises it again for the server's log
                answer = await client.put(f"/push/{number}.tar", params={"wait": WAIT_SECONDS}, content=archive)
                document = answer.json()
                answers.append([answer.status_code, document.get("code", document.get("state"))])
                if answers[-1] == [200, "succeeded"]:
                    break
    return answers


async def left_over(data: Path) -> list[str]:
    """Of a service that starts on what is there."""
    app = create_app(_settings(data))
    async with app.router.lifespan_context(app), client_of(app) as client:
        page = await _asked(client, "/jobs", limit=100)
        jobs = [await _asked(client, f"/jobs/{item['id']}", wait=WAIT_SECONDS) for item in page["jobs"]]
    for _ in range(MOST_PUSHES):  # to look at it may meet the fault as well
        with contextlib.suppress(OSError):
            return list(_wrong(data, jobs))
    raise AssertionError(f"{data} cannot be read")


async def _asked(client: AsyncClient, path: str, **query: int) -> dict[str, Any]:
    """Again where the question itself meets the fault, which comes once in a thread."""
    for _ in range(MOST_PUSHES):
        answer = await client.get(path, params=query)
        if answer.status_code == 200:
            break
    found: dict[str, Any] = answer.json()
    return found


def _wrong(data: Path, jobs: list[dict[str, Any]]) -> Iterator[str]:
    states = {job["id"]: job["state"] for job in jobs}
    for job in jobs:
        if job["state"] not in {"succeeded", "failed"}:
            yield f"job {job['id']} is {job['state']}"
        if job["state"] == "failed" and job["problem"]["code"] == "internal" and "does not know" in str(job["problem"]):
            yield f"job {job['id']} failed for an unforeseen reason"
    for path in (data / "spool").iterdir():
        if path.suffix != ".tar" or states.get(path.name.partition("-")[0]) != "failed":
            yield f"{path.name} is left in the spool"
    for path in (data / "images" / ".incoming").rglob("*"):
        yield f"{path.name} is left at the destination"
    if len(os.listdir("/proc/self/fd")) > MOST_OPEN:
        yield f"{len(os.listdir('/proc/self/fd'))} files are open"


def _settings(data: Path) -> Settings:
    return Settings(data_dir=data, retry_for="0s")


def client_of(app: Any) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost")


async def push_and_tell(data: Path) -> None:
    """What came of it goes to `told.json`: `answers`, [status, code] of each; `left`, what is wrong after the last of
    them and a start anew, in words; `refused`, the words of the error where the service did not start."""
    try:
        answers = await push_until_it_works(data)
        told: dict[str, Any] = {"answers": answers, "left": await left_over(data)}
    except TarmacError as error:
        told = {"refused": f"{error.code}: {error}"}
    for _ in range(3):  # this may meet the fault as well
        with contextlib.suppress(OSError):
            (data / "told.json").write_text(json.dumps(told))
            return
