"""A response over HTTP. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ERROR_BYTES = 64 << 10  # read of the body of an error; the rest is ignored
OVERLOADED = frozenset({408, 425, 499, 502, 503, 504, 521, 522, 523, 524})  # including those of proxies and Cloudflare


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    `headers`: names in lower case, with every value. `body`: the bytes that were read. `url`: the final one, after
    redirects. `peer`: address of the server, None if unknown, as behind a proxy. `remark`: information about rejected
    credentials.
    """

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
