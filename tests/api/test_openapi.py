"""openapi/openapi.json is what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.api.middleware.error_format import error_format_of
from app.api.problems import status_by_code
from app.api.requests.options import OPTIONS
from app.main import openapi_document
from tests.api.conftest import APP, Served

FILE = Path(__file__).parents[2] / "openapi" / "openapi.json"
CONTRACT = {
    "/push": {"post"},
    "/push/{filename}": {"put"},
    "/jobs": {"get"},
    "/jobs/{job_id}": {"get", "delete"},
    "/jobs/{job_id}/events": {"get"},
    "/jobs/{job_id}/cancel": {"post"},
    "/jobs/{job_id}/retry": {"post"},
    "/registries": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def test_every_operation_has_a_name_of_its_own_that_a_client_can_use(document: dict[str, Any]) -> None:
    names = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if "responses" in operation
    ]
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]*)*", name) for name in names), names
    assert len(set(names)) == len(names)


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_file_is_in_step_with_the_code(document: dict[str, Any]) -> None:
    assert json.loads(FILE.read_text()) == json.loads(json.dumps(document)), "run: make openapi"


def test_every_path_of_the_contract_is_there(document: dict[str, Any]) -> None:
    for path, methods in CONTRACT.items():
        assert methods <= set(document["paths"][path])


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        node: Any = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def test_every_option_stands_in_the_query_the_form_and_the_json_body(document: dict[str, Any]) -> None:
    operation = document["paths"]["/push"]["post"]
    content = operation["requestBody"]["content"]
    assert {item["name"] for item in operation["parameters"] if item["in"] == "query"} == set(OPTIONS)
    assert set(content["multipart/form-data"]["schema"]["properties"]) == {"archive", *OPTIONS}
    assert set(content["application/json"]["schema"]["properties"]) == {"paths", *OPTIONS}
    assert "application/x-tar" in content


def test_every_error_code_is_listed(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["ProblemDocument"]["properties"]["code"]["enum"] == sorted(
        status_by_code()
    )


def test_every_operation_of_ours_answers_errors_with_problem_documents(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if error_format_of(path) is not None:
                continue
            assert "default" in operation["responses"], (path, method)
            for status, answer in operation["responses"].items():
                if status == "default" or int(status) >= 400:
                    assert set(answer["content"]) == {"application/problem+json"}, (path, method, status)


async def test_a_real_job_has_the_members_that_are_documented(document: dict[str, Any], served: Served) -> None:
    job = (await served.client.post("/push?wait=30", content=APP)).json()
    schemas = document["components"]["schemas"]
    assert set(job) == set(schemas["JobDocument"]["properties"])
    assert set(job["archives"][0]) == set(schemas["ArchiveDocument"]["properties"])
    assert set(job["images"][0]) == set(schemas["ImageDocument"]["properties"])
    assert set(job["progress"]) == set(schemas["ProgressDocument"]["properties"])


async def test_the_served_document_is_the_same(document: dict[str, Any], served: Served) -> None:
    assert (await served.client.get("/openapi.json")).json() == json.loads(json.dumps(document))
