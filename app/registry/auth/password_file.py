"""A password that lies in a file, as Docker and Kubernetes hand secrets out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from app.errors import RegistryAuth
from app.net.urls import RegistryUrl
from app.registry.auth import Credentials

MAX_PASSWORD = 64 << 10  # tokens that serve as passwords have up to some 10 KiB


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The file is read whenever credentials are looked up: after a refusal a changed password is found."""

    username: str
    file: Path

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        """Raises RegistryAuth where the file cannot be used."""
        return Credentials(self.username, await asyncio.to_thread(self._read))

    def _read(self) -> str:
        try:
            with self.file.open("rb") as opened:
                raw = opened.read(MAX_PASSWORD + 1)
            if len(raw) > MAX_PASSWORD:
                raise RegistryAuth(f"the password file {self.file} has more than {MAX_PASSWORD} bytes")
            return raw.decode("utf-8").rstrip("\r\n")
        except OSError as error:
            raise RegistryAuth(f"the password file {self.file} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError:
            raise RegistryAuth(f"the password file {self.file} is not UTF-8") from None
