"""A real nginx before a registry or the service, on a free loopback port, with a limit on the size of bodies."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.docker_registry import free_port
from tests.support.peers import peer

START_SECONDS = 20.0
PORT_ATTEMPTS = 5


class Nginx:
    """`most`: nginx's client_max_body_size, such as `1m`. `location`: a block in place of the one that passes on
    everything as it is. Stopped by its own process id."""

    def __init__(self, folder: Path, upstream: int, most: str, location: str | None = None) -> None:
        self._folder, self._most = folder, most
        self._location = (
            location
            or f"""location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_set_header Host $http_host;
      proxy_request_buffering off;
      proxy_http_version 1.1;
    }}"""
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> list[int]:
        """The status of every answer so far."""
        return [int(line) for line in (self._folder / "access.log").read_text().split()]

    def __enter__(self) -> Self:
        program = peer("nginx")
        self._folder.mkdir(parents=True)
        for _ in range(PORT_ATTEMPTS):
            self.port = free_port()
            if self._start(program):
                return self
        pytest.fail(f"nginx did not start:\n{(self._folder / 'error.log').read_text()[-2000:]}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _start(self, program: str) -> bool:
        """True when it listens; False when it ended first, as it does where the port was taken."""
        configuration = self._folder / "nginx.conf"
        configuration.write_text(self._configuration())
        command = [program, "-p", str(self._folder), "-e", "error.log", "-c", str(configuration)]
        environment = {"PATH": os.environ.get("PATH", "")}
        self._process = subprocess.Popen(command, cwd=self._folder, env=environment, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            try:
                self._process.wait(0.01)  # the pause between two looks, and the notice of an early end
            except subprocess.TimeoutExpired:
                continue
            return False
        return False

    def _configuration(self) -> str:
        """All its files below its own folder, so that it needs no rights and leaves nothing."""
        places = " ".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 64; }}
http {{
  log_format status "$status"; access_log access.log status; {places}
  server {{
    listen 127.0.0.1:{self.port};
    client_max_body_size {self._most};
    {self._location}
  }}
}}
"""
