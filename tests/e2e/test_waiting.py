"""A job says what it waits for while its registry cannot be reached."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, service
from tests.support.counting_proxy import CountingProxy
from tests.support.docker_registry import DockerRegistry, free_port

ONE = Path(__file__).parents[1] / "data" / "corpus" / "d20-save-one.tar"
MOST_LOOKS = 500


def seen_waiting(running: Service, job: str) -> dict[str, Any]:
    for _ in range(MOST_LOOKS):
        document: dict[str, Any] = running.curl(f"/jobs/{job}")[1]
        if document["waiting_for"] is not None:
            return document
        try:
            running.process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail("the job did not say that it waits")


def test_a_job_says_that_its_registry_does_not_answer_until_it_does(tmp_path: Path) -> None:
    port = free_port()
    with (
        DockerRegistry(tmp_path / "registry") as registry,
        service(tmp_path / "data", TARMAC_REGISTRY_URL=f"http://127.0.0.1:{port}") as running,
    ):
        _, job = running.curl("-T", ONE, "/push/one.tar")
        waiting = seen_waiting(running, job["id"])
        assert waiting["state"] == "running"
        assert waiting["problem"] is None
        told = waiting["waiting_for"]
        assert (told["registry"], told["attempts"] >= 1) == ("default", True)
        assert told["last_error"].startswith("registry_unreachable: ")
        assert waiting["created_at"] <= told["since"] <= told["next_at"]
        with CountingProxy(registry.port, port):
            _, done = running.curl(f"/jobs/{job['id']}?wait=30")
    assert (done["state"], done["waiting_for"]) == ("succeeded", None)
