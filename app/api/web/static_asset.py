"""A file of a page with its response headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
PIECE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class StaticAsset:
    """A file in memory: a name from a request is looked up and never becomes a path."""

    content: bytes
    media_type: str
    policy: str
    etag: str

    @classmethod
    def read(cls, path: Path, policy: str) -> StaticAsset:
        """Read the file. `policy` is its Content-Security-Policy."""
        content = path.read_bytes()
        return cls(content, _TYPES[path.suffix], policy, f'"{hashlib.sha256(content).hexdigest()}"')

    def response(self, request: Request) -> Response:
        headers = {
            "Content-Security-Policy": self.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",  # revalidate, so that a new page never runs an old script
            "ETag": self.etag,
        }
        if self.etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return _PiecedResponse(self.content, media_type=self.media_type, headers=headers)


class _PiecedResponse(Response):
    """A response whose body is written in pieces, each when the client has read those before.

    The largest file has 1.4 MB; written at once, it would stay in memory for each client that does not read.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), PIECE_BYTES):
            piece = bytes(self.body[start : start + PIECE_BYTES])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def add_page(router: APIRouter, path: str, page: StaticAsset) -> None:
    """Answer GET and HEAD of `path` with `page`."""

    @router.head(path)
    @router.get(path)
    async def show_page(request: Request) -> Response:
        return page.response(request)


def add_files(router: APIRouter, path: str, files: Mapping[str, StaticAsset]) -> None:
    """Answer GET and HEAD of `path`/NAME with the file of that name; 404 if there is none."""

    @router.head(f"{path}/{{name:path}}")
    @router.get(f"{path}/{{name:path}}")
    async def show_file(request: Request, name: str) -> Response:
        if name not in files:
            return Response(f"{path}/ has no such file\n", 404, media_type="text/plain")
        return files[name].response(request)
