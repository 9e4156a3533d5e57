"""Destinations of the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.bootstrap.registries import configured_registries
from app.config.settings import Settings
from app.jobs.registries import ConfiguredRegistry


@asynccontextmanager
async def open_destinations(settings: Settings) -> AsyncIterator[Mapping[str, ConfiguredRegistry]]:
    """Open all registries, by name. Raises InvalidSettings."""
    async with configured_registries(settings) as opened:
        yield {name: each.configured for name, each in opened.items()}
