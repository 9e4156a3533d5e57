"""The tokens file: names, hashes, roles and quotas of tokens.

One line per token: `name:sha256-of-token[:roles[:repositories[:quotas[:prefix]]]]`. Lists are separated by commas;
quotas are `jobs=4`, `bytes=10GiB` and `stored=100GiB`; `prefix` is the default of that option. Only an unsalted
SHA-256 is stored. This is sufficient: a token has 256 random bits, so guessing fails at any hash speed. Slow hashes and
salts protect passwords that people choose.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from app.auth.model import NO_QUOTA, Quota, Role
from app.config.types import parse_bytes
from app.errors import InvalidReference
from app.oci import parse_repository

MAX_TOKENS = 10_000  # each takes 0.15 µs of every request, at any position
MAX_FILE_BYTES = 8 << 20
MAX_REPOSITORIES = 100
CHECK_SECONDS = 1.0  # between two checks for a changed file
START = "tarmac_"  # of a token, so that secret scanners find leaked ones

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM = "name:<sha256 of the token, 64 hex>[:push|read|admin[:repositories[:jobs=N,bytes=N,stored=N[:prefix]]]]"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """A token's caller. `digest`: SHA-256 of the token."""

    name: str
    digest: bytes
    roles: frozenset[Role] = frozenset({Role.PUSH})
    repositories: tuple[str, ...] = ()
    quota: Quota = NO_QUOTA
    default_prefix: str = ""

    def __post_init__(self) -> None:
        """Check the number of repositories. Raises ValueError."""
        if len(self.repositories) > MAX_REPOSITORIES:
            raise ValueError(
                f"{self.name} has {len(self.repositories)} repositories; at most {MAX_REPOSITORIES} are possible; "
                "use a prefix that they have in common"
            )

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parse a line. Raises ValueError."""
        name, digest, roles, repositories, quotas, prefix, *more = (*line.split(":"), *[""] * 4)
        if any(more) or not NAME.fullmatch(name) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            raise ValueError(f"must be {_FORM}")
        return cls(
            name,
            bytes.fromhex(digest),
            frozenset(parse_role(role) for role in (roles or Role.PUSH).split(",")),
            tuple(parse_prefix(text) for text in _parts(repositories)),
            parse_quota(quotas),
            parse_prefix(prefix) if prefix else "",
        )

    def __str__(self) -> str:
        quota = self.quota
        amounts = (("jobs", quota.jobs), ("bytes", quota.upload_bytes), ("stored", quota.stored_bytes))
        quotas = ",".join(f"{name}={amount}" for name, amount in amounts if amount is not None)
        roles = ",".join(sorted(self.roles))
        fields = (self.name, self.digest.hex(), roles, ",".join(self.repositories), quotas, self.default_prefix)
        return ":".join(fields).rstrip(":")


@dataclass(frozen=True, slots=True)
class TokenSet:
    """All tokens of the file at one time."""

    holders: tuple[TokenHolder, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the file, ignoring empty lines and lines with `#`. Raises ValueError that names the line."""
        holders = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                try:
                    holders.append(TokenHolder.parse(line.strip()))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
        if not 0 < len(holders) <= MAX_TOKENS:
            raise ValueError(f"there are {len(holders)} tokens; 1 to {MAX_TOKENS} are allowed")
        return cls(tuple(holders))

    def find(self, token: bytes) -> TokenHolder | None:
        """Return the caller of a token, or None. The time does not depend on the position of a match."""
        digest = hashlib.sha256(token).digest()
        found = None
        for holder in self.holders:
            if hmac.compare_digest(holder.digest, digest):
                found = holder
        return found


class TokenFile:
    """The tokens of a file that may change while the service runs.

    If the new file is unreadable or invalid, the previous tokens remain valid and an error is logged: an incomplete
    edit must not lock all callers out."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Read the file. Raises OSError, ValueError."""
        self._path, self._clock = path, clock
        self._stamp = _stamp(path)
        self._tokens = TokenSet.parse(read_text(path))
        self._checked_at = clock()

    async def authenticate(self, token: bytes) -> TokenHolder | None:
        if self._clock() - self._checked_at >= CHECK_SECONDS:
            self._checked_at = self._clock()
            await asyncio.to_thread(self._reload)
        return self._tokens.find(token)

    def _reload(self) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._tokens = TokenSet.parse(read_text(self._path))
            _log.info("tokens.loaded", file=str(self._path), tokens=len(self._tokens.holders))
        except (OSError, ValueError) as error:
            _log.error("tokens.invalid", file=str(self._path), reason=str(error))


def read_text(path: Path) -> str:
    """Return the content of the file. Raises OSError, ValueError."""
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return raw.decode()


def new_token() -> str:
    return START + secrets.token_urlsafe(32)


def parse_role(text: str) -> Role:
    """Parse a role. Raises ValueError."""
    try:
        return Role(text.strip())
    except ValueError:
        raise ValueError(f"unknown role {text!r:.40}; use {', '.join(Role)}") from None


def parse_prefix(text: str) -> str:
    """Parse a repository prefix, `team/x`, also written `team/x/` and `team/x/*`. Raises ValueError."""
    try:
        return parse_repository(text.strip().removesuffix("*").rstrip("/"))
    except InvalidReference as error:
        raise ValueError(f"{text!r:.100} is not a repository prefix: {error}") from None


def parse_quota(text: str) -> Quota:
    """Parse `jobs=4,bytes=10GiB,stored=100GiB`. Raises ValueError."""
    given: dict[str, int] = {}
    for part in _parts(text):
        name, _, amount = part.partition("=")
        value = parse_bytes(amount)
        if name not in ("jobs", "bytes", "stored") or name in given or not isinstance(value, int) or value < 1:
            raise ValueError(f"{part!r:.60} is not a quota; write jobs=4, bytes=10GiB or stored=100GiB")
        given[name] = value
    return Quota(given.get("jobs"), given.get("bytes"), given.get("stored"))


def _parts(text: str) -> list[str]:
    """Split at commas. Empty parts are kept and rejected later: `,` sets no limit although one was intended."""
    return text.split(",") if text else []


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


__all__ = [
    "TokenFile",
    "TokenHolder",
    "TokenSet",
    "new_token",
    "parse_prefix",
    "parse_quota",
    "parse_role",
    "read_text",
]
