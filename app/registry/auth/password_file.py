"""A password in a file, as Docker and Kubernetes provide secrets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from app.errors import RegistryAuth
from app.net.urls import RegistryUrl
from app.registry.auth import Credentials

MAX_PASSWORD = 64 << 10  # tokens that serve as passwords have up to about 10 KiB


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """Reads the file at each lookup, so a changed password is found after a rejection."""

    username: str
    file: Path

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        """Return the credentials. Raises RegistryAuth if the file cannot be used."""
        return Credentials(self.username, await asyncio.to_thread(self._read))

    def _read(self) -> str:
        try:
            with self.file.open("rb") as opened:
                raw = opened.read(MAX_PASSWORD + 1)
            if len(raw) > MAX_PASSWORD:
                raise RegistryAuth(
                    f"the password file {self.file} is too large; at most {MAX_PASSWORD} bytes are accepted"
                )
            return raw.decode("utf-8").rstrip("\r\n")
        except OSError as error:
            raise RegistryAuth(
                f"the password file {self.file} cannot be read ({error.strerror}); check its path and permissions"
            ) from error
        except UnicodeDecodeError:
            raise RegistryAuth(f"the password file {self.file} is not UTF-8; save it as UTF-8") from None
