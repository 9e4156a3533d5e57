"""Several registries by name, each with its own settings and limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bootstrap.registries import configured_registries
from app.config.settings import RegistrySettings, Settings
from app.registry.distribution.rate_limit import RateLimits, RequestThrottle
from tests.api.conftest import serving
from tests.support.blob_content import BytesContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, served

USER, SECRET = "canary-user", "canary-secret"


async def test_each_keeps_its_own_limits_and_those_at_one_host_keep_them_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapses: list[Lapse] = []

    def gate(limits: RateLimits) -> RequestThrottle:
        lapses.append(Lapse())
        return RequestThrottle(limits, lapses[-1].pause)

    monkeypatch.setattr("app.bootstrap.registries.RequestThrottle", gate)
    slow, fast, narrow = MemoryRegistry(), MemoryRegistry(), MemoryRegistry()
    async with (
        ScriptedRegistry(route=lambda seen: served(slow)) as one,
        ScriptedRegistry(route=lambda seen: served(fast)) as two,
        ScriptedRegistry(route=lambda seen: served(narrow)) as three,
    ):
        registries = {
            "slow": RegistrySettings(url=one.url, max_requests_per_second=1),
            "slow-too": RegistrySettings(url=f"{one.url}/team", max_requests_per_second=1),
            "fast": RegistrySettings(url=two.url),
            "narrow": RegistrySettings(url=three.url, max_bytes_per_second=10_000),
        }
        async with configured_registries(Settings(data_dir=tmp_path, registries=registries)) as opened:
            for name in registries:
                await opened[name].configured.registry.push_blob("team/app", BytesContent(f"{name:50000}".encode()))
    slowly, unused, fastly, narrowly = lapses
    assert unused.waits == []
    assert fastly.waits == []
    assert slowly.now >= 4, "two pushes of a ping, a POST and a PUT, a second between each"
    assert 3 < narrowly.now < 6, "50,000 bytes"
    assert [len(item.repositories["team/app"].blobs) for item in (slow, fast, narrow)] == [2, 1, 1]


async def test_a_secret_that_a_registry_puts_into_its_server_header_is_not_in_the_list(tmp_path: Path) -> None:
    """It is shown there as the name of its software, so it is the one header that reaches the answer."""

    def route(seen: Seen) -> Step:
        given = seen.headers.get("authorization")
        if given is None:
            return answer(401, {"WWW-Authenticate": 'Basic realm="r"'})
        return answer(200, {"Server": f"odd/1 {SECRET} {given.split()[1]}"})

    async with ScriptedRegistry(route=route, ping=True) as server:
        settings = {"url": server.url, "username": USER, "password": SECRET}
        async with serving(tmp_path, registries={"default": settings}) as service:
            listed = await service.client.get("/registries")
    (found,) = listed.json()["registries"]
    assert "odd/1 [hidden] [hidden]" in listed.text
    assert found["problem"] is None
    assert SECRET not in listed.text
