"""SIGTERM: uploads under way end well, new work is told to come again, and nothing looks like a crash."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.bench import APP
from tests.soak.process import LOOK_SECONDS, Tarmac, pause

ROOT = Path(__file__).parents[2]
# The signal comes while the service is still being imported.
STOPPED_EARLY = """
import os, signal, sys
from app.__main__ import main

class Signal:
    def find_spec(self, name, *_):
        if name == "app.main":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Signal())
sys.exit(main(["serve"]))
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Tarmac]:
    service = Tarmac(tmp_path / "data", {})
    service.start()
    yield service
    service.kill()


def begin_upload(service: Tarmac) -> socket.socket:
    """Half of it is sent, and a job exists."""
    client = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    head = f"PUT /push/x.tar HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(APP)}\r\n\r\n"
    client.sendall(head.encode() + APP[:2000])
    while not service.ask("GET", "/jobs?state=receiving")[1]["jobs"]:
        pause(LOOK_SECONDS)
    return client


def stop_begins(service: Tarmac) -> None:
    service.send_signal(signal.SIGTERM)
    while service.ask("GET", "/readyz")[0] == 200:
        pause(LOOK_SECONDS)


def test_a_stop_lets_an_upload_end_and_takes_no_new_one(service: Tarmac) -> None:
    client = begin_upload(service)
    stop_begins(service)
    status, problem = service.ask("POST", "/push", APP)
    assert (status, problem["code"]) == (503, "unavailable")
    client.sendall(APP[2000:])
    with client:
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 202 ")
    job = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]
    assert service.wait() == 0
    assert "Traceback" not in service.log.read_text()
    service.start()
    assert service.job(job)["state"] == "succeeded"


def test_a_stop_during_the_start_is_no_failure_and_is_not_passed_over(tmp_path: Path) -> None:
    environ = {**os.environ, "TARMAC_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_EARLY], cwd=ROOT, env=environ, capture_output=True, check=False, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (tmp_path / "data").exists()


def test_a_second_signal_does_not_wait(service: Tarmac) -> None:
    client = begin_upload(service)
    stop_begins(service)
    service.send_signal(signal.SIGTERM)
    assert service.wait(25) == 0
    client.close()
    assert "Traceback" not in service.log.read_text()
    service.start()
    jobs = service.ask("GET", "/jobs")[1]["jobs"]
    assert [(job["state"], job["problem"]["code"]) for job in jobs] == [("failed", "upload_incomplete")]
    assert list((service.data / "spool").iterdir()) == []
