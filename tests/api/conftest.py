"""A whole service in this process: real jobs, real spool, the embedded destination, spoken to over ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.config.settings import Settings
from app.main import create_app
from tests.support.archives import docker_save, image, tagged
from tests.support.migrated import put_database

APP = docker_save([tagged(image({"bin/app": b"one"}), "example.com/team/app:1")])
OTHER = docker_save([tagged(image({"bin/app": b"two"}), "example.com/team/other:1")])
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Served:
    """A running application and a client that speaks to it."""

    app: FastAPI
    client: httpx.AsyncClient
    data: Path

    async def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """The document of the job when it has ended."""
        answer = await self.client.get(f"/jobs/{job['id']}", params={"wait": 30})
        document: dict[str, Any] = answer.json()
        assert document["state"] in ("succeeded", "failed", "cancelled")
        return document

    async def digest(self, repository: str, tag: str) -> str | None:
        answer = await self.client.head(f"/v2/{repository}/manifests/{tag}", headers={"Accept": "*/*"})
        digest: str | None = answer.headers.get("docker-content-digest")
        return digest

    def spooled(self) -> list[str]:
        return sorted(path.name for path in (self.data / "spool").iterdir())


@asynccontextmanager
async def serving(data: Path, **settings: Any) -> AsyncIterator[Served]:
    put_database(data)
    app = create_app(Settings(data_dir=data, **{"allowed_hosts": "tarmac.test", **settings}))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://tarmac.test", timeout=30)
        yield Served(app, await stack.enter_async_context(client), data)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One service for all tests of a module with `pytestmark = IN_ONE_LOOP`, to which what came before is all one."""
    async with serving(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as running:
        yield running
