"""Cancels at any moment of a job: how long the answer takes, and what is left then. Uploads and paths in turn."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.soak import Orders, Report
from tests.soak.process import LOOK_SECONDS, Tarmac, pause
from tests.support.archives import docker_save, image, tagged
from tests.support.docker_registry import DockerRegistry

LAYERS, LAYER_BYTES = 4, 24 << 20
LATEST_CANCEL = 0.5  # seconds after the job was seen: some have ended by then
SETTLED = 1.0  # seconds in which the sessions have to be closed


@dataclass(slots=True)
class Cancels(Report):
    """`recoveries` are the seconds until a cancel was answered; `found` counts the states that cancels met."""

    found: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        times = sorted(self.recoveries) or [0.0]
        met = ", ".join(f"{number} {state}" for state, number in sorted(self.found.items()))
        return [
            f"{self.scenario}: {self.rounds} rounds, met {met}; {len(self.losses)} losses",
            f"  answered: median {times[len(times) // 2]:.3f} s, longest {times[-1]:.3f} s",
            *(f"  LOST {loss}" for loss in self.losses),
        ]


def run(orders: Orders) -> Report:
    chance, report = random.Random(orders.seed), Cancels("cancels")
    with (
        tempfile.TemporaryDirectory(prefix="tarmac-soak-") as folder,
        DockerRegistry(Path(folder) / "registry") as registry,
    ):
        paths = Path(folder) / "in"
        paths.mkdir()
        environ = {"TARMAC_REGISTRY_URL": registry.url, "TARMAC_PATH_ROOTS": str(paths)}
        service = Tarmac(Path(folder) / "data", environ)
        service.start()
        try:
            for number in range(orders.rounds):
                _round(service, registry, _Case(f"r{number}", paths if number % 2 else None, chance), report)
                report.rounds += 1
        finally:
            service.kill()
    return report


@dataclass(frozen=True, slots=True)
class _Case:
    tag: str
    paths: Path | None
    chance: random.Random

    def archive(self) -> bytes:
        """Half of each layer is noise, so that to compress and to send it both take their time."""
        layers = (
            {f"file{n}": self.chance.randbytes(LAYER_BYTES // 2) + bytes(LAYER_BYTES // 2)} for n in range(LAYERS)
        )
        return docker_save([tagged(image(*layers), f"soak/cancels:{self.tag}")])


def _round(service: Tarmac, registry: DockerRegistry, case: _Case, report: Cancels) -> None:
    body, before = case.archive(), _sessions(registry)
    sender = threading.Thread(target=_send, args=(service, case, body))
    known = _newest(service)
    sender.start()
    while (job_id := _newest(service)) == known:
        pause(LOOK_SECONDS)
    pause(case.chance.uniform(0, LATEST_CANCEL))
    met = service.ask("GET", f"/jobs/{job_id}")[1]["state"]
    began = time.monotonic()
    status, answer = service.ask("POST", f"/jobs/{job_id}/cancel")
    report.recoveries.append(time.monotonic() - began)
    landed = _is_tagged(registry, case.tag)  # before the cancel was answered
    sender.join()
    report.found[met] += 1
    if status == 409:  # it had ended
        return
    if answer["state"] != "cancelled":
        report.losses.append(f"{case.tag}: {status}, {answer['state']}")
    until = time.monotonic() + SETTLED
    while (left := _sessions(registry) - before) and time.monotonic() < until:
        pause(LOOK_SECONDS)
    if left:
        report.losses.append(f"{case.tag}, {met}: open sessions {_told(registry, left)}")
    if service.ask("GET", f"/jobs/{job_id}")[1]["state"] != "cancelled":
        report.losses.append(f"{case.tag}: it is cancelled no more")
    if not landed and _is_tagged(registry, case.tag):
        report.losses.append(f"{case.tag}, {met}: there is a tag")


def _send(service: Tarmac, case: _Case, body: bytes) -> None:
    with suppress(OSError):  # the service ends an upload whose job is cancelled
        if case.paths is None:
            service.ask("POST", f"/push?tag=soak/cancels:{case.tag}", body)
            return
        file = case.paths / f"{case.tag}.tar"
        file.write_bytes(body)
        asked = {"paths": [str(file)], "tag": f"soak/cancels:{case.tag}"}
        service.ask("POST", "/push", json.dumps(asked).encode(), "application/json")


def _newest(service: Tarmac) -> str | None:
    jobs = service.ask("GET", "/jobs?limit=1")[1]["jobs"]
    return jobs[0]["id"] if jobs else None


def _sessions(registry: DockerRegistry) -> frozenset[str]:
    return frozenset(path.parent.name for path in registry.storage.glob("**/_uploads/*/startedat"))


def _told(registry: DockerRegistry, sessions: frozenset[str]) -> str:
    """With what was asked of each, and how much it holds."""
    asked = registry.requests()
    sizes = {path.parent.name: path.stat().st_size for path in registry.storage.glob("**/_uploads/*/data")}
    return "; ".join(
        f"{session}: {sizes.get(session)} bytes, {[m for m, uri in asked if session in uri]}" for session in sessions
    )


def _is_tagged(registry: DockerRegistry, tag: str) -> bool:
    request = Request(f"{registry.url}/v2/soak/cancels/manifests/{tag}", method="HEAD")
    try:
        with urlopen(request, timeout=10):
            return True
    except HTTPError as error:
        return error.code != 404
