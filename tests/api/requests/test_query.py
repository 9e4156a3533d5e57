"""Query parameters that nobody knows, and those given twice."""

from __future__ import annotations

import pytest
import pytest_asyncio

from app.api.requests.query import check_query
from app.api.routes.jobs import JobListQuery
from app.errors import InvalidRequest
from tests.api.conftest import APP, IN_ONE_LOOP, Served

pytestmark = IN_ONE_LOOP
UNKNOWN = ("name", "status", "State", "limits", "", "state ", "états", "x" * 5000, "%00", "cursor[]")


async def code_of(served: Served, method: str, path: str, query: str) -> tuple[int, str, str]:
    answer = await served.client.request(method, f"{path}?{query}")
    problem = answer.json() if answer.content else {}
    return answer.status_code, problem.get("code", ""), problem.get("detail", "")


@pytest_asyncio.fixture(loop_scope="module")
async def job_path(shared: Served) -> str:
    job = await shared.ended((await shared.client.post("/push", content=APP)).json())
    return f"/jobs/{job['id']}"


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("path", ["/jobs", "/audit"])
async def test_a_list_refuses_a_parameter_it_does_not_know_and_names_it(shared: Served, path: str, name: str) -> None:
    answer = await shared.client.get(path, params={name: "x", "limit": "5"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert name[:100] in answer.json()["detail"]
    assert "limit" in answer.json()["detail"], "it says what there is"
    assert len(answer.json()["detail"]) < 600
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/jobs", "/audit"])
async def test_a_head_request_is_refused_as_a_get(shared: Served, path: str) -> None:
    assert (await shared.client.head(path, params={"name": "x"})).status_code == 422
    assert (await shared.client.head(path, params={"limit": "1"})).status_code == 200


@pytest.mark.parametrize(
    ("method", "tail", "query"),
    [
        ("GET", "", "wiat=30"),
        ("HEAD", "", "wiat=30"),
        ("GET", "", "wait=0&Wait=0"),
        ("GET", "/events", "wait=1"),
        ("POST", "/retry", "force=true"),
        ("POST", "/cancel", "now=true"),
        ("DELETE", "", "force=true"),
    ],
)
async def test_a_job_refuses_what_it_does_not_know(
    shared: Served, job_path: str, method: str, tail: str, query: str
) -> None:
    answer = await shared.client.request(method, f"{job_path}{tail}?{query}")
    assert answer.status_code == 422
    assert (await shared.client.get(job_path)).json()["state"] == "succeeded"


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=2",
        "label=a=b&label=a=c",
        "brief=true&brief=false",
        "brief=true&brief=1",
        "cursor=a&cursor=b",
    ],
)
async def test_a_parameter_has_one_value(shared: Served, query: str) -> None:
    status, code, detail = await code_of(shared, "GET", "/jobs", query)
    assert (status, code) == (422, "invalid_request")
    assert query.partition("=")[0] in detail


async def test_audit_and_wait_have_one_value_too(shared: Served, job_path: str) -> None:
    for path, query in (
        ("/audit", "limit=1&limit=2"),
        ("/audit", "since=2026-01-01T00:00:00Z&since=2027-01-01T00:00:00Z"),
        ("/audit", "format=json&format=jsonl"),
        (job_path, "wait=0&wait=1"),
    ):
        assert (await code_of(shared, "GET", path, query))[:2] == (422, "invalid_request")


@pytest.mark.parametrize(
    "query", ["", "state=succeeded&state=succeeded", "limit=5&limit=5&brief=true", "label=a=b&state=failed"]
)
async def test_what_says_the_same_twice_is_taken(shared: Served, query: str) -> None:
    assert (await shared.client.get(f"/jobs?{query}")).status_code == 200


async def test_every_parameter_in_the_document_is_known(shared: Served) -> None:
    paths = (await shared.client.get("/openapi.json")).json()["paths"]
    for path in ("/jobs", "/audit"):
        told = [item["name"] for item in paths[path]["get"]["parameters"] if item["in"] == "query"]
        for name in told:
            answer = await shared.client.get(path, params={name: "x"})
            assert "unknown query parameter" not in answer.text
    assert {*JobListQuery.model_fields} == {item["name"] for item in paths["/jobs"]["get"]["parameters"]}


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/v2/", "/v2/_catalog", "/_ping", "/version", "/", "/openapi.json", "/docs"],
)
async def test_pulls_docker_s_routes_probes_and_pages_pass_over_it(shared: Served, path: str) -> None:
    plain = await shared.client.get(path)
    assert (await shared.client.get(path, params={"x": "1"})).status_code == plain.status_code == 200


async def test_where_nothing_is_known_the_message_says_so() -> None:
    with pytest.raises(InvalidRequest, match="none is known here"):
        check_query([("a", "b")], ())
