"""`/docs/guide/`: the guide as HTML pages without script, and the search in it. Works without internet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from markdown_it import MarkdownIt
from markdown_it.token import Token
from starlette.responses import RedirectResponse

from app.api.web.static_asset import StaticAsset
from app.docs import INDEX, MAX_QUERY_CHARACTERS, Page, Section, anchor_of, find, pages

_PAGE = Path(__file__).parents[1] / "page"
_IMAGES = Path(__file__).parents[2] / "docs" / "images"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FRAME = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{title} – Tarmac</title>
    <link rel="stylesheet" href="guide.css">
  </head>
  <body>
    <a class="skip" href="#text">Skip to the text</a>
    <header>
      <a class="brand" href="../../">Tarmac</a>
      <form action="search" role="search"><input type="search" name="q" aria-label="Search the guide" maxlength="{most}"
        value="{query}" placeholder="Search the guide"></form>
    </header>
    <div class="columns">
      <nav aria-label="Pages of the guide"><ul>{pages}</ul></nav>
      <main id="text">{content}</main>
    </div>
  </body>
</html>
"""
_EXCERPT_CHARACTERS = 240


@cache
def guide_router() -> APIRouter:
    """Return the routes of the guide. Pages are rendered once, at their first request."""
    router = APIRouter(include_in_schema=False)
    assets = {
        file.name: StaticAsset.read(file, _POLICY) for file in (_PAGE / "guide.css", *sorted(_IMAGES.glob("*.png")))
    }

    @router.head("/docs/guide")
    @router.get("/docs/guide")
    async def redirect_to_index() -> Response:
        return RedirectResponse("/docs/guide/", 308)  # links are relative to this

    @router.head("/docs/guide/")
    @router.get("/docs/guide/")
    async def show_index(request: Request) -> Response:
        return _rendered(INDEX).response(request)

    @router.head("/docs/guide/search")
    @router.get("/docs/guide/search")
    async def search(request: Request, q: Annotated[str, Query(max_length=MAX_QUERY_CHARACTERS)] = "") -> Response:
        return _asset("Search", _hits(q, find(q)), q).response(request)

    @router.head("/docs/guide/{name}")
    @router.get("/docs/guide/{name}")
    async def show_page(request: Request, name: str) -> Response:
        name = name.removesuffix(".md")
        if name in pages():
            return _rendered(name).response(request)
        if name in assets:
            return assets[name].response(request)
        return Response("the guide has no such page; see /docs/guide/\n", 404, media_type="text/plain")

    return router


def render(page: Page) -> str:
    """Return a page's Markdown as HTML. HTML in the Markdown is escaped; links to other pages lose their `.md`."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(page.text)
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor_of(content.content))
    for row, _, cell in zip(tokens, tokens[1:], tokens[2:], strict=False):
        name = cell.content.strip("`")
        if row.type == "tr_open" and cell.content == f"`{name}`" and name in page.anchors():
            row.attrSet("id", name)
    for token in tokens:
        _relink(token.children or ())
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def _relink(tokens: Sequence[Token]) -> None:
    for token in tokens:
        name = {"link_open": "href", "image": "src"}.get(token.type)
        address = str(token.attrGet(name)) if name else ""
        if name and "://" not in address:
            token.attrSet(name, re.sub(r"^images/", "", re.sub(r"\.md(?=#|$)", "", address)))


@cache
def _rendered(name: str) -> StaticAsset:
    page = pages()[name]
    return _asset(page.title, render(page), current=name)


def _asset(title: str, content: str, query: str = "", *, current: str = "") -> StaticAsset:
    html = _FRAME.format(
        title=escape(title), content=content, query=escape(query), pages=_links(current), most=MAX_QUERY_CHARACTERS
    ).encode()
    return StaticAsset(html, "text/html; charset=utf-8", _POLICY, f'"{hashlib.sha256(html).hexdigest()}"')


def _links(current: str) -> str:
    links = []
    for name, page in pages().items():
        mark = ' aria-current="page"' if name == current else ""
        links.append(f'<li><a href="{"./" if name == INDEX else name}"{mark}>{escape(page.title)}</a></li>')
    return "".join(links)


def _hits(query: str, found: Sequence[Section]) -> str:
    if not query.strip():
        return "<h1>Search</h1><p>Enter one or more words.</p>"
    count = f"{len(found)} section{'' if len(found) == 1 else 's'}" if found else "Nothing"
    rows = "".join(_hit(section) for section in found)
    return f'<h1>Search</h1><p>{count} found for <q>{escape(query)}</q>.</p><ul class="hits">{rows}</ul>'


def _hit(section: Section) -> str:
    page = pages()[section.page]
    title = page.title if section.title == page.title else f"{page.title}: {section.title}"
    anchor = f"#{section.anchor}" if section.anchor else ""
    text = " ".join(section.text.split())[:_EXCERPT_CHARACTERS]
    return f'<li><a href="{section.page}{anchor}">{escape(title)}</a><p>{escape(text)}</p></li>'
