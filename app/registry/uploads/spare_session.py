"""An upload session that a rejected mount opened."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.net.response import Response


class SpareSession:
    """Passes a session to the push of the blob that follows.

    Use it in `with`: a session that was not taken is cancelled.
    """

    def __init__(self) -> None:
        self._held: tuple[Response, Callable[[], None]] | None = None

    def give(self, opened: Response, cancel: Callable[[], None]) -> None:
        """Store the response that opened the session. `cancel` must not wait."""
        self._end()
        self._held = opened, cancel

    def take(self) -> Response | None:
        """Return the response once, then None."""
        held, self._held = self._held, None
        return None if held is None else held[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._held is not None:
            self._held[1]()
            self._held = None
