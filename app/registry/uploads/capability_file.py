"""Learned capabilities of registries, stored in a small file across restarts.

If it is lost, some rejected requests are repeated.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from app.errors import ArchiveError
from app.oci import strict_json
from app.registry.uploads.capabilities import MIN_CHUNK_BYTES, UploadCapabilities

MAX_REGISTRIES = 1_000  # registries; those learned longest ago are dropped
MAX_FILE = 1 << 20  # bytes; a thousand entries have a fifth of it
MAX_CLOCK_SKEW = 86_400.0  # seconds; a later entry was written while the clock was ahead
GOOD_FOR = 30 * 86_400.0  # seconds; a proxy's limit may be raised or a registry updated, so everything is tried again
_METHODS = ("ask", "put", "patch", "chunks", "stream")
_MEMBERS = frozenset({*_METHODS, "most", "learnt"})
_LATER_METHODS = ("mount",)  # missing in files of 0.1.0
_log = structlog.get_logger(__name__)

Entry = Mapping[str, Any]


class CapabilityFile:
    """Capabilities by registry (host[:port]). Never fails: unreadable or unwritable entries are learned again."""

    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        self._file, self._now = file, now
        self._lock = asyncio.Lock()

    async def lookup(self, registry: str) -> UploadCapabilities:
        async with self._lock:
            entry = (await asyncio.to_thread(self._read)).get(registry)
        known = {name: value for name, value in (entry or {}).items() if name != "learnt"}
        return UploadCapabilities(**known)

    async def record(self, registry: str, capabilities: UploadCapabilities) -> None:
        async with self._lock:
            await asyncio.to_thread(self._keep, registry, capabilities)

    def _read(self) -> dict[str, Entry]:
        """Return the entries that are complete and not too old."""
        try:
            with self._file.open("rb") as opened:
                document = strict_json(opened.read(MAX_FILE + 1), what=str(self._file), limit=MAX_FILE)
        except FileNotFoundError:
            return {}
        except (OSError, ArchiveError) as error:
            _log.warning("registry.capabilities_unreadable", file=str(self._file), reason=str(error))
            return {}
        entries = document if isinstance(document, dict) else {}
        oldest, newest = self._now() - GOOD_FOR, self._now() + MAX_CLOCK_SKEW
        return {
            name: entry for name, entry in entries.items() if _is_whole(entry) and oldest < entry["learnt"] <= newest
        }

    def _keep(self, registry: str, capabilities: UploadCapabilities) -> None:
        entries = self._read()
        entries[registry] = {**asdict(capabilities), "learnt": self._now()}
        newest = sorted(entries.items(), key=lambda item: item[1]["learnt"])[-MAX_REGISTRIES:]
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.new")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(json.dumps(dict(newest), indent=1), encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:
            _log.warning("registry.capabilities_not_stored", file=str(self._file), reason=str(error))


class LearnedCapabilities:
    """The capabilities of one registry while it is used. `file` stores them (None: they are not stored)."""

    def __init__(self, registry: str, file: CapabilityFile | None) -> None:
        self.known = UploadCapabilities()
        self._registry, self._file = registry, file
        self._recalling = asyncio.Lock()
        self._is_recalled = file is None

    async def current(self) -> UploadCapabilities:
        """Return the known capabilities. All callers wait until the file has been read once."""
        if not self._is_recalled:
            async with self._recalling:
                if self._file is not None and not self._is_recalled:
                    self.known = self.known.merge(await self._file.lookup(self._registry))
                    self._is_recalled = True
        return self.known

    async def learn(self, capabilities: UploadCapabilities) -> None:
        """Add the capabilities that led to a stored blob."""
        joined = self.known.merge(capabilities)
        if joined == self.known:
            return
        self.known = joined
        if self._file is not None:
            await self._file.record(self._registry, joined)


def _is_whole(entry: object) -> bool:
    """Return whether an entry has the form that `_keep` writes; a file of another version is not an error."""
    if not isinstance(entry, dict) or set(entry) - {*_LATER_METHODS} != _MEMBERS:
        return False
    if not isinstance(entry["learnt"], int | float):
        return False
    most = entry["most"]
    is_size = most is None or (type(most) is int and most >= MIN_CHUNK_BYTES)
    return is_size and all(isinstance(entry.get(method, True), bool) for method in (*_METHODS, *_LATER_METHODS))
