"""`/docs`: the API's documentation in the browser, without internet. FastAPI's own page loads its parts from a CDN."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

_PAGE = Path(__file__).parent / "page"
_SWAGGER = _PAGE / "vendor" / "swagger-ui"
_FILES = {
    "docs.js": (_PAGE / "docs.js", "text/javascript; charset=utf-8"),
    "swagger-ui-bundle.js": (_SWAGGER / "swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (_SWAGGER / "swagger-ui.css", "text/css; charset=utf-8"),
    "favicon-32x32.png": (_SWAGGER / "favicon-32x32.png", "image/png"),
}
# swagger-ui sets inline styles and draws its icons from data: addresses; scripts come from here alone
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class _Asset:
    """A file of the page, held in memory: a name from outside is looked up and never becomes a path."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path, media_type: str) -> _Asset:
        content = path.read_bytes()
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()}"')

    def response(self, request: Request) -> Response:
        headers = {
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",  # keep it, but ask: a new version must not meet an old script
            "ETag": self.etag,
        }
        if self.etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def docs_router() -> APIRouter:
    """`/docs` and its files (2 MB, read once). The app itself is made with `docs_url=None, redoc_url=None`."""
    page = _Asset.read(_PAGE / "docs.html", "text/html; charset=utf-8")
    assets = {name: _Asset.read(*file) for name, file in _FILES.items()}
    router = APIRouter(include_in_schema=False)

    @router.head("/docs")
    @router.get("/docs")
    async def docs(request: Request) -> Response:
        return page.response(request)

    @router.head("/docs/{name}")
    @router.get("/docs/{name}")
    async def docs_file(request: Request, name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            return Response("no such file of this page; see /docs\n", 404, media_type="text/plain")
        return asset.response(request)

    return router
