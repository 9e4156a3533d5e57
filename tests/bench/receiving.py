"""How fast an upload comes in, against plain file sinks; and how long after its last byte the image can be pulled."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from tests.bench.inputs import Input, cache_folder, docker_input, oci_input, one_layer_input
from tests.bench.processes import CommandFailed, run
from tests.bench.race import say
from tests.bench.servers import ROOT, START_SECONDS, Registry, Service, empty_registry, scratch, service
from tests.bench.ways import by_form
from tests.support.archives import DOCKER_MANIFEST, OCI_MANIFEST
from tests.support.docker_registry import free_port

PIECE = 1 << 20
TAG = "bench/pullable:1"
GIGABIT = 125_000_000  # bytes per second
PULLABLE_SECONDS = 300.0


def upload(runs: int) -> dict[str, Any]:
    """`curl -F` of the docker archive. `dry_run` keeps a push that begins early out of the figure."""
    archive, found = docker_input(cache_folder()), dict[str, list[float]]()
    for _ in range(runs):
        for name, send in _receivers().items():
            wall = send(archive)
            found.setdefault(name, []).append(wall)
            say(f"  {name:<40} {wall:6.2f} s  {archive.size / wall / 1e6:7.0f} MB/s")
    rows = [
        {"name": name, "wall": (middle := statistics.median(walls)), "rate": archive.size / middle}
        for name, walls in found.items()
    ]
    return {"input": {"bytes": archive.size}, "rows": rows}


def _receivers() -> dict[str, Callable[[Input], float]]:
    return {
        "Tarmac, only received (dry_run)": _to_tarmac,
        "sink: uvicorn, form parsed, to a file": lambda archive: _to_sink(archive, "form"),
        "sink: bare socket, to a file": lambda archive: _to_sink(archive, "socket"),
    }


def _to_tarmac(archive: Input) -> float:
    with empty_registry() as registry, service(registry, archive.path.parent) as running:
        return by_form(running, archive, "&dry_run=true").wall


def _to_sink(archive: Input, kind: str) -> float:
    with scratch("sink-") as folder, _sink(kind, folder) as port:
        cost = run(
            ["curl", "-sS", "-o", folder / "answer", "-F", f"archive=@{archive.path}", f"http://127.0.0.1:{port}/"]
        )
        if (got := (folder / "sunk").stat().st_size) < archive.size:
            raise CommandFailed(f"the sink has {got} of {archive.size} bytes")
    return cost.wall


@contextmanager
def _sink(kind: str, folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.sinks", kind, str(port), str(folder / "sunk")]
    process = Popen(command, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL)
    try:
        _await_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int) -> None:
    until, pause = time.monotonic() + START_SECONDS, threading.Event()
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            pause.wait(0.02)
        else:
            return
    raise CommandFailed("the sink did not start")


# --- last byte -> pullable -------------------------------------------------------------------------------------------


def pullable(runs: int) -> dict[str, Any]:
    """By each way with the tag in the request, as fast as it is taken, and at the pace of 1 Gbit/s."""
    folder, found = cache_folder(), dict[str, list[float]]()
    inputs = {
        "docker, plain layers": docker_input(folder),
        "docker, one plain layer": one_layer_input(folder),
        "OCI, gzip": oci_input(folder),
    }
    paces = {"at 1 Gbit/s": GIGABIT, "as fast as it is taken": 0}
    for _, kind, way, words in itertools.product(range(runs), inputs, WAYS, paces):
        seconds = _lag(inputs[kind], WAYS[way], paces[words])
        found.setdefault(f"{kind}, {way}, {words}", []).append(seconds)
        say(f"  {kind}, {way}, {words:<24} {seconds:6.2f} s after the last byte")
    return {"rows": [{"name": name, "seconds": statistics.median(lags), "all": lags} for name, lags in found.items()]}


@dataclass(frozen=True, slots=True)
class _Request:
    """`before` and `after` stand round the archive in the body."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    before: bytes = b""
    after: bytes = b""


def _put(_: Service, __: Input) -> _Request:
    return _Request("PUT", f"/push/x.tar?tag={TAG}")


def _form(_: Service, __: Input) -> _Request:
    """As `curl -F tag=… -F archive=@x.tar` sends it."""
    field_head = b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    before = field_head % b"tag" + TAG.encode() + b"\r\n" + field_head.replace(b"\r\n\r\n", b'; filename="x"\r\n\r\n')
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    return _Request("POST", "/push", headers, before % b"archive", b"\r\n--edge--\r\n")


def _resumable(running: Service, archive: Input) -> _Request:
    tus = {"Tus-Resumable": "1.0.0"}
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PULLABLE_SECONDS)
    connection.request("POST", f"/uploads?tag={TAG}", headers={**tus, "Upload-Length": str(archive.size)})
    location = connection.getresponse().headers["Location"]
    connection.close()
    headers = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    return _Request("PATCH", location, headers)


WAYS = {"PUT": _put, "form": _form, "resumable": _resumable}


def _lag(archive: Input, way: Callable[[Service, Input], _Request], pace: int) -> float:
    with empty_registry() as registry, service(registry, archive.path.parent) as running:
        waiting = _Waiting(registry, *TAG.split(":"))
        last_byte = _send(running, archive, way(running, archive), pace)
        return waiting.seen() - last_byte


def _send(running: Service, archive: Input, request: _Request, pace: int) -> float:
    """When the last byte was handed over."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PULLABLE_SECONDS)
    connection.putrequest(request.method, request.path)
    length = len(request.before) + archive.size + len(request.after)
    for name, value in {**request.headers, "Content-Length": str(length)}.items():
        connection.putheader(name, value)
    connection.endheaders(request.before or None)
    began, sent, pause = time.monotonic(), 0, threading.Event()
    with archive.path.open("rb", buffering=0) as source:
        while piece := source.read(PIECE):
            connection.send(piece)
            sent += len(piece)
            if pace and (early := began + sent / pace - time.monotonic()) > 0:
                pause.wait(early)
    connection.send(request.after)
    last_byte = time.monotonic()
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= http.client.BAD_REQUEST:
        raise CommandFailed(f"{answer.status} {json.loads(text)}")
    return last_byte


class _Waiting:
    """Asks the registry for a tag until it is there."""

    def __init__(self, registry: Registry, repository: str, tag: str) -> None:
        self._url, self._path = registry.address, f"/v2/{repository}/manifests/{tag}"
        self._found: float | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        until, pause = time.monotonic() + PULLABLE_SECONDS, threading.Event()
        connection = http.client.HTTPConnection(self._url, timeout=PULLABLE_SECONDS)
        headers = {"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"}
        while time.monotonic() < until and self._found is None:
            connection.request("HEAD", self._path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                self._found = time.monotonic()
            pause.wait(0.02)
        connection.close()

    def seen(self) -> float:
        self._thread.join(PULLABLE_SECONDS)
        if self._found is None:
            raise CommandFailed("the tag never came")
        return self._found
