"""What a person at a shell sees after a JSON document: the prompt on a line of its own."""

from __future__ import annotations

import pytest

from tests.api.conftest import APP, Served


@pytest.mark.parametrize(
    "path",
    ["/jobs", "/jobs/unknown", "/healthz", "/readyz", "/registries", "/nothing", "/v2/", "/v2/_catalog", "/v2/a"],
)
async def test_a_json_answer_ends_with_one_line_end(served: Served, path: str) -> None:
    answer = await served.client.get(path)
    assert "json" in answer.headers["content-type"]
    assert (answer.content[-1:], answer.content.count(b"\n")) == (b"\n", 1)
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_a_job_and_what_is_wrong_with_it_end_with_a_line_end_too(served: Served) -> None:
    for body, status in ((APP, 200), (b"no archive at all", 422)):
        answer = await served.client.post("/push", params={"wait": 30}, content=body)
        assert (answer.status_code, answer.content[-1:]) == (status, b"\n")
        shown = await served.client.get(answer.headers["location"])
        assert shown.content[-1:] == b"\n"
