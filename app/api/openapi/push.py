"""`POST /push` and `PUT /push/{filename}` in the OpenAPI document; they read their bodies themselves."""

from __future__ import annotations

from typing import Any

from app.api.delivery_documents import DeliveryJobs
from app.api.problems import status_by_code
from app.api.requests.options import OPTIONS, REPEATABLE
from app.api.schemas import JobDocument, problems
from app.jobs.request import MOST_PRIORITY, RETRY_OPTIONS
from app.push.options import FORMATS, MEDIA_TYPES, ON_EXISTING_TAG
from app.registry.wrappers.verify import Verification

_TEXT = {"type": "string"}
_BYTES = {"type": "string", "format": "binary"}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "on_existing_tag": {"type": "string", "enum": list(ON_EXISTING_TAG), "default": "overwrite"},
    "layer_compression": {"type": "string", "enum": ["gzip", "zstd", "none"], "default": "gzip"},
    "format": {"type": "string", "enum": list(FORMATS)},
    "checksum": {"type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$"},
    "media_types": {"type": "string", "enum": list(MEDIA_TYPES), "default": "keep"},
    "allow_missing": {"type": "boolean", "default": False},
    "keep_going": {"type": "boolean", "default": False},
    "verify": {"type": "string", "enum": list(Verification)},
    "dry_run": {"type": "boolean", "default": False},
    "wait": {"type": "number", "minimum": 0},
    "each": {"type": "boolean", "default": False},
    "wait_required": {"type": "boolean", "default": False},
    "delivery": {"type": "string", "pattern": "^[A-Za-z0-9._ -]{1,100}$"},
    "registry": {"type": "string", "default": "default"},
    "priority": {"type": "integer", "minimum": -MOST_PRIORITY, "maximum": MOST_PRIORITY, "default": 0},
}
_HEADERS = {
    "Idempotency-Key": "The same key and the same request give the same job, never a second push.",
    "Prefer": "`wait=N` (RFC 7240), as the option `wait`.",
    "Content-Digest": "`sha-256=:<base64>:` (RFC 9530) of the archive, where it is the body.",
    "Repr-Digest": "As Content-Digest.",
}
_RAW_TYPES = ("application/x-tar", "application/gzip", "application/zstd", "application/octet-stream")
_ARCHIVE = (
    "An archive; may come several times. The parts of a split one (`x.tar.000`, `x.tar.001`, …) follow each other in "
    "order, under the names that say their numbers, and are one archive. A file under another name is an archive, too."
)
_NOT_HERE = {"unauthorized", "forbidden", "not_found", "tag_exists", "internal", "interrupted"}
_CODES = [code for code in status_by_code() if code not in _NOT_HERE]

PUSH_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": JobDocument | DeliveryJobs, "description": "With `wait`: the job, or with `each` all, succeeded."},
    202: {"model": JobDocument | DeliveryJobs, "description": "The job exists; `Location` says where to watch it."},
    **problems(*_CODES, job=True),
}


def retry_parameters() -> list[dict[str, Any]]:
    """Return the query parameters of a retry."""
    return [
        {"name": name, "in": "query", "description": OPTIONS[name], "schema": _option_schema(name)}
        for name in RETRY_OPTIONS
    ]


def retry_body() -> dict[str, Any]:
    """Return the body of a retry: the same options as members."""
    known = {name: _option_schema(name) for name in RETRY_OPTIONS}
    schema = {"type": "object", "properties": known, "additionalProperties": False}
    return {"content": {"application/json": {"schema": schema}}}


def _option_schema(name: str) -> dict[str, Any]:
    schema = _SCHEMAS.get(name, _TEXT)
    return {"type": "array", "items": schema} if name in REPEATABLE else schema


def _properties() -> dict[str, Any]:
    return {name: _option_schema(name) | {"description": words} for name, words in OPTIONS.items()}


def _parameters() -> list[dict[str, Any]]:
    query = [
        {"name": name, "in": "query", "description": words, "schema": _option_schema(name)}
        for name, words in OPTIONS.items()
    ]
    headers = [
        {"name": name, "in": "header", "description": words, "schema": _TEXT} for name, words in _HEADERS.items()
    ]
    return query + headers


def _form() -> dict[str, Any]:
    archive = {"type": "array", "items": _BYTES, "description": _ARCHIVE}
    return {"type": "object", "required": ["archive"], "properties": {"archive": archive} | _properties()}


def _paths() -> dict[str, Any]:
    paths = {
        "type": "array",
        "items": _TEXT,
        "minItems": 1,
        "description": "Paths on the server, glob patterns allowed, only below the configured roots: archives, "
        "directories of an unpacked archive, and all parts of a split one.",
    }
    return {
        "type": "object",
        "required": ["paths"],
        "properties": {"paths": paths} | _properties(),
        "additionalProperties": False,
    }


def describe_push(method: str) -> dict[str, Any]:
    """Return the parameters and the body of the operation."""
    content: dict[str, Any] = {name: {"schema": _BYTES} for name in _RAW_TYPES}
    if method == "post":
        content = {"multipart/form-data": {"schema": _form()}} | content | {"application/json": {"schema": _paths()}}
    return {"parameters": _parameters(), "requestBody": {"required": True, "content": content}}
