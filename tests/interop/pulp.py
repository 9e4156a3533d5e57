"""Pulp's container registry from .venv-pulp: its API, content app and worker on loopback, with a database of its own.

with Pulp(folder, database, Ways(token_server=front.url)) as pulp:
    ... pulp.api, pulp.content                  # ports, for a front to send requests to

Its database is a copy of one that was migrated before (`migrate`), since the migrations take 40 seconds.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".venv-pulp" / "bin"
SNIPPETS = "lib/python*/site-packages/pulp_container/app/webserver_snippets"
ADMIN, PASSWORD = "admin", "correct horse battery"

START_SECONDS = 120.0
STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ways:
    """How it runs. `origin`: the front's URL, which Pulp names in its redirects and as its token service. `tokens`:
    a token service, else Basic. `domains`: names begin with the domain. `workers`: processes that run tasks."""

    origin: str
    tokens: bool = True
    domains: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Ports:
    api: int
    content: int


class Pulp:
    """Started by `start` (or `with`), stopped by its own process ids. `log` holds what its programs wrote."""

    def __init__(self, folder: Path, database: str, ports: Ports, ways: Ways) -> None:
        self.folder, self.ports, self.ways = folder, ports, ways
        self._database = database
        self._processes: list[subprocess.Popen[bytes]] = []
        self.log = folder / "pulp.log"

    def __enter__(self) -> Self:
        environment = _prepare(self.folder, self._database, self.ways)
        programs = [
            ("pulpcore-api", "--bind", f"127.0.0.1:{self.ports.api}", "--workers", "2", "--no-control-socket"),
            ("pulpcore-content", "--bind", f"127.0.0.1:{self.ports.content}", "--workers", "1", "--no-control-socket"),
            *[("pulpcore-worker",)] * self.ways.workers,
        ]
        with self.log.open("wb") as log:
            for name, *arguments in programs:
                command = [_program(name), *arguments]
                self._processes.append(
                    subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
                )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """What Pulp's own API answers the administrator, past every front."""
        url = f"http://127.0.0.1:{self.ports.api}{path}"
        answer = httpx.request(method, url, json=document, auth=(ADMIN, PASSWORD), timeout=60)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def add_user(self, name: str, password: str) -> None:
        """A user with no rights."""
        self.ask("POST", "/pulp/api/v3/users/", {"username": name, "password": password})

    def _wait(self) -> None:
        """Until the API, the content app and the workers have written that they are there."""
        until = time.monotonic() + START_SECONDS
        while not self._is_ready():
            ended = [process.args for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > until:
                pytest.fail(f"Pulp did not start, ended: {ended}\n{self.log.read_text()[-4000:]}")
            try:
                self._processes[0].wait(_LOOK_SECONDS)  # the pause between two looks
            except subprocess.TimeoutExpired:
                continue

    def _is_ready(self) -> bool:
        path = "/pulp/default/api/v3/status/" if self.ways.domains else "/pulp/api/v3/status/"
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports.api}{path}", timeout=30)
        except httpx.TransportError:
            return False
        if not answer.is_success:
            return False
        found = answer.json()
        return bool(found["online_content_apps"]) and len(found["online_workers"]) == self.ways.workers

    def _stop(self) -> None:
        processes, self._processes = self._processes, []
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)


def migrate(folder: Path, database: str) -> None:
    """Make Pulp's tables and its administrator in an empty database: a minute of processor time."""
    environment = _prepare(folder, database, Ways("http://127.0.0.1:9"))
    for arguments in (("migrate", "--noinput"), ("reset-admin-password", "--password", PASSWORD)):
        done = subprocess.run(
            [_program("pulpcore-manager"), *arguments], env=environment, cwd=folder, capture_output=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()[-4000:]


def snippet(server: str) -> str:
    """The configuration that pulp-container brings for `nginx` or `apache`."""
    (folder,) = PROGRAMS.parent.glob(SNIPPETS)
    return (folder / f"{server}.conf").read_text(encoding="utf-8")


def _program(name: str) -> str:
    path = PROGRAMS / name
    if not path.exists():
        pytest.fail(f"{path} is not there; `make interop` installs it", pytrace=False)
    return str(path)


def _prepare(folder: Path, database: str, ways: Ways) -> dict[str, str]:
    """The settings and keys below `folder`, and the environment that makes Pulp's programs read them."""
    for name in ("media", "assets", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    key = folder.parent / "pulp-database.key"  # one for all: a migrated database holds what was encrypted with it
    if not key.exists():
        key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    _write_keys(folder)
    settings = {
        "SECRET_KEY": secrets.token_hex(),
        "DB_ENCRYPTION_KEY": str(key),
        "CACHE_ENABLED": False,
        "ANALYTICS": False,
        "DEPLOY_ROOT": str(folder),
        "MEDIA_ROOT": str(folder / "media"),
        "STATIC_ROOT": str(folder / "assets"),
        "WORKING_DIRECTORY": str(folder / "tmp"),
        "FILE_UPLOAD_TEMP_DIR": str(folder / "tmp"),
        "DATABASES": {"default": _database(database)},
        "CONTENT_ORIGIN": ways.origin,
        "TOKEN_SERVER": f"{ways.origin}/token/",
        "TOKEN_SIGNATURE_ALGORITHM": "ES256",
        "TOKEN_AUTH_DISABLED": not ways.tokens,
        "PUBLIC_KEY_PATH": str(folder / "public.pem"),
        "PRIVATE_KEY_PATH": str(folder / "private.pem"),
        "DOMAIN_ENABLED": ways.domains,
    }
    path = folder / "settings.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "PULP_SETTINGS": str(path),
        "DJANGO_SETTINGS_MODULE": "pulpcore.app.settings",
    }


def _database(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    (host,) = parse_qs(parts.query)["host"]
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": parts.username or "",
        "HOST": host,
    }


def _write_keys(folder: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    (folder / "private.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    (folder / "public.pem").write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
