"""The service as a process of its own, with archives that it reads by path."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.soak.process import Tarmac

ENDED = frozenset({"succeeded", "failed", "cancelled"})
MAX_LOOKS = 20  # each lasts up to 25 s


class Service:
    """Stopped, and its archives deleted, when it is left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = count()
        self._tarmac: Tarmac | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._tarmac is not None:
            self.kill()
        for archive in self._folder.glob("*.tar"):
            archive.unlink()

    def start(self, environ: dict[str, str]) -> None:
        self._tarmac = Tarmac(self._folder / "data", {"TARMAC_PATH_ROOTS": str(self._folder), **environ})
        self._tarmac.start()

    def kill(self) -> None:
        """As `kill -9` does."""
        self._process.kill()

    def restart(self) -> None:
        """On the same data."""
        self._process.start()

    def submit(self, archive: bytes, **options: str) -> str:
        """The id of a job that pushes `archive` by path."""
        path = self._folder / f"{next(self._names)}.tar"
        path.write_bytes(archive)
        body = json.dumps({"paths": [str(path)], **options}).encode()
        status, document = self._process.ask("POST", "/push", body, "application/json")
        assert status == 202, document
        return str(document["id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """The document of the job when it has ended, or the one of now if it takes minutes."""
        job = self._process.job(job_id)
        for _ in range(MAX_LOOKS):
            if job["state"] in ENDED:
                break
            job = self._process.job(job_id)
        return job

    def push(self, archive: bytes, **options: str) -> dict[str, Any]:
        return self.ended(self.submit(archive, **options))

    @property
    def _process(self) -> Tarmac:
        assert self._tarmac is not None, "start it first"
        return self._tarmac
