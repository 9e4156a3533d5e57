"""Under load and at rest: status answers and memory with eight uploads and pushes at once, start, idling."""

from __future__ import annotations

import http.client
import math
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from tests.bench.inputs import Input, cache_folder, docker_archive
from tests.bench.layers import system_layers
from tests.bench.processes import Cost, Meter, cpu_seconds, memory_peak
from tests.bench.race import say
from tests.bench.servers import Service, empty_registry, service
from tests.bench.ways import by_form

AT_ONCE = 8
LAYERS_OF_ONE = (60_000_000, 20_000_000)
PAUSE_SECONDS = 0.01
IDLE_SECONDS = 10.0


def several(count: int = AT_ONCE) -> tuple[Input, ...]:
    """Docker archives of about 80 MB with nothing in common."""
    folder = cache_folder() / "several"
    folder.mkdir(exist_ok=True)
    layers, size = system_layers(folder, LAYERS_OF_ONE * count), len(LAYERS_OF_ONE)
    count = len(layers) // size
    return tuple(
        docker_archive(folder / f"{n}.tar", {f"bench/several{n}:1": layers[n * size : (n + 1) * size]})
        for n in range(count)
    )


def load(runs: int) -> dict[str, Any]:
    """Eight `curl -F` at once, eight jobs may run, and a client that asks for the jobs all the while."""
    archives, rows = several(), list[dict[str, Any]]()
    for _ in range(runs):
        with (
            empty_registry() as registry,
            service(registry, archives[0].path.parent, TARMAC_MAX_RUNNING_JOBS=str(AT_ONCE)) as running,
        ):
            with Meter(running.process.pid) as meter, _Asking(running) as asking:
                all_at_once(running, archives)
            rows.append(_told(meter.cost, asking.seconds))
        say(f"  8 at once: {rows[-1]}")
    keys = rows[0].keys()
    middle = {key: statistics.median(row[key] for row in rows) for key in keys}
    return {
        "input": {"bytes": sum(archive.size for archive in archives), "archives": len(archives)},
        **middle,
        "runs": rows,
    }


def all_at_once(running: Service, archives: Sequence[Input]) -> None:
    with ThreadPoolExecutor(len(archives)) as pool:
        for future in [pool.submit(by_form, running, archive) for archive in archives]:
            future.result()


def _told(cost: Cost, seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "wall": cost.wall,
        "cpu": cost.cpu,
        "memory": cost.memory,
        "asked": len(ordered),
        "p50": percentile(ordered, 50),
        "p99": percentile(ordered, 99),
        "slowest": ordered[-1],
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the sorted values that so many per cent do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class _Asking:
    """GET /jobs, one request after the other with a short pause, each one timed."""

    def __init__(self, running: Service) -> None:
        self.seconds: list[float] = []
        self._port, self._ended = running.port, threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> _Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._ended.wait(PAUSE_SECONDS):
            began = time.monotonic()
            connection.request("GET", "/jobs?limit=10")
            connection.getresponse().read()
            self.seconds.append(time.monotonic() - began)
        connection.close()


# --- at rest ---------------------------------------------------------------------------------------------------------


def rest(runs: int) -> dict[str, Any]:
    """From the start of the process to the first /readyz that says yes; then nothing is asked for ten seconds."""
    starts, idle, resident = [], [], []
    with empty_registry() as registry:
        for _ in range(runs):
            with service(registry, cache_folder()) as running:
                starts.append(running.started_in)
                before = cpu_seconds(running.process.pid)
                threading.Event().wait(IDLE_SECONDS)
                idle.append((cpu_seconds(running.process.pid) - before) / IDLE_SECONDS)
                with suppress(OSError):
                    resident.append(memory_peak(running.process.pid, "VmRSS"))
            say(f"  start {starts[-1]:.2f} s, idle {idle[-1]:.2%} of a core, {resident[-1] / 2**20:.0f} MiB")
    return {
        "start": statistics.median(starts),
        "idle": statistics.median(idle),
        "memory": statistics.median(resident),
        "starts": starts,
    }
