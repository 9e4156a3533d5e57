"""Something runs out, or a call of the system fails, and comes back: clean answers, nothing left, and work goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from httpx import AsyncClient

from app.config.settings import Settings
from app.main import create_app
from tests.crash.forked import in_a_process
from tests.crash.one_push import client_of, left_over, push_and_tell
from tests.soak import Report
from tests.soak.syscalls import faulty_push
from tests.support.archives import docker_save, image, tagged

APP = docker_save([tagged(image({"bin/app": b"app" * 3000}), "example.com/team/app:1")])
LARGE = 96 << 20  # bytes of a layer
MOST_GROWTH = 48 << 20  # of the memory, meanwhile
FEW = (0, 1, 2, 3, 4, 6)  # descriptors that are left


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose tables are made."""
    data = tmp_path_factory.mktemp("ready")
    assert in_a_process(partial(push_and_tell, data)) == 0
    return data


async def put(client: AsyncClient) -> list[object]:
    answer = await client.put("/push/x.tar", params={"wait": 20}, content=APP)
    document = answer.json()
    return [answer.status_code, document.get("code", document.get("state"))]


@contextmanager
def no_descriptors_but(spare: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + max(FEW), hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def run_out_of_descriptors(data: Path) -> None:
    app = create_app(Settings(data_dir=data, retry_for="0s"))
    async with app.router.lifespan_context(app), client_of(app) as client:
        first = await put(client)
        answers = []
        for spare in FEW:
            with no_descriptors_but(spare):
                answers.append(await put(client))
        last = await put(client)
    told = {"first": first, "answers": answers, "last": last, "left": await left_over(data)}
    (data / "told.json").write_text(json.dumps(told))


def test_no_descriptors_left_is_told_and_passes(tmp_path: Path) -> None:
    assert in_a_process(partial(run_out_of_descriptors, tmp_path), tmp_path / "log") == 0, (
        tmp_path / "log"
    ).read_text()
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["first"] == told["last"] == [200, "succeeded"]
    assert {code for _, code in told["answers"]} <= {
        "succeeded",
        "unavailable",
        "internal",
        "registry_error",
        "source_unreadable",
    }
    assert told["answers"][0] != [200, "succeeded"]
    assert told["left"] == []
    assert "Traceback" not in (tmp_path / "log").read_text()


async def push_a_large_one(data: Path, roots: Path) -> None:
    app = create_app(Settings(data_dir=data, path_roots=(roots,)))
    async with app.router.lifespan_context(app), client_of(app) as client:
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = memory("VmRSS")
        asked = {"paths": [str(roots / "large.tar")], "layer_compression": "none", "wait": 60}
        answer = await client.post("/push", json=asked)
        grown = memory("VmHWM") - before
    (data / "told.json").write_text(json.dumps({"state": answer.json()["state"], "grown": grown}))


def memory(line: str) -> int:
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def test_a_large_archive_takes_little_memory(tmp_path: Path) -> None:
    roots, data = tmp_path / "in", tmp_path / "data"
    roots.mkdir()
    data.mkdir()
    (roots / "large.tar").write_bytes(docker_save([tagged(image({"bin/app": bytes(LARGE)}), "example.com/team/app:1")]))
    assert in_a_process(partial(push_a_large_one, data, roots), data / "log") == 0, (data / "log").read_text()
    told = json.loads((data / "told.json").read_text())
    assert told["state"] == "succeeded"
    assert told["grown"] < MOST_GROWTH


@pytest.mark.parametrize(
    "injected", ["fsync:error=EIO:when=1", "pwrite64:error=ENOSPC:when=6", "pread64:error=EIO:when=4"]
)
def test_a_call_that_fails_is_told_and_leaves_nothing(injected: str, tmp_path: Path, ready: Path) -> None:
    """The others in `make soak`."""
    assert faulty_push(tmp_path / "data", ready, injected, Report("one")) == []


async def push_once(data: Path) -> None:
    app = create_app(Settings(data_dir=data))
    async with app.router.lifespan_context(app), client_of(app) as client:
        answer = await client.put("/push/x.tar", content=APP)
        (data / f"answered-{answer.status_code}").mkdir()


def test_what_is_answered_is_on_the_disk(tmp_path: Path) -> None:
    """In this order: the file, its name, the row, the answer."""
    log = tmp_path / "calls"
    traced = ("-y", "-s", "300", "-e", "trace=fsync,fdatasync,rename,mkdir", "-o", str(log))
    data = tmp_path / "data"
    data.mkdir()
    assert in_a_process(partial(push_once, data), tmp_path / "log", traced) == 0, (tmp_path / "log").read_text()
    lines = iter(log.read_text().splitlines())
    for step in (
        r"f(data)?sync\(\d+<.*/spool/[^/]*\.part>",
        r"rename\(.*\.part\".*\.tar\"",
        r"f(data)?sync\(\d+<.*/spool>",
        r"f(data)?sync\(\d+<.*/jobs\.sqlite-wal>",
        r"mkdir\(.*/answered-202\"",
    ):
        assert any(re.search(step, line) for line in lines), f"{step} is not where it should be"
