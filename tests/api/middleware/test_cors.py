"""Pages of other origins: those that are named may read and act with a token, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.config.settings import load_settings
from app.errors import InvalidSettings
from tests.api.conftest import APP, Served, serving

PAGE, OTHER, TOKEN = "https://console.example:8443", "https://evil.example", "a-token"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"ci:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    return file


@pytest.fixture
async def open_to(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", cors_origins=f"{PAGE}, http://localhost:3000") as served:
        yield served


@pytest.fixture
async def guarded(tmp_path: Path, tokens: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", cors_origins=PAGE, tokens_file=tokens) as served:
        yield served


def names(field: str) -> set[str]:
    return {name.strip().lower() for name in field.split(",")}


@pytest.mark.parametrize(
    "path", ["/push", "/push/x.tar", "/uploads", "/uploads/1", "/jobs", "/jobs/1/events", "/nothing"]
)
async def test_a_preflight_of_a_named_page_needs_no_token(guarded: Served, path: str) -> None:
    answer = await guarded.client.options(path, headers={"Origin": PAGE, **ASKED})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"post", "put", "patch", "delete"} <= names(answer.headers["access-control-allow-methods"])
    allowed = names(answer.headers["access-control-allow-headers"])
    assert {"authorization", "content-type", "idempotency-key", "tus-resumable", "upload-offset"} <= allowed
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in names(answer.headers["vary"])


@pytest.mark.parametrize(
    "origin", [OTHER, "null", PAGE + ".evil.example", PAGE.removesuffix(":8443"), PAGE.upper(), ""]
)
async def test_a_preflight_of_another_page_allows_nothing(guarded: Served, origin: str) -> None:
    answer = await guarded.client.options("/push", headers={"Origin": origin, **ASKED})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.status_code == 401


async def test_a_preflight_for_a_name_that_is_not_ours_is_refused(open_to: Served) -> None:
    answer = await open_to.client.options("/push", headers={"Origin": PAGE, "Host": "evil.example", **ASKED})
    assert answer.status_code == 421


async def test_options_that_are_no_preflight_are_what_they_were(open_to: Served) -> None:
    answer = await open_to.client.options("/uploads", headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["tus-version"]) == (204, "1.0.0")
    assert answer.headers["access-control-allow-origin"] == PAGE


async def test_a_named_page_pushes_watches_and_reads_where_its_job_is(open_to: Served) -> None:
    headers = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    answer = await open_to.client.post("/push?wait=30", content=APP, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    exposed = names(answer.headers["access-control-expose-headers"])
    assert {"location", "etag", "tarmac-job", "x-request-id"} <= exposed
    assert {"upload-offset", "upload-length", "upload-expires", "upload-complete", "upload-limit"} <= exposed
    assert "access-control-allow-credentials" not in answer.headers
    events = await open_to.client.get(f"/jobs/{answer.json()['id']}/events", headers=headers)
    assert events.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/jobs", {}, 401),
        ("GET", "/jobs/x", BEARER, 404),
        ("PUT", "/push/x", BEARER | {"Content-Range": "bytes 0-1/2"}, 400),
        ("POST", "/push", BEARER, 422),
        ("GET", "/v2/", {}, 401),
    ],
)
async def test_a_named_page_reads_why_it_was_refused(
    guarded: Served, method: str, path: str, more: dict[str, str], status: int
) -> None:
    answer = await guarded.client.request(method, path, headers={"Origin": PAGE, **more})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)


@pytest.mark.parametrize("origin", [OTHER, "null", "http://localhost", "https://localhost:3000"])
async def test_another_page_neither_acts_nor_reads(open_to: Served, origin: str) -> None:
    answer = await open_to.client.post("/push", content=APP, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    listed = await open_to.client.get("/jobs", headers={"Origin": origin})
    assert listed.json()["jobs"] == []
    for item in (answer, listed):
        assert not [name for name in item.headers if name.startswith("access-control-")]
        assert "origin" in names(item.headers["vary"])


async def test_every_page_may_come_where_tokens_are_needed(tmp_path: Path, tokens: Path) -> None:
    async with serving(tmp_path / "data", cors_origins="*", tokens_file=tokens) as served:
        headers = {"Origin": OTHER, "Sec-Fetch-Site": "cross-site"}
        assert (await served.client.post("/push", content=APP, headers=headers)).status_code == 401
        answer = await served.client.post("/push?wait=30", content=APP, headers=headers | BEARER)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert "access-control-allow-credentials" not in answer.headers
        preflight = await served.client.options("/push", headers={"Origin": OTHER, **ASKED})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example", ("https://a.example",)),
        ("HTTPS://A.example:443, http://b:80,http://c:8080", ("https://a.example", "http://b", "http://c:8080")),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("chrome-extension://abcdef", ("chrome-extension://abcdef",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, origins: tuple[str, ...]) -> None:
    assert load_settings(environ={"TARMAC_CORS_ORIGINS": text}).cors_origins == origins


@pytest.mark.parametrize(
    "text",
    ["*", "https://a,*", "a.example", "https://a/", "https://a/path", "https://*.a", "null", "https://", "//a",
     "https://a:99999", "https://u@a", "https://a b", "https://ä"],
)  # fmt: skip
def test_what_is_no_origin_stops_the_start(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"TARMAC_CORS_ORIGINS|cors_origins"):
        load_settings(environ={"TARMAC_CORS_ORIGINS": text})
