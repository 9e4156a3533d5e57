"""The responses of `/v2/` in the OpenAPI document."""

from __future__ import annotations

from typing import Any

_ERROR = {
    "type": "object",
    "required": ["code"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "detail": {}},
}
_ERRORS = {
    "type": "object",
    "required": ["errors"],
    "properties": {"errors": {"type": "array", "minItems": 1, "items": _ERROR}},
}
_SUCCESSES = {206: "The range", 304: "The client has it, as its `If-None-Match` says"}
_REFUSALS: dict[int | str, str] = {
    400: "A name, digest or page size that can be none",
    403: "The token may not delete images",
    404: "It is not here",
    405: "A part of something that is still here",
    416: "The blob has no such range",
    503: "The embedded destination cannot be read",
    "default": "Any other error, as `UNAUTHORIZED` or `DENIED`",
}


def pull_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route with these statuses, in addition to 200."""
    answers: dict[int | str, dict[str, Any]] = {}
    told: tuple[int | str, ...] = (*statuses, 503, "default")
    for status in told:
        if isinstance(status, int) and status in _SUCCESSES:
            answers[status] = {"description": _SUCCESSES[status]}
        else:
            answers[status] = {
                "description": _REFUSALS[status],
                "content": {"application/json": {"schema": _ERRORS}},
            }
    return answers
