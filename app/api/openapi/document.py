"""Completes the OpenAPI document with errors and authentication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.api.middleware.auth import OPEN
from app.api.middleware.error_format import error_format_of
from app.api.problems import PROBLEM_JSON
from app.api.schemas import JobEndEvent, JobImageEvent, JobProblemDocument, ProblemDocument

_PROBLEM = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
_METHODS = ("get", "put", "post", "delete", "head", "patch")


def finish_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """Replace FastAPI's 422 by problem documents, and describe the token that operators can require."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for model in (ProblemDocument, JobProblemDocument, JobImageEvent, JobEndEvent):
        made = model.model_json_schema(ref_template="#/components/schemas/{model}")
        made.pop("$defs", None)
        schemas[model.__name__] = made
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    document["servers"] = [{"url": "/"}]  # the served document has the base path
    for path, operation in _operations(document):
        responses = operation["responses"]
        if path in OPEN:
            operation["security"] = []
        if "HTTPValidationError" in str(responses.get("422")):
            _tell_invalid(path, responses)
        if error_format_of(path) is None:
            other = "Any other problem, as `unauthorized`, `forbidden` or `internal`"
            responses["default"] = {"description": other, "content": {PROBLEM_JSON: _PROBLEM}}
    return document


def _tell_invalid(path: str, responses: dict[str, Any]) -> None:
    """Describe 422 as a problem document, unless the route describes another format."""
    del responses["422"]
    if error_format_of(path) is None:
        responses["422"] = {"description": "`invalid_request`", "content": {PROBLEM_JSON: _PROBLEM}}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, item[method]
