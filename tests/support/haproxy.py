"""A real HAProxy before the service, which asks it whether it is up. Stopped by its own process id."""

from __future__ import annotations

import csv
import io
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


class HAProxy:
    """`check`: lines of the backend that say how it asks."""

    def __init__(self, folder: Path, upstream: int, check: str) -> None:
        self._folder, self._upstream, self._check = folder, upstream, check
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        program = peer("haproxy")
        self._folder.mkdir(parents=True)
        self.port = free_port()
        configuration = self._folder / "haproxy.cfg"
        configuration.write_text(self._configuration())
        self._process = subprocess.Popen([program, "-db", "-f", str(configuration)], stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def found(self) -> tuple[str, str]:
        """State of the service and outcome of the check, such as `UP` and `L7OK`, once it was asked."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            state, outcome = self._state()
            if outcome and not outcome.startswith("*") and outcome != "INI":
                return state, outcome
            assert self._process is not None
            try:
                self._process.wait(0.02)  # the pause between two looks, and the notice of an early end
            except subprocess.TimeoutExpired:
                continue
            break
        pytest.fail("HAProxy did not say what it found")

    def _state(self) -> tuple[str, str]:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self._folder / "admin"))
                client.sendall(b"show stat\n")
                text = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
        except OSError:
            return "", ""
        rows = {row["svname"]: row for row in csv.DictReader(io.StringIO(text.removeprefix("# ")))}
        row = rows.get("tarmac", {})
        return row.get("status", ""), row.get("check_status", "")

    def _configuration(self) -> str:
        return f"""
global
  stats socket {self._folder}/admin
defaults
  mode http
  timeout connect 5s
  timeout check 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{self.port}
  option forwardfor
  default_backend back
backend back
  {self._check}
  server tarmac 127.0.0.1:{self._upstream} check inter 1s rise 1 fall 1
"""
