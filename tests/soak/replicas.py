"""Two replicas on one PostgreSQL: one of them is killed, or stopped and continued later, at a random moment of a mixed
load that goes to both."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.soak import Orders, Report
from tests.soak.kills import FRESH_AFTER, LONGEST_LOAD, Load
from tests.soak.oracle import ENDED, SHARED, Sent, tag_at
from tests.soak.process import LOOK_SECONDS, Tarmac, pause
from tests.support.docker_registry import DockerRegistry
from tests.support.postgres import Postgres

TIMEOUT_SECONDS = 2  # of a replica without a sign of life
LONGEST_TAKEOVER = 15.0
Pair = list[Tarmac]


class FencedLoad(Load):
    """What was given up for dead while its replica was stopped is refused when that goes on, or its transaction was
    ended meanwhile: the client is told to send it again."""

    def _submit(self, sent: Sent, path: str, body: bytes, kind: str = "application/x-tar") -> Sent:
        try:
            status, document = self._service.ask("POST", path, body, kind)
        except OSError:
            self._stopped.set()
            return sent
        assert status in {202, 409, 503}, document
        return replace(sent, job=document["id"]) if status == 202 else sent


def run(orders: Orders) -> Report:
    chance, report = random.Random(orders.seed), Report("replicas")
    with Postgres() as postgres:
        while report.rounds < orders.rounds:
            with (
                tempfile.TemporaryDirectory(prefix="tarmac-soak-") as folder,
                DockerRegistry(Path(folder) / "registry") as registry,
            ):
                _rounds(Path(folder), (registry, postgres.create()), (orders, report), chance)
    return report


def _rounds(
    folder: Path, around: tuple[DockerRegistry, str], task: tuple[Orders, Report], chance: random.Random
) -> None:
    (registry, database), (orders, report) = around, task
    paths = folder / "in"
    paths.mkdir()
    environ = {
        "TARMAC_REGISTRY_URL": registry.url,
        "TARMAC_PATH_ROOTS": str(paths),
        "TARMAC_DATABASE_URL": database,
        "TARMAC_REPLICA_TIMEOUT": f"{TIMEOUT_SECONDS}s",
    }
    pair = [Tarmac(folder / "data", environ) for _ in range(2)]
    for each in pair:
        each.start()
    try:
        for _ in range(min(FRESH_AFTER, orders.rounds - report.rounds)):
            chance.shuffle(pair)
            found = [f"round {report.rounds}: {loss}" for loss in _round(pair, registry, (paths, report), chance)]
            report.losses += found
            report.rounds += 1
            print("\n".join(found) if found else "." * (report.rounds % 20 == 0), end="", flush=True)
    finally:
        for each in pair:
            each.kill()


def _round(pair: Pair, registry: DockerRegistry, task: tuple[Path, Report], chance: random.Random) -> list[str]:
    """The first of the pair is hit; the second has to bring everything to its end."""
    victim, survivor = pair
    paths, report = task
    loads = [FencedLoad(each, paths, report.rounds * 2 + number, chance) for number, each in enumerate(pair)]
    for load in loads:
        load.start()
    pause(chance.uniform(0.02, LONGEST_LOAD))
    is_killed = chance.random() < 0.5
    victim.send_signal(signal.SIGKILL if is_killed else signal.SIGSTOP)
    began = time.monotonic()
    if is_killed:
        victim.wait()
        loads[0].stop()
    loads[1].stop()
    found = _ended_at(survivor, loads[1].sent, report, began)
    if is_killed:
        found += _ended_at(survivor, loads[0].sent, report, began)
        victim.start()
    else:
        pause(chance.uniform(0, 2 * TIMEOUT_SECONDS))
        victim.send_signal(signal.SIGCONT)  # a zombie where its jobs are taken over already
        loads[0].stop()
        found += _ended_at(survivor, loads[0].sent, report, time.monotonic())
    for load in loads:
        found += list(_of_registry(survivor, registry, load.sent))
    return found + list(_differences(pair, [sent for load in loads for sent in load.sent]))


def _ended_at(service: Tarmac, sent: list[Sent], report: Report, began: float) -> list[str]:
    accepted = [each for each in sent if each.job is not None]
    report.jobs += len(accepted)
    open_at_first = [each for each in accepted if service.ask("GET", f"/jobs/{each.job}")[1]["state"] not in ENDED]
    report.killed_under_way += len(open_at_first)
    found = [f"job {each.job} has not ended" for each in accepted if not _ends(service, each)]
    if open_at_first:
        report.recoveries.append(time.monotonic() - began)
        if report.recoveries[-1] > LONGEST_TAKEOVER:
            found.append(f"it took {report.recoveries[-1]:.1f} s to end what was under way")
    return found


def _ends(service: Tarmac, sent: Sent) -> bool:
    until = time.monotonic() + 2 * LONGEST_TAKEOVER
    while time.monotonic() < until:
        if service.job(str(sent.job))["state"] in ENDED:
            return True
        pause(LOOK_SECONDS)
    return False


def _of_registry(service: Tarmac, registry: DockerRegistry, sent: list[Sent]) -> Iterator[str]:
    for push in sent:
        document: dict[str, Any] | None = service.job(push.job) if push.job else None
        name = f"{push.repository}:{push.tag} (job {push.job})"
        wanted = {"succeeded", "cancelled"} if push.cancel else {"succeeded"}
        if document is not None and document["state"] not in wanted:
            yield f"{name} is {document['state']}: {document['problem']}"
        found = tag_at(registry, push.repository, push.tag) if push.tag != SHARED else push.digest
        succeeded = document is not None and document["state"] == "succeeded"
        if found != push.digest and (succeeded or found is not None):
            yield f"{name} has {found}, not {push.digest}"


def _differences(pair: Pair, sent: list[Sent]) -> Iterator[str]:
    """Both tell the same of every job."""
    for push in sent:
        told = [each.ask("GET", f"/jobs/{push.job}")[1] for each in pair] if push.job else []
        if told and told[0] != told[1]:
            yield f"the replicas differ on job {push.job}: {told[0]['state']}, {told[1]['state']}"
