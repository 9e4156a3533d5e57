"""`/docs`: the API documentation in the browser, without internet. FastAPI's page would load it from a CDN."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import RedirectResponse

from app.api.base_path import address_of
from app.api.json_response import NewlineJSONResponse
from app.api.web.static_asset import StaticAsset, add_files, add_page

_PAGE = Path(__file__).parents[1] / "page"
_SWAGGER = _PAGE / "vendor" / "swagger-ui"
_FILES = {
    "docs.js": _PAGE / "docs.js",
    "swagger-ui-bundle.js": _SWAGGER / "swagger-ui-bundle.js",
    "swagger-ui.css": _SWAGGER / "swagger-ui.css",
    "favicon-32x32.png": _SWAGGER / "favicon-32x32.png",
}
# swagger-ui sets inline styles and loads icons from data: URLs; scripts only from this origin
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@cache
def docs_router() -> APIRouter:
    """Return the routes of `/docs`, its files (2 MB, read once) and `/openapi.json`."""
    page = StaticAsset.read(_PAGE / "docs.html", _POLICY)
    assets = {name: StaticAsset.read(file, _POLICY) for name, file in _FILES.items()}
    router = APIRouter(include_in_schema=False)

    add_page(router, "/docs", page)

    @router.head("/openapi.json")
    @router.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        return Response(_document(request.app, address_of("") or "/"), media_type="application/json")

    @router.head("/docs/")
    @router.get("/docs/")
    async def docs_below() -> Response:
        return RedirectResponse("/docs", 308)  # the page's links are relative to this

    add_files(router, "/docs", assets)
    return router


@lru_cache(maxsize=16)
def _document(app: FastAPI, address: str) -> bytes:
    """Return `/openapi.json` of a service below `address`; strangers may ask for it, and making it takes 10 ms."""
    return bytes(NewlineJSONResponse(app.openapi() | {"servers": [{"url": address}]}).body)
