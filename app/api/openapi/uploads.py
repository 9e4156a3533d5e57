"""`/uploads` in the OpenAPI document; it reads its header fields and bodies itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.api.requests.options import OPTIONS, REPEATABLE
from app.api.schemas import JobDocument, problems

_TEXT = {"type": "string"}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FIELDS: Mapping[str, str] = {
    "Tus-Resumable": "`1.0.0` of a client of tus.",
    "Upload-Length": "Bytes of the whole archive.",
    "Upload-Defer-Length": "`1`: the length is told later.",
    "Upload-Metadata": "Pairs `key base64`: `filename`, `hold`, and the options of a push; `rename`, `images` and "
    "`label` with one value a line.",
    "Upload-Concat": "`partial`, or `final;` and the addresses of the parts.",
    "Upload-Checksum": "`algorithm base64` of the bytes of this request.",
    "Upload-Complete": "`?1` or `?0`, of a client of the IETF draft: whether the last byte is in this request.",
    "Upload-Offset": "Where the bytes of this request begin.",
    "Content-Disposition": '`inline; filename="x.tar"`, of a client of the IETF draft.',
    "Repr-Digest": "`sha-256=:<base64>:` of the whole archive.",
    "Content-Digest": "`sha-256=:<base64>:` of the bytes of this request.",
}
_TOLD = {
    "Upload-Offset": "Bytes that are here, and stay.",
    "Upload-Length": "As it was told.",
    "Upload-Complete": "`?1` when nothing is missing.",
    "Upload-Expires": "When the upload goes if no byte comes.",
    "Tarmac-Job": "Address of its job.",
}


def _headers(names: Iterable[str], words: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": words[name], "schema": _TEXT} for name in names}


def _parameters(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "description": _FIELDS[name], "schema": _TEXT} for name in names]


def _options() -> dict[str, Any]:
    texts = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "boolean"}, {"type": "object"}]}
    elsewhere = {"wait", "wait_required", "each", "checksum"}
    return {name: texts if name in REPEATABLE else {} for name in OPTIONS if name not in elsewhere}


_COMPLETE = {"model": JobDocument, "description": "A client of the IETF draft sent the last byte: the job."}
_GONE = ("not_found", "conflict", "invalid_request")
_ARCHIVE = ("too_large", "spool_full", "checksum_mismatch", "upload_incomplete", "malformed_archive", "unknown_format")

CREATE: dict[str, Any] = {
    "responses": {
        201: {
            "description": "The upload exists, and its job, which is `receiving`.",
            "headers": _headers(("Upload-Offset", "Upload-Expires", "Tarmac-Job"), _TOLD)
            | {"Location": {"description": "The upload.", "schema": _TEXT}},
        },
        202: _COMPLETE,
        **problems(*_GONE, *_ARCHIVE, "unknown_registry", "limit_exceeded"),
    },
    "openapi_extra": {
        "parameters": [
            *_parameters(
                "Tus-Resumable",
                "Upload-Length",
                "Upload-Defer-Length",
                "Upload-Metadata",
                "Upload-Concat",
                "Upload-Complete",
                "Content-Disposition",
                "Repr-Digest",
            ),
            {"name": "hold", "in": "query", "description": "As in Upload-Metadata.", "schema": {"type": "boolean"}},
        ],
        "requestBody": {"content": {"application/octet-stream": _BYTES, "application/offset+octet-stream": _BYTES}},
    },
}
SHOW: dict[str, Any] = {
    "responses": {
        204: {"description": "How far it is.", "headers": _headers(_TOLD, _TOLD)},
        **problems("not_found"),
    }
}
APPEND: dict[str, Any] = {
    "responses": {
        202: _COMPLETE,
        204: {"description": "The bytes are here.", "headers": _headers(_TOLD, _TOLD)},
        **problems(*_GONE, *_ARCHIVE),
    },
    "openapi_extra": {
        "parameters": _parameters(
            "Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Checksum", "Content-Digest"
        ),
        "requestBody": {
            "required": True,
            "content": {"application/offset+octet-stream": _BYTES, "application/partial-upload": _BYTES},
        },
    },
}
HELD: dict[str, Any] = {
    "responses": {
        202: {"model": JobDocument, "description": "The job exists; `Location` says where to watch it."},
        **problems(*_GONE, "unknown_registry", "limit_exceeded"),
    },
    "openapi_extra": {
        "requestBody": {
            "content": {"application/json": {"schema": {"type": "object", "properties": _options()}}},
        }
    },
}
