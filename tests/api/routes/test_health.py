"""Alive, ready, counted; which registries there are."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from app import __version__
from app.api import RegistryView, probe
from app.api.context import ApiContext
from app.api.probe import Probe
from app.errors import Unavailable
from app.registry.distribution.probe import RegistryReport
from tests.api.conftest import APP, Served, serving


def context_of(served: Served) -> ApiContext:
    context = served.app.state.context
    assert isinstance(context, ApiContext)
    return context


async def test_alive_and_ready(served: Served) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await served.client.get(path)).json() == {"status": "ok", "version": __version__}


async def test_not_ready_where_the_job_store_does_not_answer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def locked() -> None:
        raise Unavailable("the database is locked")

    context = context_of(served)
    monkeypatch.setitem(served.app.state._state, "context", replaced(context, count_jobs=locked))
    answer = await served.client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await served.client.get("/healthz")).status_code == 200


def replaced(context: ApiContext, **changes: object) -> ApiContext:
    from dataclasses import replace

    return replace(context, **changes)  # type: ignore[arg-type]


async def test_metrics_count_jobs_by_state_and_bytes(served: Served) -> None:
    await served.client.post("/push?wait=30", content=APP)
    text = (await served.client.get("/metrics")).text
    assert 'tarmac_jobs{state="succeeded"} 1.0' in text
    assert f"tarmac_received_bytes_total {float(len(APP))}" in text
    assert "tarmac_uploads 0.0" in text
    assert 'tarmac_ended_jobs_total{code="",state="succeeded"} 1.0' in text
    assert 'tarmac_ended_images_total{state="pushed"} 1.0' in text
    assert "tarmac_job_seconds_count 1.0" in text


async def test_metrics_count_failed_jobs_by_code(served: Served) -> None:
    await served.client.post("/push?wait=30", content=b"no archive")
    text = (await served.client.get("/metrics")).text
    assert 'tarmac_ended_jobs_total{code="unknown_format",state="failed"} 1.0' in text


async def test_the_embedded_destination_is_a_registry_called_default(served: Served) -> None:
    (registry,) = (await served.client.get("/registries")).json()["registries"]
    details = registry.pop("details")
    assert registry == {"name": "default", "url": "http://127.0.0.1:8080", "reachable": True, "problem": None}
    assert details == {
        "address": "http://127.0.0.1:8080",
        "authentication": "none",
        "authenticated": False,
        "api": "registry/2.0",
        "software": f"tarmac/{__version__}",
        "referrers": True,
    }


async def test_a_registry_that_is_not_there_is_told_with_the_reason_and_no_secret(tmp_path: Path) -> None:
    login = {"username": "me", "password": "correct-horse"}
    registries = {"default": {"url": "http://127.0.0.1:1/mirror", **login}, "other": {"url": "127.0.0.1:1"}}
    async with serving(tmp_path, registries=registries) as served:
        answer = await served.client.get("/registries")
        assert (await served.client.get("/v2/")).status_code == 404  # nothing lands here, so nothing is pulled here
    assert "correct-horse" not in answer.text
    first, second = answer.json()["registries"]
    assert (first["name"], first["url"], first["reachable"]) == ("default", "http://127.0.0.1:1/mirror", False)
    assert first["problem"]["code"] == second["problem"]["code"] == "registry_unreachable"


async def test_a_registry_that_hangs_does_not_hang_the_list(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> RegistryReport:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(probe, "CHECK_SECONDS", 0.001)
    view = {"slow": RegistryView("http://slow", hang)}
    monkeypatch.setitem(served.app.state._state, "context", replaced(context_of(served), registries=view))
    (registry,) = (await served.client.get("/registries")).json()["registries"]
    assert registry["problem"]["code"] == "registry_unreachable"


async def test_the_front_page_shows_the_way(served: Served) -> None:
    answer = await served.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="docs"' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loaded = re.findall(r'(?:src|href)="page/([^"]+)"', answer.text)
    assert "station.js" in loaded
    for name in loaded:
        assert (await served.client.get(f"/page/{name}")).status_code == 200
    assert (await served.client.get("/page/%2e%2e%2fdocs.html")).status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/jobs"])
async def test_probes_and_browsers_may_ask_by_head(served: Served, path: str) -> None:
    assert (await served.client.head(path)).status_code == 200


async def test_a_registry_is_asked_once_by_all_who_look_within_five_seconds(served: Served) -> None:
    context, asked = context_of(served), 0
    answering = asyncio.Event()
    now = [0.0]

    async def check() -> RegistryReport:
        nonlocal asked
        asked += 1
        await answering.wait()
        return RegistryReport("http://registry.test")

    view = RegistryView("registry.test", check, probe=Probe(lambda: now[0]))
    served.app.state.context = replaced(context, registries={"default": view})
    looking = [asyncio.create_task(served.client.get("/registries")) for _ in range(10)]
    while not asked:
        await asyncio.sleep(0)
    answering.set()
    answers = [(await answer).json()["registries"][0]["reachable"] for answer in looking]
    assert (answers, asked) == ([True] * 10, 1)
    for now[0], expected in ((4.9, 1), (5.0, 2), (9.9, 2), (10.0, 3)):
        await served.client.get("/registries")
        assert asked == expected
