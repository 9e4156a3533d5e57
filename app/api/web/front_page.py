"""`/`: the page. Plain ES modules and one style sheet, served from here, without a build step."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter

from app.api.web.static_asset import StaticAsset, add_files, add_page

_PAGE = Path(__file__).parents[1] / "page"
_STATION = _PAGE / "station"
_TUS = _PAGE / "vendor" / "tus-js-client" / "tus.min.js"
# Inline styles are forbidden, too, because the page shows names from archives.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@cache
def front_router() -> APIRouter:
    """Return the routes of `/` and, below `/page/`, its files (200 KB, read once)."""
    page = StaticAsset.read(_STATION / "index.html", _POLICY)
    files = [path for path in sorted(_STATION.rglob("*")) if path.suffix in (".js", ".css", ".svg")]
    assets = {path.relative_to(_STATION).as_posix(): StaticAsset.read(path, _POLICY) for path in files}
    assets[_TUS.name] = StaticAsset.read(_TUS, _POLICY)
    router = APIRouter(include_in_schema=False)

    add_page(router, "/", page)
    add_files(router, "/page", assets)
    return router
