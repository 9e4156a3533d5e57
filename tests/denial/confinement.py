"""600 MiB for one process: by a memory cgroup, where this machine lets us make one, else by looking at it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MEMORY_BYTES = 600 << 20  # as in the unit and the pod of deploy/
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Confinement:
    """`folder`: the cgroup, None if none can be made; then `peak_bytes` is the largest RSS that `look` has seen."""

    def __init__(self) -> None:
        self.folder = self._made(_V1, "memory.limit_in_bytes") or self._made(_V2, "memory.max")
        self._peak = 0

    @staticmethod
    def _made(root: Path, limit: str) -> Path | None:
        folder = root / f"tarmac-denial-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(MEMORY_BYTES))
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            return None
        return folder

    @property
    def wrapper(self) -> tuple[str, ...]:
        """What a command is started with to be within."""
        if self.folder is None:
            return ()
        return ("sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh")

    def look(self, pid: int) -> None:
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            resident = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
            self._peak = max(self._peak, int(next(resident, 0)) << 10)  # a process that was killed has none

    @property
    def peak_bytes(self) -> int:
        """Of resident memory, without the page cache, which the kernel takes back."""
        return self._peak

    @property
    def kills(self) -> int:
        if self.folder is None:
            return 0
        for name in ("memory.oom_control", "memory.events"):
            with suppress(OSError):
                lines = dict(line.split() for line in (self.folder / name).read_text().splitlines())
                return int(lines["oom_kill"])
        return 0

    def end(self) -> None:
        if self.folder is not None:
            with suppress(OSError):
                self.folder.rmdir()
