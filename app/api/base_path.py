"""The base path of the service, as the client of the current request sees it."""

from __future__ import annotations

from contextvars import ContextVar

base_path: ContextVar[str] = ContextVar("base_path", default="")  # set by the middleware `Proxy`


def address_of(path: str) -> str:
    """Return the path of a route with the base path, for response bodies.

    The middleware adds the base path to header fields.
    """
    return base_path.get() + path
