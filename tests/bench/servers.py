"""The two servers of a run: a registry with empty storage, and the service under measurement."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.processes import CommandFailed, bytes_read, cpu_seconds
from tests.support.docker_registry import DockerRegistry, free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 40.0
JOB_SECONDS = 900


@contextmanager
def scratch(prefix: str = "run-") -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"tarmac-bench-{prefix}"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came to the registry. `requests` by method; `received` bytes read, from the network above all; `stored`
    bytes of blobs, manifests included."""

    requests: dict[str, int]
    received: int
    stored: int
    cpu: float

    def since(self, earlier: Taken) -> Taken:
        requests = {name: count - earlier.requests.get(name, 0) for name, count in self.requests.items()}
        return Taken(
            {name: count for name, count in requests.items() if count},
            self.received - earlier.received,
            self.stored - earlier.stored,
            self.cpu - earlier.cpu,
        )


@dataclass(frozen=True, slots=True)
class Registry:
    server: DockerRegistry

    @property
    def address(self) -> str:
        return self.server.address

    def taken(self) -> Taken:
        counts: dict[str, int] = {}
        for method, _ in self.server.requests():
            counts[method] = counts.get(method, 0) + 1
        blobs = self.server.storage / "docker/registry/v2/blobs"
        stored = sum(path.stat().st_size for path in blobs.rglob("data"))
        return Taken(counts, bytes_read(self.server.pid), stored, cpu_seconds(self.server.pid))


@contextmanager
def empty_registry() -> Iterator[Registry]:
    with scratch("registry-") as folder, DockerRegistry(folder) as server:
        yield Registry(server)


@dataclass(frozen=True, slots=True)
class Service:
    """`python -m app serve`; it may read archives below `roots`."""

    port: int
    process: subprocess.Popen[bytes]
    started_in: float
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and document. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=JOB_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def push_paths(self, *paths: Path, **options: str) -> dict[str, Any]:
        """The job, ended. Raises CommandFailed where it did not succeed."""
        wanted = {"paths": [str(path) for path in paths], **options}
        return succeeded(self.ask("POST", f"/push?wait={JOB_SECONDS}", wanted))


def succeeded(answer: tuple[int, Any]) -> dict[str, Any]:
    status, job = answer
    if not isinstance(job, dict) or job.get("state") != "succeeded":
        raise CommandFailed(f"{status} {json.dumps(job)[:2000]}")
    return job


@contextmanager
def service(registry: Registry | None, roots: Path, **settings: str) -> Iterator[Service]:
    with scratch("data-") as data:
        port = free_port()
        environ = _environ(data, roots, port)
        if registry is not None:
            environ["TARMAC_REGISTRY_URL"] = f"http://{registry.address}"
        began = time.monotonic()
        log = data / "bench.log"
        with log.open("wb") as said:
            command = [sys.executable, "-m", "app", "serve"]
            process = subprocess.Popen(command, cwd=ROOT, env={**environ, **settings}, stdout=said, stderr=said)
        try:
            _await_ready(port, process, log)
            yield Service(port, process, time.monotonic() - began, data)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)


def _environ(data: Path, roots: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TARMAC_")}
    return {**kept, "TARMAC_PORT": str(port), "TARMAC_DATA_DIR": str(data), "TARMAC_PATH_ROOTS": str(roots)}


def _await_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        try:
            process.wait(0.01)  # the pause between two looks, and the notice of an early end
        except subprocess.TimeoutExpired:
            continue
        said = log.read_text(errors="replace")[-300:]
        raise CommandFailed(f"the service ended with {process.returncode} at its start: {said}")
    raise CommandFailed("the service did not start")
