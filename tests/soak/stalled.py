"""What a good push costs more while a thousand uploads stand still and a thousand readers of events do not read.

python -c "from tests.soak.stalled import run; print(run(5))"
"""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image, tagged

CROWD = 1_000  # of each kind
LAYER_BYTES = 32 << 20
BAR_PERCENT = 5.0


def run(rounds: int) -> float:
    """The cost in percent of the undisturbed median. Each round pushes one new image alone and one in the crowd."""
    alone, crowded = [], []
    with tempfile.TemporaryDirectory() as place, service(Path(place)) as running:
        _push(running, 0)  # the first one meets cold caches
        for number in range(1, rounds + 1):
            alone.append(_push(running, 2 * number))
            with ExitStack() as crowd:
                _gather(running, crowd)
                crowded.append(_push(running, 2 * number + 1))
    return (statistics.median(crowded) / statistics.median(alone) - 1) * 100


def _push(running: Service, number: int) -> float:
    content = docker_save([tagged(image({"a": b"%d" % number + bytes(LAYER_BYTES)}), f"soak/app:{number}")])
    request = Request(f"{running.url}/push?wait=60", data=content, headers={"Content-Type": "application/x-tar"})
    begun = time.perf_counter()
    with urlopen(request, timeout=90) as answer:
        assert json.load(answer)["state"] == "succeeded"
    return time.perf_counter() - begun


def _gather(running: Service, crowd: ExitStack) -> None:
    host, _, port = running.address.partition(":")

    def opened(head: str, body: bytes = b"") -> None:
        line = crowd.enter_context(socket.create_connection((host, int(port)), timeout=30))
        line.sendall(f"{head}\r\nHost: {running.address}\r\n".encode() + body)

    for _ in range(CROWD):
        opened("POST /push HTTP/1.1", b"Content-Type: application/x-tar\r\nContent-Length: 99999\r\n\r\nx")
    with urlopen(f"{running.url}/jobs?state=receiving&limit=1", timeout=30) as answer:
        watched = json.load(answer)["jobs"][0]["id"]
    for _ in range(CROWD):
        opened(f"GET /jobs/{watched}/events HTTP/1.1", b"\r\n")


__all__ = ["BAR_PERCENT", "run"]
