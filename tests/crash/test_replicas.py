"""Two replicas on one PostgreSQL: what one has accepted the other brings to its end, and each knows of both."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.soak.process import LOOK_SECONDS, Tarmac, pause
from tests.support.archives import entry, image, oci_image, oci_layout
from tests.support.docker_registry import DockerRegistry
from tests.support.postgres import Postgres

NODE = oci_image(image({"bin/app": b"app" * 1000}), compression="gzip")
ARCHIVE = oci_layout([entry(NODE)])
LATER = oci_image(image({"bin/app": b"new" * 1000}), compression="gzip")
LATER_ARCHIVE = oci_layout([entry(LATER)])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def replicas(
    tmp_path: Path, registry: DockerRegistry, postgres: Postgres, request: pytest.FixtureRequest
) -> Iterator[tuple[Tarmac, Tarmac]]:
    environ = {
        "TARMAC_DATABASE_URL": postgres.create(),
        "TARMAC_REGISTRY_URL": registry.url,
        "TARMAC_REPLICA_TIMEOUT": "2s",
        "TARMAC_SWEEP_INTERVAL": "1s",
        "TARMAC_SWEEP_AGE": "1s",
        **getattr(request, "param", {}),
    }
    first, second = (Tarmac(tmp_path / "data", environ, program=()) for _ in range(2))
    with ExitStack() as stack:
        for item in (first, second):
            item.start()
            stack.callback(item.kill)
        yield first, second


def held_up(replica: Tarmac, other: Tarmac, registry: DockerRegistry) -> str:
    """The id of a job that `replica` runs and cannot end: the registry does not answer."""
    other.send_signal(signal.SIGSTOP)  # it must not take the job
    registry.send_signal(signal.SIGSTOP)
    job_id: str = replica.ask("POST", "/push?tag=team/app:1", ARCHIVE)[1]["id"]
    while replica.ask("GET", f"/jobs/{job_id}")[1]["state"] != "running":
        pause(LOOK_SECONDS)
    return job_id


def test_a_dead_replicas_job_is_ended_by_the_other(replicas: tuple[Tarmac, Tarmac], registry: DockerRegistry) -> None:
    first, second = replicas
    job_id = held_up(first, second, registry)
    first.kill()
    for item in (second, registry):
        item.send_signal(signal.SIGCONT)
    job = second.job(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)


def test_of_two_jobs_for_one_tag_at_two_replicas_the_later_has_the_last_word(
    replicas: tuple[Tarmac, Tarmac], registry: DockerRegistry
) -> None:
    first, second = replicas
    older = held_up(first, second, registry)
    first.send_signal(signal.SIGSTOP)  # the newer job is the other's
    second.send_signal(signal.SIGCONT)
    newer: str = second.ask("POST", "/push?tag=team/app:1", LATER_ARCHIVE)[1]["id"]
    while second.ask("GET", f"/jobs/{newer}")[1]["state"] != "running":
        pause(LOOK_SECONDS)
    for item in (first, registry):
        item.send_signal(signal.SIGCONT)
    assert second.job(newer)["state"] == second.job(older)["state"] == "succeeded"
    with urlopen(Request(f"{registry.url}/v2/team/app/manifests/1", headers={"Accept": LATER.media_type})) as answer:
        assert answer.headers["Docker-Content-Digest"] == LATER.digest


def test_a_job_is_seen_and_cancelled_at_the_other(replicas: tuple[Tarmac, Tarmac], registry: DockerRegistry) -> None:
    first, second = replicas
    job_id = held_up(first, second, registry)
    second.send_signal(signal.SIGCONT)
    assert second.ask("GET", f"/jobs/{job_id}")[1]["state"] == "running"
    assert second.ask("POST", f"/jobs/{job_id}/cancel")[1]["state"] == "cancelled"
    registry.send_signal(signal.SIGCONT)
    assert first.job(job_id)["state"] == "cancelled"
    assert registry.requests().count(("PUT", "/v2/team/app/manifests/1")) == 0


class Balancer:
    """Asks the replicas in turn for one job, and holds that its percent never falls. One that is away is passed over,
    as a balancer does."""

    def __init__(self, replicas: tuple[Tarmac, Tarmac], job: str) -> None:
        self._replicas, self._job = replicas, job
        self._turn = 0
        self.percent = 0.0

    def ask(self) -> dict[str, Any]:
        for _ in range(MOST_LOOKS):
            self._turn += 1
            try:
                status, document = self._replicas[self._turn % 2].ask("GET", f"/jobs/{self._job}")
            except OSError:
                pause(LOOK_SECONDS)
                continue
            if status == 200:
                break
        percent = document["progress"]["percent"]
        assert percent >= self.percent, f"{percent} after {self.percent} at replica {self._turn % 2}"
        self.percent = percent
        return dict(document)

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for _ in range(MOST_LOOKS):
            if is_so(document := self.ask()):
                return document
            pause(LOOK_SECONDS)
        raise AssertionError(f"what was awaited did not come: {document}")


SLOW = {"TARMAC_REGISTRY_MAX_BYTES_PER_SECOND": "400kB"}
MOST_LOOKS = 3_000


def incompressible(size: int, count: int) -> bytes:
    noise = random.Random(size)
    layers = ({f"bin/{number}": noise.randbytes(size)} for number in range(count))
    return oci_layout([entry(oci_image(image(*layers), compression="gzip"))])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("replicas", [SLOW], indirect=True, ids=["slow"])
def test_percent_does_not_fall_for_a_client_that_asks_both_over_a_kill_and_a_restart(
    replicas: tuple[Tarmac, Tarmac],
) -> None:
    first, second = replicas
    second.send_signal(signal.SIGSTOP)  # it must not take the job
    job: str = first.ask("POST", "/push?tag=team/slow:1", incompressible(300_000, 6))[1]["id"]
    while first.ask("GET", f"/jobs/{job}")[1]["state"] == "queued":
        pause(LOOK_SECONDS)
    second.send_signal(signal.SIGCONT)
    balancer = Balancer(replicas, job)
    balancer.until(lambda document: document["progress"]["percent"] > 65)
    first.kill()
    before = balancer.ask()
    assert before["progress"]["percent"] > 65
    first.launch()
    done = balancer.until(lambda document: document["state"] in {"succeeded", "failed"})
    assert (done["state"], done["attempt"], done["progress"]["percent"]) == ("succeeded", 2, 100.0)
    for replica in replicas:
        assert Balancer((replica, replica), job).ask() == done
