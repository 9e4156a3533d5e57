"""A token service as distribution's token specification has it, for a docker-registry that trusts it: it signs JSON Web
Tokens (RS256, with the certificate in the header) by `openssl`.

with TokenServer(folder) as tokens, DockerRegistry(place, Options(more=(tokens.configuration,))) as registry:
    ... tokens.requests
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.docker_registry import PASSWORD, USER

SERVICE, ISSUER, REFRESH_TOKEN = "tests", "tests issuer", "refresh-token-of-tests"
SECONDS = 60
LEEWAY = 60  # seconds after its end for which docker-registry still takes a token


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


class TokenServer:
    """`requests`: the members of every request for a token. While `expired` is set, tokens are given out that ended
    long ago, though their answer says otherwise. `granted`: the actions that tokens allow."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[Mapping[str, list[str]]] = []
        self.expired = False
        self.granted = frozenset({"pull", "push", "delete"})
        self._key, self._certificate = folder / "token.key", folder / "token.pem"
        files = ["-keyout", str(self._key), "-out", str(self._certificate)]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens", *files]
        subprocess.run(made, check=True, capture_output=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    @property
    def configuration(self) -> tuple[str, Any]:
        """For docker-registry's configuration file."""
        members = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(self._certificate)}
        return "auth", {"token": members}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, members: Mapping[str, list[str]], authorization: str | None) -> tuple[int, bytes]:
        self.requests.append(members)
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode("ascii")
        if authorization != basic and members.get("refresh_token") != [REFRESH_TOKEN]:
            return 401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "wrong"}]}'
        token = self._token([part for scope in members.get("scope", []) for part in scope.split()])
        key = "access_token" if "grant_type" in members else "token"
        return 200, json.dumps({key: token, "expires_in": SECONDS}).encode()

    def _token(self, scopes: list[str]) -> str:
        now = int(time.time()) - (SECONDS + LEEWAY + 10 if self.expired else 0)
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [action for action in actions.split(",") if action in self.granted]
            access.append({"type": kind, "name": name, "actions": granted})
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "exp": now + SECONDS,
            "nbf": now - 1,
            "iat": now,
            "jti": "1",
        }
        certificate = "".join(self._certificate.read_text().splitlines()[1:-1])
        header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, {**claims, "access": access}))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(command, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{_encoded(signature)}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(urlsplit(self.path).query)

            def do_POST(self) -> None:
                self._reply(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def _reply(self, form: str) -> None:
                status, body = tokens.answer(parse_qs(form), self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Nothing is written to the terminal."""

        return Handler
