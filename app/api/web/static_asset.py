"""A file of a page, as browsers get it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticAsset:
    """Held in memory: a name from outside is looked up and never becomes a path."""

    content: bytes
    media_type: str
    policy: str
    etag: str

    @classmethod
    def read(cls, path: Path, policy: str) -> StaticAsset:
        """`policy`: the Content-Security-Policy."""
        content = path.read_bytes()
        return cls(content, _TYPES[path.suffix], policy, f'"{hashlib.sha256(content).hexdigest()}"')

    def response(self, request: Request) -> Response:
        headers = {
            "Content-Security-Policy": self.policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",  # keep it, but ask: a new version must not meet an old script
            "ETag": self.etag,
        }
        if self.etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)
