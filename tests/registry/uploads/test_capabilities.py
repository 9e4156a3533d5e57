"""What was learnt of a registry, after a restart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.bootstrap.registries import configured_registries
from app.config.settings import RegistrySettings, Settings
from app.net.urls import parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.capabilities import UploadCapabilities
from app.registry.uploads.capability_file import GOOD_FOR, MAX_CLOCK_SKEW, MAX_FILE, CapabilityFile
from tests.support.blob_content import BytesContent
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, served

LEARNT = UploadCapabilities(put=False, most=5 << 20)


async def test_a_registry_is_not_asked_twice_for_what_it_has_refused_though_the_service_was_restarted(
    tmp_path: Path,
) -> None:
    memory = MemoryRegistry(Manners(most=200_000))
    answers = []
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        settings = Settings(data_dir=tmp_path, registries={"default": RegistrySettings(url=server.url)})
        for number in range(2):
            async with configured_registries(settings) as opened:
                await opened["default"].configured.registry.push_blob("a", BytesContent(bytes([number]) * 250_000))
            answers.append(sum(method == "POST" for method, _ in memory.requests))
            memory.requests.clear()
    assert answers[0] > 1, "it had to learn"
    assert answers[1] == 1
    (kept,) = json.loads((tmp_path / "profiles.json").read_text()).values()
    assert kept["most"] <= 200_000
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["profiles.json"]


async def test_a_profile_is_forgotten_after_its_time_and_the_oldest_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.registry.uploads.capability_file.MAX_REGISTRIES", 2)
    now = 1000.0
    file = CapabilityFile(tmp_path / "profiles.json", lambda: now)
    for now, name in enumerate(("a", "b", "c"), 1000):  # noqa: B007
        await file.record(name, LEARNT)
    assert [await file.lookup(item) for item in ("a", "b", "c")] == [UploadCapabilities(), LEARNT, LEARNT]
    now += GOOD_FOR - 1
    assert [await file.lookup(item) for item in ("b", "c")] == [UploadCapabilities(), LEARNT]
    now += 1
    assert await file.lookup("c") == UploadCapabilities()


async def test_what_was_learnt_while_the_clock_was_ahead_is_learnt_anew(tmp_path: Path) -> None:
    now = 1e9
    file = CapabilityFile(tmp_path / "profiles.json", lambda: now)
    await file.record("a", LEARNT)
    now -= MAX_CLOCK_SKEW
    assert await file.lookup("a") == LEARNT
    now -= 1
    assert await file.lookup("a") == UploadCapabilities()


async def test_uploads_that_begin_at_once_all_know_what_was_remembered(tmp_path: Path) -> None:
    """None of them goes ahead while the file is read."""
    memory, profiles = MemoryRegistry(), CapabilityFile(tmp_path / "profiles.json")
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        await profiles.record(server.address, UploadCapabilities(put=False))
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"), profiles=profiles)
        async with HttpRegistry(settings) as registry, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(registry.push_blob("a", BytesContent(b"%d" % number)))
    bodies = {seen.headers["content-length"] for seen in server.requests if seen.method == "PUT"}
    assert bodies == {"0"}


WHOLE: dict[str, Any] = {**asdict(LEARNT), "learnt": 9.0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"r": 1}',
        json.dumps({"r": {**WHOLE, "more": 1}}),
        json.dumps({"r": {**WHOLE, "put": 0}}),
        json.dumps({"r": {**WHOLE, "most": 1}}),
        json.dumps({"r": {**WHOLE, "most": True}}),
        json.dumps({"r": {**WHOLE, "learnt": "now"}}),
        " " * MAX_FILE + json.dumps({"r": WHOLE}),
    ],
)
async def test_a_damaged_file_is_passed_over_and_written_anew(tmp_path: Path, content: str) -> None:
    file = tmp_path / "profiles.json"
    file.write_text(content)
    kept = CapabilityFile(file, lambda: 10.0)
    assert await kept.lookup("r") == UploadCapabilities()
    await kept.record("s", LEARNT)
    assert await kept.lookup("s") == LEARNT
    file.write_text(json.dumps({"r": WHOLE}))
    assert await kept.lookup("r") == LEARNT


async def test_a_place_that_cannot_be_written_to_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = CapabilityFile(tmp_path / "file" / "profiles.json")
    with capture_logs() as logs:
        await kept.record("r", LEARNT)
    assert await kept.lookup("r") == UploadCapabilities()
    assert logs[-1]["event"] == "registry.capabilities_not_stored"
