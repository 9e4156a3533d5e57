"""Credentials in the files of docker and podman and in their helpers (docker's config.json,
containers-auth.json(5)).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.errors import ArchiveError, RegistryAuth
from app.net.urls import RegistryUrl
from app.oci import DOCKER_HUB, strict_json
from app.registry.auth import Credentials

MAX_FILE = 1 << 20  # a file with a thousand registries has a tenth of this
HELPER_SECONDS = 30.0  # the helper of a cloud asks its token service
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HUB_SERVER = "https://index.docker.io/v1/"  # the key of Docker Hub in files and for helpers
_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105 - a helper returns it if the secret is an identity token


@dataclass(frozen=True, slots=True)
class Keychain:
    """Reads the files on every lookup, so `docker login` works while the service runs.

    The first file with an entry for the registry is used.
    """

    files: tuple[Path, ...]
    path: str = ""  # search path for helper programs
    seconds: float = HELPER_SECONDS

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Return a Keychain of the files that docker and podman use, the most explicitly named first."""
        home = Path(environ.get("HOME") or "/nonexistent")
        files = [
            Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
            Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json",
        ]
        if environ.get("XDG_RUNTIME_DIR"):
            files.insert(1, Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
        if environ.get("REGISTRY_AUTH_FILE"):
            files.insert(0, Path(environ["REGISTRY_AUTH_FILE"]))
        return cls(tuple(files), environ.get("PATH", ""))

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        """Return the credentials for `repository`.

        Raises RegistryAuth if a file or helper with an entry cannot be used.
        """
        host = DOCKER_HUB if registry.is_docker_hub else registry.name
        for file in self.files:
            document = await asyncio.to_thread(_read, file)
            found = await self._look_up(document, file, host, repository)
            if found is not None:
                return found
        return None

    async def _look_up(self, document: dict[str, Any], file: Path, host: str, repository: str) -> Credentials | None:
        helpers = {_key(name): helper for name, helper in _members(document, "credHelpers").items()}
        if host in helpers:
            return await self._ask(str(helpers[host]), host)
        entries = {_key(name): entry for name, entry in _members(document, "auths").items()}
        for key in _keys(host, repository):
            found = _credentials(entries.get(key), file)
            if found is not None:
                return found
        store = document.get("credsStore")
        return await self._ask(str(store), host) if store else None

    async def _ask(self, helper: str, host: str) -> Credentials | None:
        """Run a credential helper and return its credentials. Protocol: the server on stdin, JSON on stdout."""
        program = f"docker-credential-{helper}"
        if not _HELPER.fullmatch(helper):
            raise RegistryAuth(f"{helper!r:.100} is not a valid name of a credential helper; fix config.json")
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                "get",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**_without_ours(os.environ), "PATH": self.path},
                start_new_session=True,  # no terminal to prompt at, and one process group to kill
            )
        except OSError as error:
            raise RegistryAuth(
                f"credential helper {program} cannot be run ({error.strerror}); install it or configure a password"
            ) from error
        server = _HUB_SERVER if host == DOCKER_HUB else host
        output = await self._talk(process, program, server.encode())
        return _from_helper(output, process.returncode, program, host)

    async def _talk(self, process: asyncio.subprocess.Process, program: str, server: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.seconds):
                output, _ = await process.communicate(server)
                return output
        except TimeoutError:
            raise RegistryAuth(
                f"credential helper {program} did not answer within {self.seconds:.0f} s; run it by hand"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


def _without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the settings of Tarmac, which include passwords."""
    return {name: value for name, value in environ.items() if not name.startswith("TARMAC_")}


def _read(file: Path) -> dict[str, Any]:
    """Return the content of a file, or an empty dict if it is missing. Blocks."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE + 1)
        document = strict_json(raw, what=str(file), limit=MAX_FILE) if raw.strip() else {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ArchiveError) as error:
        raise RegistryAuth(f"credentials cannot be read from {file}: {error}; fix or remove the file") from error
    return document if isinstance(document, dict) else {}


def _members(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _key(name: str) -> str:
    """Normalize a server name to host[:port][/path].

    Files contain `https://host/v1/`, `host/` and `index.docker.io`.
    """
    bare = re.sub(r"^https?://", "", name).rstrip("/")
    bare = re.sub(r"/v[12]$", "", bare)
    host, slash, path = bare.partition("/")
    return (DOCKER_HUB if host in _HUB_HOSTS else host) + slash + path


def _keys(host: str, repository: str) -> Iterator[str]:
    """Return the keys to look up, the most specific first: host/a/b/c, host/a/b, host/a, host."""
    parts = [host, *filter(None, repository.split("/"))]
    return ("/".join(parts[:length]) for length in range(len(parts), 0, -1))


def _credentials(entry: object, file: Path) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    token = str(entry.get("identitytoken") or "")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            pair = base64.b64decode(str(entry["auth"]), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise RegistryAuth(f"an `auth` in {file} is not base64 of user:password; log in again") from None
        username, _, password = pair.partition(":")
    return Credentials(username, password.rstrip("\0"), token) if username or token else None


def _from_helper(output: bytes, code: int | None, program: str, host: str) -> Credentials | None:
    if code != 0:
        if b"credentials not found" in output:  # the protocol's message; the server is used anonymously
            return None
        raise RegistryAuth(f"credential helper {program} failed for {host} (exit status {code}); run it by hand")
    try:
        members = strict_json(output, what=f"the output of {program}", limit=MAX_FILE)
    except ArchiveError:
        members = None
    if not isinstance(members, dict) or not members.get("Secret"):
        raise RegistryAuth(f"credential helper {program} returned no credentials for {host}; run it by hand")
    username, secret = str(members.get("Username") or ""), str(members["Secret"])
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)
