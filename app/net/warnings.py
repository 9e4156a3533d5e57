"""`Warning: 299 - "text"` headers: messages of a registry to its users, reported once per job.

Jobs that run at the same time share a registry. The listener is therefore part of the context that the tasks of a job
inherit, not of the registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from app.net.urls import printable

MAX_WARNINGS = 20  # per job
MAX_WARNING = 4096  # characters; distribution-spec's limit
_WARNING = re.compile(r'299\s+\S+\s+"((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class _WarningCollector:
    report: Callable[[str], None]
    reported: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        if text not in self.reported and len(self.reported) < MAX_WARNINGS:
            self.reported.add(text)
            self.report(text)


_listener: ContextVar[_WarningCollector | None] = ContextVar("_listener", default=None)


@contextmanager
def collect_warnings(report: Callable[[str], None]) -> Iterator[None]:
    """Call `report` once with each warning of a registry, in this context and in the tasks started in it."""
    token = _listener.set(_WarningCollector(report))
    try:
        yield
    finally:
        _listener.reset(token)


def record_warning_header(registry: str, values: Iterable[str]) -> None:
    """Report the warnings in Warning headers to the listener."""
    listener = _listener.get()
    if listener is None:
        return
    for value in values:
        for text in _WARNING.findall(value[:MAX_WARNING]):
            message = printable(re.sub(r"\\(.)", r"\1", text), MAX_WARNING)
            listener.add(f"{registry} warns: {message}")


def add_notice(text: str) -> None:
    """Report a text of Tarmac to the listener."""
    listener = _listener.get()
    if listener is not None:
        listener.add(text)
