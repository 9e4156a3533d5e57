"""A response over HTTP. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ERROR_BYTES = 64 << 10  # of the body of an error are read; the rest is ignored
OVERLOADED = frozenset({408, 425, 499, 502, 503, 504, 521, 522, 523, 524})  # statuses; of proxies and Cloudflare too


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers (names in lower case, every value kept), the body as far as it was read, the URL that answered,
    after redirects, and the address it answered from (None if that is not known, as behind a proxy). `remark`: what is
    known of the credentials that it refused."""

    method: str
    url: str
    status: int
    headers: Mapping[str, tuple[str, ...]]
    body: bytes = b""
    peer: str | None = None
    remark: str = ""

    def header(self, name: str) -> str | None:
        values = self.headers.get(name)
        return values[0] if values else None
