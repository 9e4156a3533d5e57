"""Queries: unknown parameters are refused, so that a misspelt filter does not list everything."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from fastapi import Depends, Request

from app.errors import InvalidRequest

_SHOWN = 100  # characters of a name or value that a message quotes


def takes(*names: str, repeatable: Iterable[str] = ()) -> Any:
    """Return the dependency of a route that accepts these query parameters, each once unless it is `repeatable`."""
    many = frozenset(repeatable)

    async def check(request: Request) -> None:
        check_query(request.query_params.multi_items(), names, many)

    return Depends(check)


def check_query(
    pairs: Iterable[tuple[str, str]], names: Iterable[str], repeatable: Collection[str] = frozenset()
) -> None:
    """Raise InvalidRequest for a parameter that is not among `names`, and for one with different values unless it is
    `repeatable`."""
    known = tuple(names)
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            told = f"known are {', '.join(known)}" if known else "none is known here"
            raise InvalidRequest(f"unknown query parameter `{name:.{_SHOWN}}`; {told}")
        if name not in repeatable and values.setdefault(name, value) != value:
            raise InvalidRequest(
                f"query parameter `{name}` is given with different values: {values[name]!r:.{_SHOWN}}, "
                f"{value!r:.{_SHOWN}}; give one"
            )
