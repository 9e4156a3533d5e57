"""Work in a process of its own (`tests.support.forked`), whose system calls can be made to fail, or be written down, by
strace."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.support.forked import FORKS, redirect
from tests.support.peers import peer

Work = Callable[[], Coroutine[Any, Any, None]]
ATTACH_SECONDS = 20.0
_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


def in_a_process(work: Work, log: Path | None = None, strace: Sequence[str] = ()) -> int:
    """Its exit status; of a signal, its number below zero. `work` is of what can be pickled. `strace`: options; it is
    there from the first call of `work` on. What is written to the standard streams goes to `log`."""
    waiting, gate = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_be_the_child, args=(work, waiting, log))
    child.start()
    waiting.close()
    assert child.pid is not None
    tracer = _attach(child.pid, strace) if strace else None
    gate.close()
    child.join()
    if tracer is not None:
        tracer.wait(ATTACH_SECONDS)
    assert child.exitcode is not None
    return child.exitcode


def _be_the_child(work: Work, gate: Connection, log: Path | None) -> None:
    try:
        if log is not None:
            redirect(log)
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
        gate.poll(None)  # until its other end is closed
        gate.close()
        asyncio.run(work())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise
    finally:
        os._exit(1)


def _attach(child: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    tracer = subprocess.Popen([peer("strace"), "-f", "-qq", *options, "-p", str(child)])
    until = time.monotonic() + ATTACH_SECONDS
    while "TracerPid:\t0" in Path(f"/proc/{child}/status").read_text():
        assert tracer.poll() is None, "strace could not attach"
        assert time.monotonic() < until
        threading.Event().wait(0.002)
    return tracer
