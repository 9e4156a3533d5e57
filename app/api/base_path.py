"""The path below which the client of the current request sees the service."""

from __future__ import annotations

from contextvars import ContextVar

base_path: ContextVar[str] = ContextVar("base_path", default="")  # set by the middleware `Proxy`


def address_of(path: str) -> str:
    """Return the path of a route as the client of this request sees it, for response bodies. Header fields get it from
    the middleware."""
    return base_path.get() + path
