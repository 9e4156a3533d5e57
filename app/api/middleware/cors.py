"""Origins of pages that may read responses (TARMAC_CORS_ORIGINS). Never with credentials: they send a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config.types import ANY_ORIGIN

MAX_AGE_SECONDS = 600  # for which a browser may cache a preflight response
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_UPLOAD_FIELDS = (
    "Upload-Offset",
    "Upload-Length",
    "Upload-Defer-Length",
    "Upload-Metadata",
    "Upload-Concat",
    "Upload-Complete",
)
_ACCEPTED = (
    "Authorization",
    "Content-Type",
    "Content-Disposition",
    "Content-Digest",
    "Repr-Digest",
    "Cache-Control",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "X-HTTP-Method-Override",
    "X-Request-Id",
    "X-Requested-With",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Draft-Interop-Version",
    *_UPLOAD_FIELDS,
)
_EXPOSED = (
    "Location",
    "ETag",
    "Tarmac-Job",
    "Tarmac-Next-Cursor",
    "X-Request-Id",
    "Retry-After",
    "WWW-Authenticate",
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Expires",
    "Upload-Limit",
    "Upload-Draft-Interop-Version",
    *_UPLOAD_FIELDS,
)


@dataclass(frozen=True, slots=True)
class CorsOrigins:
    """The allowed `origins`, as browsers send them; `*` allows all."""

    origins: frozenset[str] = frozenset()

    def allow(self, origin: str | None) -> bool:
        return origin is not None and (ANY_ORIGIN in self.origins or origin in self.origins)

    def preflight(self, method: str, headers: Headers) -> Response | None:
        """Return the response to a preflight of an allowed page; None for every other request."""
        is_preflight = method == "OPTIONS" and "access-control-request-method" in headers
        if not is_preflight or not self.allow(headers.get("origin")):
            return None
        fields = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": ", ".join(_ACCEPTED),
            "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        }
        return Response(status_code=204, headers=fields)

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """Return the header fields that let a page of `origin` read a response."""
        if not self.allow(origin):
            return {}
        allowed = ANY_ORIGIN if ANY_ORIGIN in self.origins else origin or ""
        return {"Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": ", ".join(_EXPOSED)}


class Cors:
    """Adds the header fields to every response, also to refusals, so that a page can read the reason."""

    def __init__(self, app: ASGIApp, origins: CorsOrigins) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins.origins:
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._origins.fields(origin))
                if ANY_ORIGIN not in self._origins.origins:
                    headers.add_vary_header("Origin")
            await send(message)

        await self._app(scope, receive, sending)


__all__ = ["Cors", "CorsOrigins"]
