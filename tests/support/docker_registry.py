"""A real registry for tests: Debian's `docker-registry` (distribution 2.8) on a free loopback port, with empty storage.

@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as server:
        yield server                      # server.address == "127.0.0.1:40123"
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from app.oci import media_types
from tests.support.peers import peer

USER, PASSWORD = "tarmac", "correct horse"
HTPASSWD = f"{USER}:$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"  # bcrypt of PASSWORD, cheapest cost

START_SECONDS = 20.0
PORTS = (10_000, 32_767)
PORT_ATTEMPTS = 5  # between our looking for a free port and the registry's binding it another process may take it
_REQUEST = re.compile(
    r'msg="response completed(?: with error)?".* http\.request\.method=(\S+) .*http\.request\.uri="?([^" ]+)'
)


def binary() -> str:
    """The path of docker-registry; without it the test is skipped, or fails where the peers are required."""
    return peer("docker-registry")


def free_port() -> int:
    """Outside the range from which the system gives ports to those who ask for any: a server of another test, or of
    another run beside this one, would take it in the meantime and get requests that are not for it."""
    while True:
        port = random.randint(*PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True, slots=True)
class Options:
    """`basic`: ask for USER and PASSWORD. `certificate` and `key`: speak TLS. `more`: more configuration. `host`: the
    address of the loopback network to listen on."""

    basic: bool = False
    certificate: Path | None = None
    key: Path | None = None
    more: tuple[tuple[str, Any], ...] = ()
    host: str = "127.0.0.1"


class DockerRegistry:
    """Started by `start` (or `with`), stopped by its own process id. `log` holds what it wrote."""

    def __init__(self, folder: Path, options: Options = Options()) -> None:
        self.folder, self.options = folder, options
        self.log = folder / "registry.log"
        self.storage = folder / "storage"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port"""
        return f"{self.options.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.options.certificate else 'http'}://{self.address}"

    @property
    def pid(self) -> int:
        """While it runs."""
        assert self._process is not None
        return self._process.pid

    def requests(self) -> list[tuple[str, str]]:
        """Method and path (no query) of every request answered so far, oldest first."""
        found = (_REQUEST.search(line) for line in self.log.read_text().splitlines())
        return [(match[1], match[2].partition("?")[0]) for match in found if match]

    def manifest(self, repository: str, reference: str) -> bytes | None:
        """The bytes of a manifest as they were pushed; None where there is none."""
        accept = ", ".join((*media_types.MANIFESTS, *media_types.INDEXES))
        answer = httpx.get(f"{self.url}/v2/{repository}/manifests/{reference}", headers={"Accept": accept})
        return None if answer.status_code == 404 else answer.raise_for_status().content

    def start(self) -> Self:
        program = binary()
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(PORT_ATTEMPTS):
            self.port = free_port()
            if self._start_once(program):
                return self
        pytest.fail(f"docker-registry did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def send_signal(self, number: int) -> None:
        """SIGSTOP: it is there and does not answer; SIGCONT: it does again."""
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _start_once(self, program: str) -> bool:
        """True when it listens; False when it ended first, as it does where the port was taken."""
        configuration = self._write_configuration()
        environment = {"PATH": os.environ.get("PATH", ""), "OTEL_TRACES_EXPORTER": "none"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(configuration)], stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if b"listening on " in self.log.read_bytes():
                return True
            try:
                self._process.wait(0.01)  # the pause between two looks, and the notice of an early end
            except subprocess.TimeoutExpired:
                continue
            return False
        self.stop()
        return False

    def _write_configuration(self) -> Path:
        """JSON is YAML, so json.dumps writes what the registry reads."""

        http: dict[str, Any] = {"addr": self.address, "secret": "for tests"}
        if self.options.certificate and self.options.key:
            http["tls"] = {"certificate": str(self.options.certificate), "key": str(self.options.key)}
        document: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
            **dict(self.options.more),
        }
        if self.options.basic:
            passwords = self.folder / "htpasswd"
            passwords.write_text(HTPASSWD)
            document["auth"] = {"htpasswd": {"realm": "tests", "path": str(passwords)}}
        path = self.folder / "config.yml"
        path.write_text(json.dumps(document))
        return path
