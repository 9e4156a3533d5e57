"""`make faults`: every fault before a real registry, a docker-registry for each, and the service as a process of its
own with its default settings. All waits are as long as they are, so many faults are met at once; that takes minutes.

It runs in a network namespace of its own, whose name server never answers. The table that is printed says for each
fault how the push ended, how many seconds after it was asked for and after the first request that met the fault, and
when `waiting_for` was seen first. The exit status is 1 if one of them ended otherwise than it should, or later."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.registry.faults.line import lapse
from tests.registry.faults.push import MOST_SECONDS, SECRETS, TAR, check_content
from tests.registry.faults.script import Fault, Script
from tests.registry.faults.table import FAULTS
from tests.soak.process import Tarmac
from tests.support.docker_registry import DockerRegistry
from tests.support.fronted_registry import FrontedRegistry
from tests.support.memory_registry import PASSWORD, USER
from tests.support.scripted_registry import ScriptedRegistry

AT_ONCE = 32
FIRST_PORT = 2_000  # below those that the registries choose from
INSIDE = "_FAULTS_INSIDE"
LOOK_SECONDS = 0.25
ENDED = frozenset({"succeeded", "failed", "cancelled"})
LONGEST = 6 * 68.0 + 6 * 10.0 + 40.0  # six tries that get no response, their connections, and the pauses
HALF_AN_HOUR = "silence-for-ever-at-the-tag"  # six times 300 seconds; met only if it is named
SOON = 15.0  # seconds within which a job says that it waits
_SET_UP = 'set -e; ip link set lo up; mount --bind "$NAMES" /etc/resolv.conf; exec "$@"'


@dataclass
class Course:
    """Of one push. Seconds since it was asked for; `met`: when a request met the fault first."""

    fault: Fault
    document: dict[str, Any] = field(default_factory=dict)
    met: float = 0.0
    ended: float = 0.0
    waiting: float | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def ends(self) -> str:
        problem = self._problem
        return problem["code"] if problem else "pushed"

    @property
    def _problem(self) -> dict[str, Any] | None:
        problems = [image["problem"] for image in self.document["images"] if image["problem"]]
        found: dict[str, Any] | None = problems[0] if problems else self.document["problem"]
        return found

    def judge(self) -> None:
        fault, is_outage = self.fault, self.document["state"] == "queued"
        if self.ends != fault.ends or is_outage is not fault.outage:
            self.wrong.append(f"ends as {self.ends}{' (outage)' * is_outage}, not {fault.ends}: {self._problem}")
        since = self.ended - self.met
        if since > (MOST_SECONDS if self.document["state"] == "failed" else LONGEST):
            self.wrong.append(f"it took {since:.0f} s")
        if "internal" in json.dumps(self.document):
            self.wrong.append("something is `internal`")
        if any(secret in json.dumps(self.document) for secret in SECRETS):
            self.wrong.append("a secret is told")
        if is_outage and (self.waiting is None or self.waiting - self.met > SOON):
            self.wrong.append(f"`waiting_for` is first seen after {self.waiting} s")

    def row(self) -> str:
        waiting = "-" if self.waiting is None else f"{self.waiting - self.met:.1f}"
        outage = " (outage)" if self.document["state"] == "queued" else ""
        cells = [self.fault.name, self.ends + outage, f"{self.ended:.1f}", f"{self.ended - self.met:.1f}", waiting]
        return "| " + " | ".join(cells) + " |" + "".join(f"\n  WRONG: {words}" for words in self.wrong)


class Run:
    """Of the faults that are chosen, with one service."""

    def __init__(self, folder: Path, faults: list[Fault], at_once: int) -> None:
        self._folder, self._faults = folder, faults
        self._slots = asyncio.Semaphore(at_once)
        self._ports = range(FIRST_PORT, FIRST_PORT + len(faults))  # of a namespace of our own
        self._service = Tarmac(folder / "data", {"TARMAC_CONFIG": str(folder / "tarmac.toml")})
        lines = [f"max_running_jobs = {at_once * 2}"]
        for number, port in enumerate(self._ports):
            lines += [f"[registries.r{number}]", f'url = "http://127.0.0.1:{port}"']
            lines += [f'username = "{USER}"', f'password = "{PASSWORD}"']
        (folder / "tarmac.toml").write_text("\n".join(lines) + "\n")

    async def all(self) -> list[Course]:
        await asyncio.to_thread(self._service.start)
        try:
            base = f"http://127.0.0.1:{self._service.port}"
            async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as client:
                return await asyncio.gather(*(self._one(number, client) for number in range(len(self._faults))))
        finally:
            await asyncio.to_thread(self._service.kill)

    async def _one(self, number: int, client: httpx.AsyncClient) -> Course:
        fault, folder = self._faults[number], self._folder / f"r{number}"
        course = Course(fault)
        async with self._slots:
            behind = await asyncio.to_thread(DockerRegistry(folder).start)
            try:
                async with FrontedRegistry(behind, fault.manners) as registry:
                    await self._push(course, registry, client, number)
            finally:
                await asyncio.to_thread(behind.stop)
                shutil.rmtree(folder)
        print(course.row(), flush=True)
        return course

    async def _push(self, course: Course, registry: FrontedRegistry, client: httpx.AsyncClient, number: int) -> None:
        fault, script = course.fault, Script(course.fault, registry)
        async with ScriptedRegistry(route=script, port=self._ports[number], drops=fault.drops):
            began = time.monotonic()
            options = {"registry": f"r{number}", "verify": str(fault.verification)}
            headers = {"Content-Type": "application/x-tar"}
            answer = await client.post("/push", params=options, content=TAR, headers=headers)
            path = f"/jobs/{answer.json()['id']}"
            while not course.ended:
                course.document = (await client.get(path)).json()
                now = time.monotonic() - began
                if course.document["waiting_for"] and course.waiting is None:
                    course.waiting = now
                is_paused = course.document["state"] == "queued" and course.document["problem"]
                if course.document["state"] in ENDED or is_paused:
                    course.ended = now
                await lapse(LOOK_SECONDS)
            course.met = (script.first_met or began) - began
            course.judge()
            await client.post(f"{path}/cancel")
            try:
                await check_content(fault, registry)
            except AssertionError as error:
                course.wrong.append(f"{error!s:.500}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.registry.faults", description=__doc__)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("name", nargs="*", help="of a fault, or a part of it; all if left out")
    arguments = parser.parse_args()
    if os.environ.pop(INSIDE, None) is None:
        return _go_inside()
    chosen = [fault for fault in FAULTS if fault.is_for_real_ones]
    if arguments.name:
        chosen = [fault for fault in chosen if any(part in fault.name for part in arguments.name)]
    else:
        chosen = [fault for fault in chosen if fault.name != HALF_AN_HOUR]
    with (
        tempfile.TemporaryDirectory(prefix="tarmac-faults-", dir="/var/tmp") as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server,
    ):
        name_server.bind(("127.0.0.1", 53))  # and nobody reads what comes
        print("| fault | ends | seconds | since it was met | `waiting_for` |\n|---|---|---|---|---|")
        courses = asyncio.run(Run(Path(folder), chosen, arguments.at_once).all())
    wrong = [course for course in courses if course.wrong]
    refused = [course.ended - course.met for course in courses if course.document["state"] == "failed"]
    print(f"{len(courses)} faults, {len(wrong)} wrong; the longest refusal took {max(refused, default=0):.1f} s")
    return 1 if wrong else 0


def _go_inside() -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as names:
        names.write("nameserver 127.0.0.1\n")
        names.flush()
        environ = {**os.environ, INSIDE: "1", "NAMES": names.name}
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        inside = ["sh", "-c", _SET_UP, "sh", sys.executable, "-m", "tests.registry.faults", *sys.argv[1:]]
        return os.spawnvpe(os.P_WAIT, "unshare", ["unshare", "--net", "--mount", *root, *inside], environ)


if __name__ == "__main__":
    sys.exit(main())
