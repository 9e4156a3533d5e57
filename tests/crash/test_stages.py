"""The process is killed at each stage of a job. It is a fork of this one, so that a start costs milliseconds."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.jobs import JobRequest
from app.main import create_app
from app.push import PushOptions
from tests.crash.forked import in_a_process
from tests.crash.killed_at import STAGES, arm
from tests.jobs.bench import upload
from tests.soak.oracle import tag_at
from tests.support.archives import entry, image, oci_image, oci_index, oci_layout
from tests.support.docker_registry import DockerRegistry

NODE = oci_index([oci_image(image({"bin/app": b"app" * 1000}), compression="gzip")])  # two manifests to put
ARCHIVE = oci_layout([entry(NODE)])
REQUEST = JobRequest(PushOptions(tag="team/app:1"))
HERE = ("accepted", "begun", "second_blob", "tag", "finished", "ended")  # the others in `make soak`
PATIENCE = 30.0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


async def push(settings: Settings, stage: str) -> None:
    arm(STAGES[stage])
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        service = app.state.context.service
        await service.wait((await upload(service, ARCHIVE, REQUEST)).id, PATIENCE)


async def go_on(settings: Settings) -> None:
    """Nobody asks for anything: what there is goes on by itself, and is told in a file."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        service = app.state.context.service
        (job,), _ = await service.page()
        job = await service.wait(job.id, PATIENCE)
    (settings.data_dir / "told.json").write_text(json.dumps(job.document()))


def sent(registry: DockerRegistry) -> int:
    """Blobs whose bytes came."""
    return sum(method == "PUT" and "/blobs/uploads/" in path for method, path in registry.requests())


@pytest.mark.parametrize("stage", HERE)
def test_a_job_goes_on_after_a_kill(stage: str, tmp_path: Path, registry: DockerRegistry) -> None:
    settings = Settings(data_dir=tmp_path, registries={"default": {"url": f"{registry.url}/{stage}"}})
    assert in_a_process(partial(push, settings, stage)) == -signal.SIGKILL
    before = sent(registry)
    assert in_a_process(partial(go_on, settings)) == 0
    job = json.loads((tmp_path / "told.json").read_text())
    assert job["state"] == "succeeded", job
    assert job["attempt"] == (1 if stage == "ended" else 1 + STAGES[stage].starts)
    assert tag_at(registry, f"{stage}/team/app", "1") == NODE.digest
    assert list((tmp_path / "spool").iterdir()) == []
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    if stage in {"tag", "finished", "ended"}:
        assert sent(registry) == before, "what is there is not sent again"
