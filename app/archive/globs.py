"""Shell patterns over names, with a cost limit for all patterns and names of a request together; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate

from app.errors import LimitExceeded

MAX_GLOB_CHARACTERS = 32 << 10  # of all patterns of a request together; compiling them takes 0.2 s
MAX_STEPS = 200_000_000  # length of a name times length of the patterns; takes at most 1 s
_MAGIC = frozenset("*?[")


class Globs:
    """Matches names against several patterns. Texts without `*`, `?` or `[` are looked up and are not limited."""

    def __init__(self, globs: Sequence[str], option: str) -> None:
        """Compile the patterns. Raises LimitExceeded if they are too long together."""
        self._option = option
        self._texts = frozenset(globs)
        patterns = [glob for glob in self._texts if _MAGIC & set(glob)]
        self._characters = sum(map(len, patterns))
        self._steps = 0
        if self._characters > MAX_GLOB_CHARACTERS:
            raise LimitExceeded(
                f"{option} has patterns of {self._characters} characters together; at most {MAX_GLOB_CHARACTERS} are "
                "read; give fewer or shorter ones"
            )
        self._matches = re.compile("|".join(map(translate, patterns))).match if patterns else None

    def match(self, text: str) -> bool:
        """Return whether a pattern matches `text`. Raises LimitExceeded if all calls together cost too much."""
        if text in self._texts:
            return True
        if self._matches is None:
            return False
        self._steps += self._characters * len(text)
        if self._steps > MAX_STEPS:
            raise LimitExceeded(
                f"{self._option} has too many patterns ({self._characters} characters) for the names in the archive; "
                "give fewer patterns, or whole names"
            )
        return self._matches(text) is not None
