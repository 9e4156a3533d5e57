"""docker-compose.yml's services together, as the profile `ha` starts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.conftest import DATABASE, REGISTRY
from tests.container.engine import Engine
from tests.container.landing import asked, assert_landed, pushed
from tests.container.services import ADDRESSES, COMPOSE, compose_flags

REPLICAS = ("tarmac-a", "tarmac-b")
FIRST, SECOND = (f"http://{ADDRESSES[replica]}:8080" for replica in REPLICAS)


@pytest.fixture
def replicas(engine: Engine, image: str, tools: None) -> Engine:
    """Each after those that it depends on are healthy."""
    for name, stand_in in (("registry", REGISTRY), ("database", DATABASE), *((replica, image) for replica in REPLICAS)):
        for needed in COMPOSE["services"][name].get("depends_on", {}):
            engine.await_health(needed)
        engine.start(name, stand_in, *compose_flags(name))
    for replica in REPLICAS:
        engine.await_health(replica)
    return engine


def test_what_one_replica_took_is_known_at_the_other_and_outlives_the_first(replicas: Engine, tmp_path: Path) -> None:
    job = pushed(replicas, service=FIRST)
    assert asked(replicas, f"{SECOND}/jobs/{job['id']}") == job
    replicas.podman("stop", REPLICAS[0])
    assert replicas.inspect("container", REPLICAS[0])["State"]["ExitCode"] == 0
    again = pushed(replicas, "-F", "prefix=again", service=SECOND)
    assert {item["id"] for item in asked(replicas, f"{SECOND}/jobs")["jobs"]} == {job["id"], again["id"]}
    assert_landed(replicas, tmp_path / "back", f"{ADDRESSES['registry']}:5000", "--src-tls-verify=false")
