"""JSON as HTTP answers carry it."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


class JSONAnswer(JSONResponse):
    """Ends with a line end: a shell's prompt does not stick to it, and answers appended to a file are lines."""

    def render(self, content: Any) -> bytes:
        return super().render(content) + b"\n"
