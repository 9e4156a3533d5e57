"""Destinations for the command line. Imported late: `app.main` brings the web framework along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.jobs.registries import ConfiguredRegistry
from app.settings import Settings


@asynccontextmanager
async def open_destinations(settings: Settings) -> AsyncIterator[Mapping[str, ConfiguredRegistry]]:
    """By name. Raises InvalidSettings."""
    from app.main import configured_registries

    async with configured_registries(settings) as opened:
        yield {name: each.configured for name, each in opened.items()}
