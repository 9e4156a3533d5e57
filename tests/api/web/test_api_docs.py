from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.api.web.api_docs import docs_router
from app.main import openapi_document

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "app" / "api" / "page"
VENDOR = PAGE / "vendor"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(docs_router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tarmac") as client:
        yield client


class Page(HTMLParser):
    """What a page loads, and the scripts and styles that stand in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        address = dict(attrs).get("src" if tag == "script" else "href")
        if address and tag in {"script", "link"}:
            self.loaded.append(address)
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self._within in {"script", "style"} and data.strip():
            self.inline.append(data)


async def test_the_page_loads_only_what_this_server_has(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert len(page.loaded) == 4
    for address in page.loaded:
        assert (await client.get(httpx.URL("http://tarmac/docs").join(address))).status_code == 200
    assert page.inline == []


async def test_the_page_shows_this_servers_document(client: httpx.AsyncClient) -> None:
    script = (await client.get("/docs/docs.js")).text
    (address,) = re.findall(r'url: "([^"]+)"', script)
    assert (await client.get(httpx.URL("http://tarmac/docs").join(address))).json()["openapi"].startswith("3.")
    assert "validatorUrl: null" in script


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/favicon-32x32.png", "image/png"),
    ],
)
async def test_every_file_says_what_it_is_and_forbids_the_rest(
    client: httpx.AsyncClient, path: str, media_type: str
) -> None:
    response = await client.get(path)
    assert response.headers["Content-Type"] == media_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css"])
async def test_head_is_answered_as_get_is(client: httpx.AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, dict(head.headers)) == (200, dict(get.headers))


async def test_a_file_that_the_browser_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    etag = (await client.get("/docs/swagger-ui.css")).headers["ETag"]
    again = await client.get("/docs/swagger-ui.css", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["VENDOR.md", "docs.html", "%2e%2e%2fdocs.py", "..%5cdocs.py", "docs.js%00", "LICENSE"]
)
async def test_no_other_name_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/docs/{name}")).status_code == 404


def test_the_page_itself_is_not_in_the_document() -> None:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(docs_router())
    assert app.openapi()["paths"] == {}


def test_every_vendored_file_is_the_one_that_is_written_down() -> None:
    written = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", (VENDOR / "VENDOR.md").read_text()))
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "VENDOR.md"
    }
    assert found == written


def test_the_wheel_holds_every_file_of_the_page() -> None:
    builder = import_module("hatchling.builders.wheel")
    packed = {file.distribution_path for file in builder.WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {path.relative_to(ROOT).as_posix() for path in PAGE.rglob("*") if path.is_file()} <= packed


def test_every_operation_is_told_in_words_and_those_that_are_open_have_no_lock() -> None:
    document = openapi_document()
    operations = {path: item[method] for path, item in document["paths"].items() for method in item}
    assert not [
        operation["summary"]
        for operation in operations.values()
        if operation["summary"].istitle() and " " in operation["summary"]
    ]
    assert operations["/healthz"]["security"] == operations["/readyz"]["security"] == []
    assert "security" not in operations["/metrics"]
