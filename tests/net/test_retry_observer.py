"""A request that has no response yet is reported before its time is up, and that the response came in the end."""

from __future__ import annotations

import pytest

from app.errors import RegistryError
from app.net.client import LATE_SECONDS
from app.net.retry_observer import observe_retries
from app.net.urls import parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.registry.faults.line import late
from tests.support.memory_registry import MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry

pytestmark = pytest.mark.leaping


class Observing:
    """`told`: what was reported, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def request_failed(self, error: RegistryError, wait: float) -> None:
        self.told.append(f"failed: {error}")

    def request_held(self, error: RegistryError, wait: float) -> None:
        assert wait == 0.0
        self.told.append(f"held: {error}")

    def request_succeeded(self) -> None:
        self.told.append("succeeded")


@pytest.mark.parametrize("seconds", [LATE_SECONDS - 2, LATE_SECONDS * 4])
async def test_a_response_that_is_late_is_reported_and_that_it_came(seconds: float) -> None:
    registry, observer = MemoryRegistry(), Observing()
    async with ScriptedRegistry(route=lambda seen: late(seconds)(registry), ping=True) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings) as http:
            with observe_retries(observer):
                assert await http.find_manifest("team/app", "1") is None
    held = f"held: {settings.url} has not answered"
    expected = [held, "succeeded"] * 2 if seconds > LATE_SECONDS else []  # the ping, and the HEAD
    assert [told[: len(held)] for told in observer.told] == expected, observer.told
