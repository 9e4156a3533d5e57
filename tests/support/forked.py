"""Processes that are forks of one in which everything is imported and nothing runs: a start of the service costs
milliseconds and not a second of the processor's time, and no thread of a test is missed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.imported"])


class Program:
    """`tarmac` with `arguments` and the environment `environ`, as far as tests use it like subprocess.Popen; standard
    output and standard error are appended to `log`."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], log: Path = Path(os.devnull)) -> None:
        self._process = FORKS.Process(target=_run, args=(tuple(arguments), dict(environ), log))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("tarmac", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def redirect(log: Path) -> None:
    """Append what this process writes to the standard streams to `log`."""
    streams = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(streams, 1)
    os.dup2(streams, 2)
    os.close(streams)


def _run(arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    from app.__main__ import main

    redirect(log)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environ)
    sys.exit(main(list(arguments)))
