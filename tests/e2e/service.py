"""A service as users have it, in a process of its own, spoken to with curl."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.certificates import Certificates
from tests.support.docker_registry import free_port
from tests.support.forked import Program
from tests.support.peers import peer

START_SECONDS = 30.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Service:
    address: str
    data: Path
    process: Program | subprocess.Popen[bytes]
    authority: Path | None = None  # that signed what it shows, where it speaks TLS
    client: Certificates | None = None  # what a client shows
    socket: Path | None = None  # where it listens in place of the address

    @property
    def url(self) -> str:
        return f"{'http' if self.authority is None else 'https'}://{self.address}"

    def curl(self, *arguments: str | Path, stdin: bytes | None = None) -> tuple[int, Any]:
        """Status and JSON document. The last argument is a path of the service."""
        *options, path = map(str, arguments)
        if self.authority is not None:
            options += ["--cacert", str(self.authority)]
        if self.client is not None:
            options += ["--cert", str(self.client.certificate), "--key", str(self.client.key)]
        if self.socket is not None:
            options += ["--unix-socket", str(self.socket)]
        command = [curl(), "-sS", "--max-time", "40", "-w", "\n%{http_code}", *options, f"{self.url}{path}"]
        done = subprocess.run(command, capture_output=True, check=True, input=stdin)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), json.loads(body) if body else None


def curl() -> str:
    return peer("curl")


@contextmanager
def service(
    data: Path,
    authority: Path | None = None,
    client: Certificates | None = None,
    log: Path = Path(os.devnull),
    /,
    **environ: str,
) -> Iterator[Service]:
    port = int(environ.get("TARMAC_PORT") or free_port())
    settings = {"TARMAC_PORT": str(port), "TARMAC_DATA_DIR": str(data), **environ}
    process = Program(["serve"], {**os.environ, **settings}, log)
    try:
        at = Path(environ["TARMAC_SOCKET"]) if "TARMAC_SOCKET" in environ else None
        running = Service(f"127.0.0.1:{port}", data, process, authority, client, at)
        _await_start(running)
        yield running
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def _await_start(running: Service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(running):
        assert time.monotonic() < deadline, "the service did not start"
        try:
            running.process.wait(0.05)  # the pause between two looks, and the notice of an early end
        except subprocess.TimeoutExpired:
            continue
        pytest.fail("the service ended at its start")


def _answers(running: Service) -> bool:
    if running.socket is not None:
        return _answers_at(running.socket)
    context = None if running.authority is None else ssl.create_default_context(cafile=running.authority)
    if context is not None and running.client is not None:
        context.load_cert_chain(running.client.certificate, running.client.key)
    try:
        with urlopen(f"{running.url}/readyz", timeout=5, context=context):
            return True
    except (URLError, ConnectionError, TimeoutError):
        return False


def _answers_at(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False
