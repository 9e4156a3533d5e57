"""The pages of the guide: complete, linked, and shown by the service and the command line as they are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.api.problems import problem_document, status_by_code
from app.api.web.api_docs import docs_router
from app.api.web.guide import guide_router, render
from app.docs import INDEX, MAX_HITS, Page, anchor_of, find, pages
from app.errors import ErrorOrigin, Problem

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(guide_router())
    app.include_router(docs_router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tarmac") as client:
        yield client


def links(page: Page) -> list[str]:
    return LINK.findall(re.sub(r"^```.*?^```", "", page.text, flags=re.MULTILINE | re.DOTALL))


def test_every_page_begins_with_its_title() -> None:
    assert all(page.text.startswith(f"# {page.title}\n\n") for page in pages().values())
    assert len({page.title for page in pages().values()}) == len(pages())


def test_every_page_is_linked_from_the_index() -> None:
    linked = {link.partition("#")[0].removesuffix(".md") for link in links(pages()[INDEX])}
    assert linked >= set(pages()) - {INDEX}


@pytest.mark.parametrize("name", pages())
def test_every_link_leads_to_a_page_and_a_heading_of_it(name: str) -> None:
    for link in links(pages()[name]):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        if target.startswith("images/"):
            assert (ROOT / "app" / "docs" / target).is_file(), link
            continue
        assert not target or target.endswith(".md"), f"{name}.md links to {link}"
        page = pages()[target.removesuffix(".md") or name]
        assert not anchor or anchor in page.anchors(), f"{name}.md links to {link}"


@pytest.mark.parametrize("name", pages())
async def test_every_page_is_served_without_script_and_without_foreign_content(
    client: httpx.AsyncClient, name: str
) -> None:
    response = await client.get("/docs/guide/" if name == INDEX else f"/docs/guide/{name}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "<script" not in response.text
    assert not re.findall(r'(?:src|action)="(?:https?:)?//', response.text)
    for link in re.findall(r'href="([^"]+)"', response.text):
        if "://" not in link and not link.startswith("../../"):
            found = await client.get(response.url.join(link), headers={"Accept": "text/html"})
            assert found.status_code == 200, link


async def test_an_unknown_page_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs/guide/nothing")).status_code == 404
    assert (await client.get("/docs/guide/..%2f..%2fmain.py")).status_code == 404


async def test_the_address_without_its_slash_leads_to_the_index(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs/guide")
    assert (response.status_code, response.headers["Location"]) == (308, "/docs/guide/")


async def test_the_address_of_a_file_of_the_guide_works_as_the_name_of_its_page(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs/guide/jobs.md")).text == (await client.get("/docs/guide/jobs")).text


async def test_a_search_shows_the_sections_that_hold_every_word(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs/guide/search", params={"q": "Watched FOLDER"})
    assert 'href="watched-folder"' in response.text
    assert "Nothing found" in (await client.get("/docs/guide/search", params={"q": "zebra"})).text
    assert "Enter one or more words" in (await client.get("/docs/guide/search")).text


async def test_what_is_searched_for_is_shown_as_text(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs/guide/search", params={"q": '"><script>alert(1)</script>'})
    assert response.status_code == 200
    assert "<script" not in response.text


async def test_a_search_is_bounded(client: httpx.AsyncClient) -> None:
    assert len(find("a")) == MAX_HITS
    assert find("a a a a registry a") == find("a registry")
    assert find(f"{' '.join('abcdefghij')} nowhere-in-the-guide") == find(" ".join("abcdefghij"))
    assert find("nowhere-in-the-guide") == []
    assert (await client.get("/docs/guide/search", params={"q": "a" * 201})).status_code == 422


def test_sections_whose_title_holds_the_words_come_first() -> None:
    assert "watched folder" in find("watched folder")[0].title.lower()
    assert len(find("watched folder")) > 1


def test_a_heading_in_a_code_block_is_text() -> None:
    page = Page("a", "A", "# A\n\n## Real\n\n```sh\n# not one\n## nor this\n```\nbelow\n")
    assert [(section.title, section.anchor) for section in page.sections()] == [("A", ""), ("Real", "real")]
    assert "## nor this" in list(page.sections())[1].text


def test_anchors_are_those_of_the_forges() -> None:
    assert anchor_of("Being `told`: what, when") == "being-told-what-when"
    assert 'id="rate_limited"' in render(Page("a", "A", "# A\n\n## `rate_limited`\n"))


def test_the_row_of_a_name_has_an_anchor() -> None:
    text = "# A\n\n| code | meaning |\n|---|---|\n| `busy` | wait |\n| `a`, `b` | two |\n"
    assert '<tr id="busy">' in render(Page("a", "A", text))
    assert Page("a", "A", text).anchors() == {"", "busy"}


@pytest.mark.parametrize("code", sorted(status_by_code()))
def test_the_help_of_every_problem_leads_to_its_row(code: str) -> None:
    path, _, anchor = problem_document(Problem(code, "", "", ErrorOrigin.SERVICE))["help"].partition("#")
    assert anchor == code
    assert f'<tr id="{anchor}">' in render(pages()[path.removeprefix("/docs/guide/")])


def test_html_in_a_page_is_shown_and_not_obeyed() -> None:
    assert "<b>" not in render(Page("a", "A", "# A\n\n<b>bold</b> and <script>alert(1)</script>\n"))


def test_the_command_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of("guide", "watched folder") == 0
    assert capsys.readouterr().out.strip() == pages()["watched-folder"].text.strip()
    assert main_of("guide") == 0
    assert capsys.readouterr().out.strip() == pages()[INDEX].text.strip()


def test_the_command_lists_the_sections_that_hold_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of("guide", "idempotency", "key") == 0
    assert any(line.startswith(tuple(pages())) for line in capsys.readouterr().out.splitlines())


def test_the_command_says_which_pages_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of("guide", "zebra") == 1
    told = capsys.readouterr()
    assert not told.out
    assert "watched-folder" in told.err


def main_of(*arguments: str) -> int:
    from app.cli.parser import parse

    parsed = parse(arguments)
    status: int = parsed.run(parsed)
    return status
