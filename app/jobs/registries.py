"""The destinations jobs may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import UnknownRegistry
from app.push import Destination
from app.registry import Registry


@dataclass(frozen=True, slots=True)
class ConfiguredRegistry:
    """A registry by the `name` requests call it; `url` is for display and holds no secret. `staging_repository`, below
    nothing else: where blobs wait whose repository is not known yet; none where it is empty."""

    name: str
    url: str
    destination: Destination
    registry: Registry
    staging_repository: str = ""


def pick_registry(registries: Mapping[str, ConfiguredRegistry], name: str) -> ConfiguredRegistry:
    """Raises UnknownRegistry, naming those there are."""
    if name in registries:
        return registries[name]
    known = ", ".join(sorted(registries)) or "none"
    raise UnknownRegistry(f"registry {name[:100]!r} is not configured; configured: {known}")
