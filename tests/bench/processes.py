"""What a process costs: wall and CPU seconds, peak memory, and what it read and wrote."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.02  # between two looks at a process's peak memory; what ends sooner is small
COMMAND_SECONDS = 900.0


class CommandFailed(Exception):
    """A command of the bench ended otherwise than with 0, or not at all in its time."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`wall` and `cpu` in seconds, children included; `memory` the peak in bytes of the largest process."""

    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0

    def then(self, other: Cost) -> Cost:
        """Of both, one after the other."""
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.memory, other.memory))


def run(command: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Cost:
    """Runs it to its end. Raises CommandFailed with the end of what it said."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(item) for item in command],
        env={**os.environ, **(environ or {})},
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with _peak_of(process.pid) as peak, _said(process) as said, _bounded(process, COMMAND_SECONDS):
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = b"".join(said)[-2000:].decode(errors="replace")
        raise CommandFailed(f"{command[0]} ended with {process.returncode}: {tail}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak[0])


@contextmanager
def _bounded(process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _said(process: subprocess.Popen[bytes]) -> Iterator[list[bytes]]:
    """Standard error, read by a thread: a full pipe would stop the process."""
    pieces: list[bytes] = []
    assert process.stderr is not None
    stream = process.stderr
    reader = threading.Thread(target=lambda: pieces.extend(iter(lambda: stream.read(65536), b"")), daemon=True)
    reader.start()
    yield pieces
    reader.join(5)
    stream.close()


@contextmanager
def _peak_of(pid: int) -> Iterator[list[int]]:
    """The kernel's own ru_maxrss starts with what the parent has, so VmHWM is looked at instead."""
    peak, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            with suppress(OSError):
                peak[0] = max(peak[0], memory_peak(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def memory_peak(pid: int, field: str = "VmHWM") -> int:
    """Bytes; 0 for a process that has ended. Raises OSError where it is gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


def cpu_seconds(pid: int) -> float:
    """Of a living process and the children it has waited for. Raises OSError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def bytes_read(pid: int) -> int:
    """By read system calls, from sockets and files. Raises OSError."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@dataclass(slots=True)
class Meter:
    """Measures a living process over a stretch of time: `with Meter(pid) as meter: …`, then `meter.cost`."""

    pid: int
    cost: Cost = Cost()
    _began: float = 0.0

    def __enter__(self) -> Meter:
        self.cost = Cost(cpu=-cpu_seconds(self.pid))
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.monotonic() - self._began
        self.cost = replace(
            self.cost, wall=wall, cpu=self.cost.cpu + cpu_seconds(self.pid), memory=memory_peak(self.pid)
        )
