"""Two replicas on one PostgreSQL: one of them is killed, or stopped and continued later, at a random moment of a mixed
load that goes to both. A client asks both for the percent of all jobs. In the end nothing is left in the spool that
they share but what a job may be retried with."""

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
from tests.soak.kills import ARCHIVE_BYTES, FRESH_AFTER, LONGEST_LOAD, Load
from tests.soak.oracle import ENDED, SHARED, Sent, tag_at
from tests.soak.percent import PercentWatch
from tests.soak.process import LOOK_SECONDS, Tarmac, pause
from tests.support.archives import entry, image, oci_image, oci_layout
from tests.support.docker_registry import DockerRegistry
from tests.support.postgres import Postgres

TIMEOUT_SECONDS = 2  # of a replica without a sign of life
LONGEST_TAKEOVER = 15.0
SWEEP_SECONDS = 1  # between two sweeps of the spool, and since the end of a job whose leftovers go
LONGEST_SWEEP = 2 * SWEEP_SECONDS + 10.0  # on a busy machine
LARGE = 0.3  # of the archives are so large that some are under way when the kill comes
LARGE_LAYERS, LARGE_BYTES = 4, 700_000
Pair = list[Tarmac]


class FencedLoad(Load):
    """What was given up for dead while its replica was stopped is refused when that goes on, or its transaction was
    ended meanwhile: the client is told to send it again."""

    def _archive(self, client: int, chance: random.Random) -> tuple[bytes, str]:
        is_large = chance.random() < LARGE
        sizes = [LARGE_BYTES] * LARGE_LAYERS if is_large else [chance.randint(*ARCHIVE_BYTES)]
        layers = ({f"bin/{number}": chance.randbytes(size)} for number, size in enumerate(sizes))
        node = oci_image(image(*layers), compression="gzip")
        return oci_layout([entry(node)]), node.digest

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
                _rounds(Path(folder), (registry, postgres), (orders, report), chance)
    return report


def _rounds(
    folder: Path, around: tuple[DockerRegistry, Postgres], task: tuple[Orders, Report], chance: random.Random
) -> None:
    (registry, postgres), (orders, report) = around, task
    database = postgres.create()
    paths = folder / "in"
    paths.mkdir()
    environ = {
        "TARMAC_REGISTRY_URL": registry.url,
        "TARMAC_PATH_ROOTS": str(paths),
        "TARMAC_DATABASE_URL": database,
        "TARMAC_REPLICA_TIMEOUT": f"{TIMEOUT_SECONDS}s",
        "TARMAC_SWEEP_INTERVAL": f"{SWEEP_SECONDS}s",
        "TARMAC_SWEEP_AGE": f"{SWEEP_SECONDS}s",
    }
    pair = [Tarmac(folder / "data", environ) for _ in range(2)]
    for item in pair:
        item.start()
    try:
        for _ in range(min(FRESH_AFTER, orders.rounds - report.rounds)):
            chance.shuffle(pair)
            with PercentWatch(tuple(pair)) as watch:
                found = _round(pair, registry, (paths, report), chance)
            found += watch.falls + _orphans(folder / "data" / "spool", postgres, database, report)
            report.add("percents that were seen", watch.looks)
            report.add("of these between 0 and 100", watch.between)
            report.add("falls of a percent", len(watch.falls))
            found = [f"round {report.rounds}: {loss}" for loss in found]
            report.losses += found
            report.rounds += 1
            print("\n".join(found) if found else "." * (report.rounds % 20 == 0), end="", flush=True)
    finally:
        for item in pair:
            item.kill()


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
        found += [*load.refused, *_of_registry(survivor, registry, load.sent)]
    return found + list(_differences(pair, [sent for load in loads for sent in load.sent]))


def _orphans(spool: Path, postgres: Postgres, database: str, report: Report) -> list[str]:
    """What is in the spool longer than a sweep may take, and no job may want. All jobs have ended."""
    began = time.monotonic()
    report.add("orphans before the last sweep of a round", len(_left(spool, postgres, database)))
    while names := _left(spool, postgres, database):
        if time.monotonic() - began > LONGEST_SWEEP:
            break
        pause(LOOK_SECONDS)
    report.note_longest("longest until the spool was swept, in seconds", time.monotonic() - began)
    report.add("orphans in the spool", len(names))
    return [f"orphan in the spool: {name}" for name in sorted(names)]


def _left(spool: Path, postgres: Postgres, database: str) -> set[str]:
    return {path.name for path in spool.iterdir()} - _kept(postgres, database)


def _kept(postgres: Postgres, database: str) -> set[str]:
    """The files of jobs that may be retried."""
    files = "SELECT json_array_elements(document->'archives')->'file'->>'path' FROM jobs WHERE state <> 'succeeded'"
    name = database.partition("?")[0].rpartition("/")[2]
    return {Path(path).name for path in postgres.run(files, name).splitlines() if path}


def _ended_at(service: Tarmac, sent: list[Sent], report: Report, began: float) -> list[str]:
    accepted = [item for item in sent if item.job is not None]
    report.jobs += len(accepted)
    open_at_first = [item for item in accepted if service.ask("GET", f"/jobs/{item.job}")[1]["state"] not in ENDED]
    report.killed_under_way += len(open_at_first)
    found = [f"job {item.job} has not ended" for item in accepted if not _ends(service, item)]
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
        told = [item.ask("GET", f"/jobs/{push.job}")[1] for item in pair] if push.job else []
        if told and told[0] != told[1]:
            yield f"the replicas differ on job {push.job}: {told[0]['state']}, {told[1]['state']}"
