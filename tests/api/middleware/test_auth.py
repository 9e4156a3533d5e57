"""Tokens, and browsers that act for pages of others."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.auth.token_file import TokenSet
from app.config.settings import Settings
from app.errors import InvalidSettings
from app.main import create_app
from tests.api.conftest import APP, Served, serving

PUSHER, READER = "token-of-the-pusher", "token-of-the-reader"


def line(name: str, token: str, roles: str = "") -> str:
    return f"{name}:{hashlib.sha256(token.encode()).hexdigest()}{roles}\n"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    file = tmp_path / "tokens"
    file.write_text(f"# comment\n\n{line('ci', PUSHER)}{line('dashboard', READER, ':read')}")
    async with serving(tmp_path / "data", tokens_file=file) as running:
        yield running


async def test_without_a_token_nothing_is_told(guarded: Served) -> None:
    for path in ("/jobs", "/jobs/x", "/registries", "/metrics", "/nothing"):
        answer = await guarded.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert "www-authenticate" in answer.headers
    assert (await guarded.client.post("/push", content=APP)).status_code == 401


async def test_what_holds_no_secret_is_open(guarded: Served) -> None:
    for path in ("/", "/healthz", "/readyz", "/docs", "/openapi.json"):
        assert (await guarded.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Bearer ", "bearer", "Basic %%%", "Digest x", PUSHER, f"Bearer {PUSHER}x"]
)
async def test_a_token_that_is_not_known_opens_nothing(guarded: Served, authorization: str) -> None:
    assert (await guarded.client.get("/jobs", headers={"Authorization": authorization})).status_code == 401


async def test_a_token_opens_and_a_reading_one_only_reads(guarded: Served) -> None:
    assert (await guarded.client.get("/jobs", headers=bearer(READER))).status_code == 200
    refused = await guarded.client.post("/push", content=APP, headers=bearer(READER))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await guarded.client.post("/push?wait=30", content=APP, headers=bearer(PUSHER))).status_code == 200


async def test_container_tools_may_send_the_token_as_a_password(guarded: Served) -> None:
    pair = base64.b64encode(f"anybody:{READER}".encode()).decode()
    assert (await guarded.client.get("/v2/", headers={"Authorization": f"Basic {pair}"})).status_code == 200
    assert (await guarded.client.get("/v2/")).headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "text", ["", "# only words\n", "x", "a:12", line("a b", "t"), line("a", "t", ":root"), "a:" + "g" * 64]
)
def test_a_tokens_file_that_is_not_understood_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(InvalidSettings, match="TARMAC_TOKENS_FILE"):
        create_app(Settings(data_dir=tmp_path / "data", tokens_file=file))


def test_every_line_is_a_holder_of_its_own() -> None:
    tokens = TokenSet.parse(line("a", "1") + line("b", "2", ":read,push"))
    found = tokens.find(b"2")
    assert found is not None
    assert found.name == "b"
    assert tokens.find(b"3") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://tarmac.test:1", "Host": "tarmac.test:2"},
        {"Origin": "http://tarmac.test", "Host": "tarmac.test:8080"},
        {"Origin": "https://tarmac.test.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
        {"Origin": "http://tarmac.test:x"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "something-new"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://tarmac.test"},
        {"Sec-Fetch-Site": "none", "Origin": "http://evil.example"},
    ],
)
async def test_a_page_of_others_cannot_push(served: Served, headers: dict[str, str]) -> None:
    answer = await served.client.post("/push", content=APP, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await served.client.get("/jobs", headers=headers)).json()["jobs"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://tarmac.test", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://ingest.example:8443", "Sec-Fetch-Site": "same-origin"},  # a proxy wrote another Host
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://tarmac.test"},
        {"Origin": "https://TARMAC.test:8443"},  # a proxy dropped the port, as nginx with `Host $host`
        {"Origin": "http://tarmac.test", "Host": "tarmac.test:80"},
        {"Origin": "https://tarmac.test", "Host": "tarmac.test:443"},
        {"Origin": "http://[::1]:8080", "Host": "[::1]:8080"},
        {"Origin": "http://127.0.0.1:9", "Host": "127.0.0.1"},
    ],
)
async def test_our_own_page_and_command_line_tools_can_push(served: Served, headers: dict[str, str]) -> None:
    assert (await served.client.post("/push?wait=30", content=APP, headers=headers)).status_code == 200


async def test_every_answer_keeps_browsers_from_guessing_and_framing(served: Served) -> None:
    for path in ("/", "/jobs", "/nothing"):
        headers = (await served.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


async def test_what_archives_brought_is_never_a_page_or_a_script_of_this_origin(guarded: Served) -> None:
    """Also what is refused: the path of an answer is foreign, too."""
    pushed = await guarded.client.post("/push?wait=30", content=APP, headers=bearer(PUSHER))
    digest = pushed.json()["images"][0]["digest"]
    answers = [await guarded.client.get("/v2/")]
    paths = (
        "",
        "_catalog",
        "team/app/tags/list",
        "team/app/manifests/1",
        f"team/app/manifests/{digest}",
        "no/manifests/1",
    )
    for path in (*paths, f"team/app/blobs/{digest}", f"team/app/referrers/{digest}", "<script>", "Upper/manifests/1"):
        answers += [
            await guarded.client.request(method, f"/v2/{path}", headers=bearer(READER)) for method in ("GET", "HEAD")
        ]
    answers.append(await guarded.client.put("/v2/team/app/manifests/1", headers=bearer(PUSHER)))
    answers.append(await guarded.client.get("/v2", headers=bearer(READER)))
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 405}
    for answer in answers:
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox", answer.url
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_what_a_browser_says_of_a_page_never_replaces_the_look_at_the_name(served: Served, site: str) -> None:
    headers = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": site}
    for method, path in (("POST", "/push"), ("GET", "/jobs"), ("DELETE", "/jobs/x"), ("OPTIONS", "/uploads")):
        assert (await served.client.request(method, path, headers=headers)).status_code == 421
