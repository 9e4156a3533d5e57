"""Reading back from Pulp as one of its users: skopeo for manifests, and a client of its own for blobs and lists."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import httpx

from tests.interop.pulp import ADMIN, PASSWORD
from tests.peers.reading import Reader

READ_SECONDS = 60.0


class TokenAuth(httpx.Auth):
    """Asks for a token at the realm of a 401's challenge, or answers it by Basic, and sends the request again."""

    requires_response_body = True

    def __init__(self, user: str, password: str) -> None:
        self._basic = httpx.BasicAuth(user, password)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', response.headers["WWW-Authenticate"]))
        if "service" not in challenge:
            yield from self._basic.auth_flow(request)
            return
        asked = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        token = yield next(self._basic.auth_flow(httpx.Request("GET", challenge["realm"], params=asked)))
        request.headers["Authorization"] = f"Bearer {token.json()['token']}"
        yield request


class PulpReader(Reader):
    """Reads with the rights of `user`, who is the administrator if no other is given."""

    def __init__(self, program: str, address: str, prefix: str, folder: Path, user: str = ADMIN) -> None:
        super().__init__(program, address, prefix, folder)
        self._user = user

    def flags(self, prefix: str = "") -> tuple[str, ...]:
        return (*super().flags(prefix), f"--{prefix}creds={self._user}:{PASSWORD}")

    def fetch(self, path: str) -> bytes:
        answer = httpx.get(
            f"http://{self.address}/v2/{path}",
            auth=TokenAuth(self._user, PASSWORD),
            follow_redirects=True,
            timeout=READ_SECONDS,
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise FileNotFoundError(path)
        assert answer.is_success, answer.text
        return answer.content
