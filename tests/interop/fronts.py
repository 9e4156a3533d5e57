"""What stands before Pulp at a site: nginx and Apache, each with the configuration that pulp-container brings."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.interop.pulp import Ports, listens, snippet
from tests.support.peers import peer

START_SECONDS = 20.0

_NGINX = """
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
  log_format times '$msec $request_time $request_method $status $uri'; access_log access.log times; {places}
  upstream pulp-api {{ server 127.0.0.1:{ports.api}; }}
  upstream pulp-content {{ server 127.0.0.1:{ports.content}; }}
  proxy_request_buffering {buffering}; proxy_http_version 1.1; proxy_read_timeout 90s;
  server {{
    listen 127.0.0.1:{port};
    {snippet}
    location / {{ proxy_set_header Host $http_host; proxy_pass http://pulp-api; }}
  }}
}}
"""

_MODULES = "mpm_event authz_core authn_core proxy proxy_http env headers"
_APACHE = """
ServerName 127.0.0.1
ServerRoot {folder}
PidFile apache.pid
ErrorLog error.log
DefaultRuntimeDir {folder}
Mutex posixsem
Listen 127.0.0.1:{port}
{modules}
Define pulp-api http://127.0.0.1:{ports.api}
Define pulp-content http://127.0.0.1:{ports.content}
ProxyPreserveHost On
ProxyTimeout 90
{snippet}
"""


class Front:
    """A web server in the foreground on `port`, with all its files below its folder. Stopped by its own process id."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self.port = folder, port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Write the configuration; the program that reads it, with its arguments."""
        raise AssertionError("a front is nginx or Apache")

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        environment = {"PATH": os.environ.get("PATH", "")}
        with (self._folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(self.command(), cwd=self._folder, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while not listens(self.port):
            try:
                self._process.wait(0.01)  # the pause between two looks, and the notice of an early end
            except subprocess.TimeoutExpired:
                if time.monotonic() < until:
                    continue
            logs = [path.read_text() for path in self._folder.glob("*.log")]
            self.__exit__(None, None, None)
            pytest.fail(f"{type(self).__name__} did not start:\n{logs}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered; `began` and `ended` in seconds."""

    began: float
    ended: float
    method: str
    status: int
    path: str

    @classmethod
    def parse(cls, line: str) -> Self:
        ended, took, method, status, path = line.split(" ", 4)
        return cls(float(ended) - float(took), float(ended), method, int(status), path)


class Nginx(Front):
    """`buffering`: whether a request is kept until it is whole before Pulp sees it, as nginx does by default."""

    def answered(self) -> list[Answered]:
        """Every request so far."""
        return [Answered.parse(line) for line in (self._folder / "access.log").read_text().splitlines()]

    def __init__(self, folder: Path, port: int, ports: Ports, *, buffering: bool = True) -> None:
        super().__init__(folder, port)
        self._ports, self._buffering = ports, buffering

    def command(self) -> list[str]:
        places = " ".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = self._folder / "nginx.conf"
        path.write_text(
            _NGINX.format(
                places=places,
                ports=self._ports,
                port=self.port,
                snippet=snippet("nginx"),
                buffering="on" if self._buffering else "off",
            )
        )
        return [peer("nginx"), "-p", str(self._folder), "-e", "error.log", "-c", str(path)]


class Apache(Front):
    """It sends a request on while it comes in."""

    def __init__(self, folder: Path, port: int, ports: Ports) -> None:
        super().__init__(folder, port)
        self._ports = ports

    def command(self) -> list[str]:
        folder = next(Path("/").glob("usr/lib*/apache2/modules"))
        modules = "\n".join(f"LoadModule {name}_module {folder}/mod_{name}.so" for name in _MODULES.split())
        path = self._folder / "apache.conf"
        path.write_text(
            _APACHE.format(
                folder=self._folder,
                port=self.port,
                modules=modules,
                ports=self._ports,
                snippet=snippet("apache"),
            )
        )
        return [peer("apache2"), "-d", str(self._folder), "-f", str(path), "-D", "FOREGROUND"]
