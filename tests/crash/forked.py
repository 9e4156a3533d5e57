"""Work in a fork of this process: a start of the service costs milliseconds, and system calls of it can be made to
fail, or be written down, by strace."""

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
from pathlib import Path
from typing import Any

from tests.support.peers import peer

Work = Callable[[], Coroutine[Any, Any, None]]
ATTACH_SECONDS = 20.0
_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


def in_a_process(work: Work, log: Path | None = None, strace: Sequence[str] = ()) -> int:
    """Its exit status, as `os.waitstatus_to_exitcode` has it. `strace`: options; it is there from the first call on.
    What is written to the standard streams goes to `log`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, (reader, writer), log)
    os.close(reader)
    tracer = _attach(child, strace) if strace else None
    os.close(writer)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if tracer is not None:
        tracer.wait(ATTACH_SECONDS)
    return status


def _be_the_child(work: Work, gate: tuple[int, int], log: Path | None) -> None:
    reader, writer = gate
    try:
        os.close(writer)
        if log is not None:
            streams = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(streams, 1)
            os.dup2(streams, 2)
            os.close(streams)
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
        os.read(reader, 1)
        os.close(reader)
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
