"""How much of what comes from outside is stored and shown: long texts are cut, long lists end early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

MARK = "…"  # the last character of a text that was cut
MAX_NAME = 512  # characters of a name of an archive or image; a reference with tag and digest has below 480
MAX_PATH = 1_024  # characters of the path of an archive
MAX_NOTICE = 1_000  # characters of one notice
MAX_NOTICES = 200  # of one job; one more says that there are others
MORE_NOTICES = f"there are more notices; only the first {MAX_NOTICES} are kept"

T = TypeVar("T")


def shorten(text: str, limit: int = MAX_NAME) -> str:
    """Return `text` with at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + MARK


def within(items: Iterable[T], most: int, size_of: Callable[[T], int]) -> Iterator[T]:
    """Yield `items` up to the one with which they are larger than `most`."""
    size = 0
    for item in items:
        size += size_of(item)
        if size > most:
            return
        yield item


def add_notices(notices: tuple[str, ...], texts: Iterable[str]) -> tuple[str, ...]:
    """Return `notices` and those of `texts` for which there is room."""
    if len(notices) > MAX_NOTICES:
        return notices
    joined = (*notices, *(shorten(text, MAX_NOTICE) for text in islice(texts, MAX_NOTICES + 1)))
    return joined if len(joined) <= MAX_NOTICES else (*joined[:MAX_NOTICES], MORE_NOTICES)
