"""The service as a process that is killed and started again on the same data, and a client that survives it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.docker_registry import free_port
from tests.support.forked import Program

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0  # on a busy machine
LOOK_SECONDS = 0.01
ANSWER_SECONDS = 30.0


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def connect(
    port: int, seconds: float, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> http.client.HTTPConnection:
    """Return a connection to a service on loopback, from `address`."""
    if tls is None:
        return http.client.HTTPConnection("127.0.0.1", port, seconds, source_address=(address, 0))
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=seconds, source_address=(address, 0), context=tls)


@dataclass
class Tarmac:
    """`environ`: its settings besides port and data directory. `program`: what `python -m` runs; if empty, the service
    is a fork of a process that has imported it. `tls`: for the client of a service that has a certificate."""

    data: Path
    environ: dict[str, str]
    port: int = field(default_factory=free_port)
    process: Program | subprocess.Popen[bytes] | None = None
    wrapper: tuple[str, ...] = ()
    program: tuple[str, ...] = ("app",)
    tls: ssl.SSLContext | None = None

    @property
    def log(self) -> Path:
        return self.data.with_name(f"{self.data.name}.log")

    def launch(self) -> None:
        """Start it, and do not wait."""
        settings = {"TARMAC_PORT": str(self.port), "TARMAC_DATA_DIR": str(self.data), **self.environ}
        environ = {**os.environ, **settings}
        if not self.program:
            self.process = Program(["serve"], environ, self.log)
            return
        command = [*self.wrapper, sys.executable, "-m", *self.program, "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def start(self) -> float:
        """Seconds until it was ready."""
        began = time.monotonic()
        self.launch()
        assert self.process is not None
        while time.monotonic() - began < START_SECONDS:
            if self.process.poll() is not None:
                break
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return time.monotonic() - began
            except OSError:
                pause(LOOK_SECONDS)
        raise AssertionError(f"the service did not start; its log ends with\n{self.log.read_text()[-2000:]}")

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = START_SECONDS) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/x-tar"
    ) -> tuple[int, Any]:
        """Status and document. Raises OSError where the service goes away."""
        connection = connect(self.port, ANSWER_SECONDS, self.tls)
        try:
            headers = {} if body is None else {"Content-Type": kind}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return answer.status, json.loads(content) if content else None

    def job(self, job_id: str) -> dict[str, Any]:
        status, document = self.ask("GET", f"/jobs/{job_id}?wait={ANSWER_SECONDS - 5:.0f}")
        assert status == 200, document
        found: dict[str, Any] = document
        return found
