"""Run as a program with names of files: how much the memory of a process grows while it decides on each of them, in
KiB, one line a file."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from pathlib import Path

from tests.hostile.landing import land
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


async def decide(path: Path) -> None:
    with path.open("rb") as file:
        await land(file)


def growth(path: Path) -> int:
    gc.collect()
    forget_peak()
    before = kibibytes("VmRSS")
    asyncio.run(decide(path))
    return kibibytes("VmHWM") - before


def main() -> None:
    for warm in (DOCKER, OCI, *(wrap(DOCKER, kind) for kind in KINDS)):
        asyncio.run(land(warm))
    for name in sys.argv[1:]:
        print(growth(Path(name)), flush=True)


if __name__ == "__main__":
    main()
