"""`Warning: 299 - "text"` headers: what a registry wants its users to read, told once to each job.

Registries are shared by jobs that run at the same time. Who listens is therefore part of the context that a job's tasks
inherit, not of the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from app.net.urls import printable

MOST_TOLD = 20  # of one job
MAX_WARNING = 4096  # characters; distribution-spec's limit
_WARNING = re.compile(r'299\s+\S+\s+"((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class _WarningCollector:
    tell: Callable[[str], None]
    told: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        if text not in self.told and len(self.told) < MOST_TOLD:
            self.told.add(text)
            self.tell(text)


_listener: ContextVar[_WarningCollector | None] = ContextVar("_listener", default=None)


@contextmanager
def collect_warnings(tell: Callable[[str], None]) -> Iterator[None]:
    """Within, and in tasks begun within, `tell` gets each warning of a registry once."""
    token = _listener.set(_WarningCollector(tell))
    try:
        yield
    finally:
        _listener.reset(token)


def record_warning_header(registry: str, values: Iterable[str]) -> None:
    """Tell whoever listens what Warning headers say."""
    listener = _listener.get()
    if listener is None:
        return
    for value in values:
        for text in _WARNING.findall(value[:MAX_WARNING]):
            words = printable(re.sub(r"\\(.)", r"\1", text), MAX_WARNING)
            listener.add(f"{registry} warns: {words}")


def add_notice(text: str) -> None:
    """Tell whoever listens, in our own words."""
    listener = _listener.get()
    if listener is not None:
        listener.add(text)
