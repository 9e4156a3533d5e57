"""A real PostgreSQL for tests, from Debian's binaries, on a unix socket of its own. It keeps nothing: no fsync.

@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server                      # server.create() makes an empty database and gives its URL
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.peers import peer

START_SECONDS = 30.0
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
}


def binaries() -> Path:
    """Where initdb and postgres are; without them the test is skipped, or fails where the peers are required."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else Path(peer("postgres")).parent


class Postgres:
    """Started by `start` (or `with`), stopped by its own process id; it goes with the process that started it."""

    def __init__(self) -> None:
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count()

    def start(self) -> Self:
        programs = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="tarmac-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        data = self._folder / "data"
        made = ["-D", str(data), "-U", "tarmac", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(_unprivileged([str(programs / "initdb"), *made]), check=True, capture_output=True, cwd="/")
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(self._folder), *settings]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(_unprivileged(command), stdout=log, stderr=log, cwd="/")
        self._wait(programs)
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(0.2)  # those who are still connected are not waited for
            except subprocess.TimeoutExpired:
                process.send_signal(2)
                process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def create(self, like: str = "template1") -> str:
        """The URL of a new database."""
        name = f"tarmac{next(self._names)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {like}")
        return f"postgresql://tarmac@/{name}?host={self._folder}"

    def run(self, statement: str, database: str = "template1") -> str:
        """What psql prints of it."""
        found = ["-h", str(self._folder), "-U", "tarmac", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]
        done = subprocess.run([str(binaries() / "psql"), *found, "-c", statement], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _wait(self, programs: Path) -> None:
        until = time.monotonic() + START_SECONDS
        ready = [str(programs / "pg_isready"), "-q", "-h", str(self._folder)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._process is not None
            try:
                self._process.wait(0.02)  # the pause between two looks, and the notice of an early end
            except subprocess.TimeoutExpired:
                if time.monotonic() < until:
                    continue
            pytest.fail(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-4000:]}")


def _unprivileged(command: list[str]) -> list[str]:
    """Neither initdb nor postgres runs as root."""
    program = [peer("setpriv"), "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        program += ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    return [*program, *command]
