"""Errors as HTTP answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from app import errors
from app.api.problems import error_classes, problem_document, problem_response, status_by_code, status_of
from app.errors import Internal, InvalidRequest, Problem, RegistryUnreachable, SpoolFull, TarmacError
from tests.api.conftest import Served, serving


def test_every_error_of_the_tree_has_a_status() -> None:
    classes = [var for var in vars(errors).values() if isinstance(var, type) and "code" in vars(var)]
    for leaf in classes:
        if issubclass(leaf, TarmacError) and leaf is not TarmacError and isinstance(vars(leaf)["code"], str):
            assert leaf.code in status_by_code()
            assert 400 <= status_of(leaf) < 600
    assert {leaf.code for leaf in error_classes()} == set(status_by_code())


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid_request", 422),
        ("missing_tag", 422),
        ("unknown_format", 422),
        ("digest_mismatch", 422),
        ("path_not_allowed", 403),
        ("too_large", 413),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("not_found", 404),
        ("conflict", 409),
        ("registry_auth", 502),
        ("spool_full", 507),
        ("unavailable", 503),
        ("internal", 500),
    ],
)
def test_the_statuses_of_the_contract(code: str, status: int) -> None:
    assert status_by_code()[code] == status


def test_a_problem_is_an_object_of_rfc_9457_with_a_code() -> None:
    document = problem_document(RegistryUnreachable("registry.local: refused").problem)
    assert document == {
        "type": "urn:tarmac:problem:registry_unreachable",
        "title": "The registry cannot be reached",
        "status": 502,
        "detail": "registry.local: refused",
        "code": "registry_unreachable",
        "retryable": True,
        "help": "/docs/guide/errors#registry_unreachable",
    }


def test_a_stored_code_that_is_no_longer_known_is_shown_all_the_same() -> None:
    document = problem_document(Problem("of_old", "title", "x" * 10_000, errors.ErrorOrigin.SERVICE))
    assert document["status"] == 500
    assert len(document["detail"]) == errors.MAX_DETAIL


def test_what_passes_says_when_to_come_again() -> None:
    assert "retry-after" in problem_response(SpoolFull("full")).headers
    assert "retry-after" not in problem_response(InvalidRequest("no")).headers
    assert problem_response(Internal("x")).media_type == "application/problem+json"


async def test_a_route_that_is_not_there_and_a_method_that_is_not(served: Served) -> None:
    missing = await served.client.get("/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await served.client.patch("/jobs")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert wrong.headers["content-type"] == "application/problem+json"


async def test_an_error_nobody_thought_of_tells_nothing_of_the_inside(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        break_it(served.app)
        answer = await served.client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


def break_it(app: FastAPI) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret")

    @app.get("/teapot")
    async def teapot() -> None:
        from starlette.exceptions import HTTPException

        raise HTTPException(418, "short and stout")


async def test_what_the_framework_refuses_is_a_problem_too(served: Served) -> None:
    break_it(served.app)
    answer = await served.client.get("/teapot")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
