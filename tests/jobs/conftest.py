from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.jobs.store import JobStore
from app.jobs.store.memory import MemoryJobStore
from app.jobs.store.sql import SqlJobStore
from tests.jobs.bench import Bench


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    if request.param == "memory":
        yield MemoryJobStore()
        return
    sqlite = await SqlJobStore.open(f"sqlite:///{tmp_path / 'tarmac.db'}")
    yield sqlite
    await sqlite.close()


@pytest.fixture
def bench(store: JobStore, tmp_path: Path) -> Bench:
    return Bench(tmp_path, store)
