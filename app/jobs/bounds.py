"""Limits for texts and lists from outside: long texts are cut, long lists end early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

MARK = "…"  # last character of a text that was cut
MAX_NAME = 512  # characters in the name of an archive or image; a reference with tag and digest has below 480
MAX_PATH = 1_024  # characters in the path of an archive
MAX_NOTICE = 1_000  # characters in one notice
MAX_NOTICES = 200  # for one job; one more notice says that others were dropped
MORE_NOTICES = f"there are more notices; only the first {MAX_NOTICES} are kept"

T = TypeVar("T")


def shorten(text: str, limit: int = MAX_NAME) -> str:
    """Return `text`, cut to at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + MARK


def within(items: Iterable[T], most: int, size_of: Callable[[T], int]) -> Iterator[T]:
    """Yield `items` until their total size would exceed `most`."""
    size = 0
    for item in items:
        size += size_of(item)
        if size > most:
            return
        yield item


def add_notices(notices: tuple[str, ...], texts: Iterable[str]) -> tuple[str, ...]:
    """Return `notices` and as many of `texts` as the limit allows."""
    if len(notices) > MAX_NOTICES:
        return notices
    joined = (*notices, *(shorten(text, MAX_NOTICE) for text in islice(texts, MAX_NOTICES + 1)))
    return joined if len(joined) <= MAX_NOTICES else (*joined[:MAX_NOTICES], MORE_NOTICES)
