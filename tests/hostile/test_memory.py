"""No hostile archive costs more memory than an honest one of its size may: measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.case import CPU_SECONDS
from tests.hostile.catalogue import GROUPS

ROOT = Path(__file__).parents[2]
ALLOWED = 64 << 10  # KiB
SMALL = 16 << 10  # bytes; what is smaller and no bomb cannot become much


@pytest.mark.parametrize("group", GROUPS)
def test_memory_stays_flat_over_all_archives_of_a_group(group: str, tmp_path: Path) -> None:
    measured: dict[Path, str] = {}
    for number, case in enumerate(GROUPS[group]):
        if len(data := case.build()) >= SMALL or case.seconds > CPU_SECONDS:
            path = tmp_path / str(number)
            path.write_bytes(data)
            measured[path] = case.name
    command = [sys.executable, "-m", "tests.hostile.footprint", *map(str, measured)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=55)
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = [int(line) for line in done.stdout.split()]
    over = [(name, peak) for name, peak in zip(measured.values(), peaks, strict=True) if peak > ALLOWED]
    assert not over, f"{over[0]} is the first of {len(over)}"
