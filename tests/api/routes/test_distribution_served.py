"""A real client against a real server: skopeo pulls what landed, over HTTP on a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from app.api.routes.distribution import add_distribution_routes
from app.oci import Digest
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.oci_layout.served import ServedLayout
from tests.registry.oci_layout.landing import land
from tests.support.archives import digest_of, image, oci_image, oci_index
from tests.support.blob_content import BytesContent

APP = oci_image(image({"bin/app": b"one"}, {"etc/app": b"two"}), platform="linux/amd64")
ARM = oci_image(image({"bin/app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
DOCKER = oci_image(image({"bin/app": b"docker"}), docker=True)
INDEX = oci_index([APP, ARM])
BLOB = bytes(range(256)) * 40_000  # 10 MB: several chunks, more than a socket takes at once
START_SECONDS = 20


@contextlib.contextmanager
def served(layout: LayoutRegistry) -> Iterator[tuple[str, int]]:
    """Host and port of a server in a thread of its own."""
    app = FastAPI()
    add_distribution_routes(app, ServedLayout(layout))
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(START_SECONDS)
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    layout = LayoutRegistry(tmp_path / "layout")
    await land(layout, "library/multi", INDEX, "1")
    await land(layout, "team/deep/app", DOCKER, "v1.2", "latest")
    await layout.push_blob("library/multi", BytesContent(BLOB, cut=1 << 20))
    with served(layout) as address:
        yield address


async def run(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(address: tuple[str, int], method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


async def test_skopeo_copies_a_whole_index(server: tuple[str, int], tmp_path: Path, skopeo: str) -> None:
    source = f"docker://{server[0]}:{server[1]}/library/multi:1"
    await run(skopeo, "copy", "--insecure-policy", "--all", "--src-tls-verify=false", source, f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == INDEX.raw
    held = {digest_of(path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert held >= set(INDEX.content)


async def test_skopeo_copies_by_tag_and_by_digest(server: tuple[str, int], tmp_path: Path, skopeo: str) -> None:
    repository = f"docker://{server[0]}:{server[1]}/team/deep/app"
    for number, reference in enumerate((":v1.2", f"@{DOCKER.digest}")):
        target = tmp_path / str(number)
        await run(
            skopeo, "copy", "--insecure-policy", "--src-tls-verify=false", repository + reference, f"dir:{target}"
        )
        assert (target / "manifest.json").read_bytes() == DOCKER.raw


async def test_skopeo_lists_tags_and_inspects(server: tuple[str, int], skopeo: str) -> None:
    repository = f"docker://{server[0]}:{server[1]}/team/deep/app"
    assert json.loads(await run(skopeo, "list-tags", "--tls-verify=false", repository))["Tags"] == ["latest", "v1.2"]
    inspected = json.loads(await run(skopeo, "inspect", "--tls-verify=false", f"{repository}:latest"))
    assert inspected["Digest"] == DOCKER.digest


async def test_a_download_that_broke_off_is_resumed(server: tuple[str, int]) -> None:
    path = f"/v2/library/multi/blobs/{digest_of(BLOB)}"
    _, first = await asyncio.to_thread(ask, server, "GET", path, Range="bytes=0-4999999")
    response, rest = await asyncio.to_thread(ask, server, "GET", path, Range="bytes=5000000-")
    assert response.status == 206
    assert first + rest == BLOB


async def test_a_head_says_the_length_and_sends_nothing(server: tuple[str, int]) -> None:
    response, body = await asyncio.to_thread(ask, server, "HEAD", f"/v2/library/multi/blobs/{digest_of(BLOB)}")
    assert (response.status, response.headers["Content-Length"], body) == (200, str(len(BLOB)), b"")
    response, body = await asyncio.to_thread(ask, server, "HEAD", "/v2/library/multi/manifests/none")
    assert (response.status, body) == (404, b"")


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(server: tuple[str, int]) -> None:
    path = f"/v2/library/multi/blobs/{digest_of(BLOB)}"

    def leave() -> None:
        with socket.create_connection(server, timeout=20) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: registry\r\n\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 200")

    for _ in range(5):
        await asyncio.to_thread(leave)
    response, body = await asyncio.to_thread(ask, server, "GET", path)
    assert (response.status, Digest.of(body)) == (200, Digest.parse(digest_of(BLOB)))
