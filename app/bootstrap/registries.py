"""The configured registries, opened: the part of the composition root that the command line shares.

It loads neither the web framework nor the database, so that `tarmac push` starts in a third of the time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app import __version__
from app.config.settings import DEFAULT_REGISTRY, RegistrySettings, Settings
from app.jobs.registries import ConfiguredRegistry
from app.net.egress import parse_allowed_origin
from app.net.proxies import Proxies
from app.net.tls import certificate_folders
from app.net.urls import RegistryUrl, parse_registry_url
from app.push import Destination
from app.registry.auth import Credentials, CredentialSource, FixedCredentials
from app.registry.auth.ecr import UNANSWERED_HINT, EcrCredentials
from app.registry.auth.keychain import Keychain
from app.registry.auth.password_file import PasswordFile
from app.registry.distribution.probe import RegistryReport
from app.registry.distribution.push_right import PushRight
from app.registry.distribution.rate_limit import RateLimits, RequestThrottle
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.uploads.capability_file import CapabilityFile
from app.registry.wrappers.redact import RedactingRegistry
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import VerifyingRegistry

Throttles = dict[tuple[str, int | None], RequestThrottle]
"""By host and port: registries on one host share its limits."""


@dataclass(frozen=True, slots=True)
class _RegistryResources:
    """Resources shared by all registries of one process."""

    throttles: Throttles
    profiles: CapabilityFile
    unproven_dir: Path


@dataclass(frozen=True, slots=True)
class ActiveRegistry:
    """A destination ready for use. `check` raises RegistryError if it cannot be used now.

    `check_push` raises it if the account may not push to a repository below the configured path."""

    configured: ConfiguredRegistry
    check: Callable[[], Awaitable[RegistryReport]]
    check_push: Callable[[str], Awaitable[PushRight]]


@asynccontextmanager
async def configured_registries(settings: Settings) -> AsyncIterator[Mapping[str, ActiveRegistry]]:
    """Open all registries, by name; without configuration only the embedded one."""
    if not settings.registries:
        yield {DEFAULT_REGISTRY: _embedded(settings, embedded_layout(settings))}
        return
    async with AsyncExitStack() as stack:
        opened = {}
        throttles: Throttles = {}
        profiles = CapabilityFile(settings.data_dir / "profiles.json")
        for name, each in settings.registries.items():
            opened[name] = await _remote(
                name, each, stack, _RegistryResources(throttles, profiles, settings.data_dir / "unproven")
            )
        yield opened


def has_store(settings: Settings) -> bool:
    """Return whether there is an image store: no registry is configured, or none was when images were pushed."""
    return not settings.registries or (settings.data_dir / "images" / "index.json").exists()


def embedded_layout(settings: Settings) -> LayoutRegistry:
    """Return the registry of the embedded image store."""
    return LayoutRegistry(settings.data_dir / "images")


def _embedded(settings: Settings, layout: LayoutRegistry) -> ActiveRegistry:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    address = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    destination = Destination(DEFAULT_REGISTRY, address)
    configured = ConfiguredRegistry(
        DEFAULT_REGISTRY,
        f"{settings.scheme}://{address}",
        destination,
        layout,
        under_way=layout.push_under_way,
        keep=layout.keep,
    )

    async def check() -> RegistryReport:
        await layout.repositories()
        return RegistryReport(
            f"{settings.scheme}://{address}", api="registry/2.0", software=f"tarmac/{__version__}", referrers=True
        )

    async def check_push(repository: str) -> PushRight:
        return PushRight(repository, push=True)

    return ActiveRegistry(configured, check, check_push)


async def _remote(
    name: str, settings: RegistrySettings, stack: AsyncExitStack, shared: _RegistryResources
) -> ActiveRegistry:
    url = parse_registry_url(settings.url, f"[registries.{name}] url")
    http_settings = replace(_http_settings(url, settings), profiles=shared.profiles, unproven_dir=shared.unproven_dir)
    throttle = shared.throttles.setdefault((url.host, url.port), RequestThrottle(http_settings.limits))
    registry = await stack.enter_async_context(HttpRegistry(http_settings, throttle=throttle))
    redacting = RedactingRegistry(registry, registry.secrets)
    verified = VerifyingRegistry(RetryingRegistry(redacting, is_answering=registry.is_answering), settings.verify)
    staging = f"{url.path}/{settings.staging_repository}".strip("/") if settings.staging_repository else ""
    configured = ConfiguredRegistry(name, str(url), Destination(name, url.name, url.path), verified, staging)

    async def check_push(repository: str) -> PushRight:
        place = "/".join(filter(None, (url.path, repository)))
        return await redacting.redacted(lambda: registry.find_push_right(place))

    return ActiveRegistry(configured, lambda: redacting.redacted(registry.check), check_push)


def _http_settings(url: RegistryUrl, settings: RegistrySettings) -> HttpRegistrySettings:
    ecr = _ecr(settings)
    return HttpRegistrySettings(
        url=url,
        credentials=_credentials(settings, ecr),
        create_repository=ecr.create_repository if ecr and settings.ecr_create_repositories else None,
        ca_file=settings.ca_file,
        skip_verify=settings.insecure_skip_tls_verify,
        client_cert=settings.client_cert,
        client_key=settings.client_key,
        certificate_folders=certificate_folders(os.environ),
        allowed_origins=frozenset(map(parse_allowed_origin, settings.allowed_origins)),
        proxies=Proxies.of(os.environ),
        unanswered_hint=UNANSWERED_HINT if ecr else "",
        limits=RateLimits(settings.max_requests_per_second, settings.max_bytes_per_second),
        chunk_bytes=settings.chunk_bytes,
    )


def _ecr(settings: RegistrySettings) -> EcrCredentials | None:
    place = settings.ecr
    return EcrCredentials(place, Keychain.of(os.environ), settings.ecr_lifecycle_policy_file) if place else None


def _credentials(settings: RegistrySettings, ecr: EcrCredentials | None) -> CredentialSource:
    if settings.username is None:
        return ecr or Keychain.of(os.environ)
    if settings.password_file is not None:
        return PasswordFile(settings.username, settings.password_file)
    password = settings.password.get_secret_value() if settings.password else ""
    return FixedCredentials(Credentials(settings.username, password))
