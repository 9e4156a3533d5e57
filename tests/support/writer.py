"""A process that writes a file piece by piece, as told: a copy that stalls whenever the test wants it to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_PROGRAM = """
import sys
file = open(sys.argv[1], sys.argv[2])
print(flush=True)
for line in sys.stdin:
    if line.strip() == "close":
        file.close()
    else:
        file.write(bytes.fromhex(line))
        file.flush()
    print(flush=True)
"""


class Writer:
    """It has `place` open from `__enter__` to `close`, or to its end."""

    def __init__(self, place: Path, mode: str = "wb") -> None:
        self._command = [sys.executable, "-c", _PROGRAM, str(place), mode]

    def write(self, content: bytes) -> None:
        """In the file when this returns."""
        self._tell(content.hex())

    def close(self) -> None:
        self._tell("close")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._await()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._await()

    def _await(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "\n", "the writer ended"
