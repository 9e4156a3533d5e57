"""Run as a program: decides on one archive after another, each named by a line with the path of its file, and answers
each with a line of JSON: what came of it, the processor time, and how much the memory of this process grew for it.

A process of its own, because in one that has run many tests new memory is cut from what they have left."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import re
import sys
import time
from pathlib import Path

from app.server.memory import tune_memory
from tests.hostile.landing import Landed, land
from tests.hostile.samples import DOCKER, OCI
from tests.hostile.wrappings import KINDS
from tests.support.archives import wrap

_OWN = Path("/proc/self")


def kibibytes(field: str) -> int:
    """VmRSS: what is held now; VmHWM: the most since the start or since `forget_peak`. getrusage inherits its peak from
    the process that started this one."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", (_OWN / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def forget_peak() -> None:
    """proc(5), clear_refs: 5 sets the peak to what is held now."""
    (_OWN / "clear_refs").write_text("5")


def give_back() -> None:
    """What is free goes back to the system, so that nothing grows unseen in what an archive before it has left."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def decide(path: Path) -> Landed:
    with path.open("rb") as file:
        return await land(file)


def measured(path: Path) -> dict[str, object]:
    give_back()
    forget_peak()
    before, began = kibibytes("VmRSS"), time.process_time()
    landed = asyncio.run(decide(path))
    seconds = time.process_time() - began
    return {
        "landed": [landed.codes, landed.words, landed.tags, landed.images],
        "seconds": seconds,
        "grown": kibibytes("VmHWM") - before,
    }


def main() -> None:
    tune_memory()
    for warm in (DOCKER, OCI, *(wrap(DOCKER, kind) for kind in KINDS)):
        asyncio.run(land(warm))
    for line in sys.stdin:
        print(json.dumps(measured(Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    main()
