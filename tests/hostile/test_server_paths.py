"""Server paths that try to get out of the roots, to find out what is there, or to keep the service busy."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.conftest import Served, serving
from tests.hostile.case import allowed
from tests.hostile.samples import DOCKER

REFUSED = {"path_not_allowed", "path_not_found", "invalid_request", "limit_exceeded"}
PATHS = {
    "outside": "/etc/passwd",
    "outside, missing": "/etc/absent",
    "climbing out": "{root}/../outside/secret.tar",
    "climbing out and back": "{root}/../in/../outside/secret.tar",
    "climbing by a pattern": "{root}/*/../../outside/*.tar",
    "a sibling with the same start": "{root}side/secret.tar",
    "the root itself": "{root}",
    "the root with a slash": "{root}/",
    "relative": "x.tar",
    "empty": "",
    "NUL": "{root}/x\0.tar",
    "a line feed": "{root}/x\n.tar",
    "a lone surrogate": "{root}/\ud800.tar",
    "a lone surrogate in a pattern": "{root}/\ud800*.tar",
    "bytes that are not UTF-8": "{root}/\udcff.tar",
    "4,096 characters": "{root}/" + "x" * 4096,
    "a component of 300": "{root}/" + "x" * 300 + ".tar",
    "2,000 components": "{root}/" + "x/" * 2000 + "x",
    "a link to a file outside": "{root}/link.tar",
    "a link to a directory outside": "{root}/linked/secret.tar",
    "a pattern through a link": "{root}/linked/*.tar",
    "a pattern that is a link": "{root}/lin*.tar",
    "a link of /proc": "{root}/proc/self/root/etc/passwd",
    "a link in a circle": "{root}/circle",
    "a pipe": "{root}/pipe",
    "a socket": "{root}/socket",
    "a device, by a link": "{root}/zero",
    "a directory": "{root}/sub",
    "a URL": "file:///etc/passwd",
    "a home": "~/x.tar",
    "a variable": "$HOME/x.tar",
    "an unclosed class": "{root}/[",
    "a pattern of stars": "{root}/" + "*a" * 200 + "b",
    "any depth, forty times": "{root}/" + "**/" * 40 + "absent",
    "any depth and a directory, forty times": "{root}/" + "**/*/" * 40 + "absent",
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    root, outside = tmp_path / "in", tmp_path / "outside"
    for directory in (root / "sub" / "deep" / "deeper", outside):
        directory.mkdir(parents=True)
    for place in (root / "x.tar", root / "sub" / "y.tar", outside / "secret.tar", tmp_path / "inside"):
        place.write_bytes(DOCKER)
    links = {"link.tar": outside / "secret.tar", "linked": outside, "proc": Path("/proc"), "zero": Path("/dev/zero")}
    links |= {"circle": root / "circle", "loop": root, "sub/loop": root, "sub/deep/loop": root / "sub"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket"))
        async with serving(tmp_path / "data", path_roots=(root,)) as running:
            yield running


def place_of(served: Served, path: str) -> str:
    return path.replace("{root}", str(served.data.parent / "in"))


@pytest.mark.parametrize("name", PATHS)
async def test_a_hostile_path_is_refused(name: str, served: Served) -> None:
    body = json.dumps({"paths": [place_of(served, PATHS[name])], "wait": 20}).encode()
    started = time.process_time()
    answer = await served.client.post("/push", content=body, headers={"Content-Type": "application/json"})
    assert time.process_time() - started < allowed(1)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["code"] in REFUSED
    assert served.spooled() == []


@pytest.mark.parametrize("pattern", ["{root}/**/*.tar", "{root}/**/**/**/*.tar", "{root}/[xs]*/../**/*.tar"])
async def test_loops_of_links_are_not_walked(pattern: str, served: Served) -> None:
    body = {"paths": [place_of(served, pattern)], "wait": 20, "dry_run": True}
    started = time.process_time()
    job = (await served.client.post("/push", json=body)).json()
    assert time.process_time() - started < allowed(1)
    assert [archive["name"] for archive in job["archives"]] == ["y.tar", "x.tar"]


async def test_what_is_missing_and_what_is_outside_get_the_same_words(served: Served) -> None:
    words = set()
    for name in ("absent.tar", "link.tar", "linked/secret.tar", "linked/absent.tar", "pipe", "circle"):
        answer = await served.client.post("/push", json={"paths": [place_of(served, "{root}/" + name)]})
        words.add(answer.json()["detail"].replace(name, "…"))
    assert len(words) == 1
