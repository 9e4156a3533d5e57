"""The destinations of the settings, opened: the part of the composition root that the command line shares. It knows
neither the web framework nor the database, so that `tarmac push` starts in a third of the time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from app.jobs.registries import ConfiguredRegistry
from app.push import Destination
from app.registry.auth import Credentials, CredentialSource, FixedCredentials
from app.registry.auth.keychain import Keychain
from app.registry.client import HttpSettings
from app.registry.http import HttpRegistry
from app.registry.layout import LayoutRegistry
from app.registry.retry import RetryingRegistry
from app.registry.wire import parse_registry_url
from app.settings import DEFAULT_REGISTRY, RegistrySettings, Settings


@dataclass(frozen=True, slots=True)
class OpenRegistry:
    """A destination ready for use. `check` raises RegistryError where it cannot be used now."""

    configured: ConfiguredRegistry
    check: Callable[[], Awaitable[object]]


@asynccontextmanager
async def configured_registries(settings: Settings) -> AsyncIterator[Mapping[str, OpenRegistry]]:
    """Every destination that can be named, by name; the embedded one where none is configured."""
    if not settings.registries:
        yield {DEFAULT_REGISTRY: _embedded(settings, layout_of(settings))}
        return
    async with AsyncExitStack() as stack:
        opened = {}
        for name, each in settings.registries.items():
            opened[name] = await _remote(name, each, stack)
        yield opened


def layout_of(settings: Settings) -> LayoutRegistry:
    """The embedded destination's own directory."""
    return LayoutRegistry(settings.data_dir / "images")


def _embedded(settings: Settings, layout: LayoutRegistry) -> OpenRegistry:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    shown = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    destination = Destination(DEFAULT_REGISTRY, shown)
    configured = ConfiguredRegistry(DEFAULT_REGISTRY, f"http://{shown}", destination, layout)
    return OpenRegistry(configured, layout.repositories)


async def _remote(name: str, settings: RegistrySettings, stack: AsyncExitStack) -> OpenRegistry:
    url = parse_registry_url(settings.url, f"[registries.{name}] url")
    registry = await stack.enter_async_context(
        HttpRegistry(
            HttpSettings(
                url=url,
                credentials=_credentials(settings),
                ca_file=settings.ca_file,
                skip_verify=settings.insecure_skip_tls_verify,
                client_cert=settings.client_cert,
                client_key=settings.client_key,
            )
        )
    )
    configured = ConfiguredRegistry(name, str(url), Destination(name, url.name, url.path), RetryingRegistry(registry))
    return OpenRegistry(configured, registry.check)


def _credentials(settings: RegistrySettings) -> CredentialSource:
    if settings.credentials is None:
        return Keychain.of(os.environ)
    username, password = settings.credentials
    return FixedCredentials(Credentials(username, password))
