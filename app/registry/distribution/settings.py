"""Settings of the client of one registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from app.net.client import HttpClientSettings
from app.registry.auth import ANONYMOUS, CredentialSource
from app.registry.distribution.rate_limit import UNLIMITED, RateLimits
from app.registry.uploads.capabilities import DEFAULT_CHUNK
from app.registry.uploads.capability_file import CapabilityFile


@dataclass(frozen=True, slots=True)
class HttpRegistrySettings(HttpClientSettings):
    """How a registry is reached and used.

    `create_repository` creates a repository that the registry reports as missing; it takes the whole name.
    `profiles` stores the upload methods that registries support. `unproven_dir` contains a marker for each blob that is
    being sent.
    """

    credentials: CredentialSource = ANONYMOUS
    limits: RateLimits = UNLIMITED
    chunk_bytes: int = DEFAULT_CHUNK  # of one request, if a blob is sent in several
    profiles: CapabilityFile | None = None
    unproven_dir: Path | None = None
    create_repository: Callable[[str], Awaitable[None]] | None = None
