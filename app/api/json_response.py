"""JSON responses."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

VARY = "Accept-Encoding, Authorization"


class NewlineJSONResponse(JSONResponse):
    """JSON with a final newline, for shells and for files of several responses."""

    def render(self, content: Any) -> bytes:
        return super().render(content) + b"\n"


def tagged_answer(request: Request, content: Any) -> Response:
    """Return `content` with a weak ETag of it, or 304 if the client has it."""
    answer = NewlineJSONResponse(content)
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {"ETag": f"W/{tag}", "Cache-Control": "private, no-cache", "Vary": VARY}
    known = [text.strip() for text in ",".join(request.headers.getlist("if-none-match")).split(",")]
    if any(text == "*" or text.removeprefix("W/") == tag for text in known):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    answer.headers.update(headers)
    return answer
