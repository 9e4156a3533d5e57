"""Shared fixtures."""

from __future__ import annotations

from tests.support.registry_fixtures import certificates, pytest_asyncio_loop_factories

__all__ = ["certificates", "pytest_asyncio_loop_factories"]
