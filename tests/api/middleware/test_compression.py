"""Gzip of JSON responses."""

from __future__ import annotations

import gzip
import json

import pytest

from app.api.middleware.compression import MIN_BYTES, accepts_gzip
from tests.api.conftest import APP, IN_ONE_LOOP, Served


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("br, gzip", True),
        ("*", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("identity", False),
        ("br", False),
        ("", False),
        ("*;q=0", False),
    ],
)
def test_what_a_client_accepts(text: str, accepted: bool) -> None:
    assert accepts_gzip(text) is accepted


async def raw(served: Served, method: str, path: str, accept: str = "gzip") -> tuple[bytes, str | None, str]:
    """Return the body as it was sent, its coding and `Vary`."""
    request = served.client.stream(method, path, headers={"Accept-Encoding": accept})
    async with request as answer:
        body = b"".join([chunk async for chunk in answer.aiter_raw()])
    return body, answer.headers.get("content-encoding"), answer.headers.get("vary", "")


@IN_ONE_LOOP
async def test_a_json_document_is_compressed_where_that_is_accepted(shared: Served) -> None:
    await shared.client.put("/push/", content=APP, params={"wait": 30})
    body, coding, vary = await raw(shared, "GET", "/jobs")
    plain, none, _ = await raw(shared, "GET", "/jobs", "identity")
    assert (coding, none) == ("gzip", None)
    assert json.loads(gzip.decompress(body)) == json.loads(plain)
    assert "Accept-Encoding" in vary
    assert len(plain) > MIN_BYTES > 0


@IN_ONE_LOOP
async def test_the_tag_of_a_compressed_document_is_that_of_the_plain_one(shared: Served) -> None:
    tags = set()
    for accept in ("gzip", "identity"):
        answer = await shared.client.get("/jobs", headers={"Accept-Encoding": accept})
        tags.add(answer.headers["etag"])
    (tag,) = tags
    assert tag.startswith("W/")
    again = await shared.client.get("/jobs", headers={"If-None-Match": tag, "Accept-Encoding": "gzip"})
    assert (again.status_code, again.content, again.headers.get("content-encoding")) == (304, b"", None)


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "/jobs"), ("GET", "/v2/_catalog"), ("GET", "/healthz"), ("GET", "/version")]
)
@IN_ONE_LOOP
async def test_other_responses_stay_as_they_are(shared: Served, method: str, path: str) -> None:
    assert (await raw(shared, method, path))[1] is None
