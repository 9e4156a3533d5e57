"""An OpenID Connect issuer that answers until it is told to say nothing more."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

LIFETIME_SECONDS = 7200.0  # of a token; longer than any run
AUDIENCE = "tarmac"
ROLES = "pusher=push"


class Issuer:
    """`is_silent`: from then on it accepts connections and answers nothing."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.is_silent = threading.Event()
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self) -> str:
        """Return a token that may push."""
        now = time.time()
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "honest", "exp": now + LIFETIME_SECONDS, "roles": ["pusher"]}
        return jwt.encode(claims, self._key, "ES256", headers={"kid": "known"})

    def settings(self) -> dict[str, str]:
        """Return what the service is told of it."""
        return {"TARMAC_OIDC_ISSUER": self.url, "TARMAC_OIDC_AUDIENCE": AUDIENCE, "TARMAC_OIDC_ROLES": ROLES}

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _document(self, path: str) -> dict[str, Any]:
        if path == "/keys":
            shown = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
            return {"keys": [{**shown, "kid": "known", "use": "sig"}]}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if issuer.is_silent.is_set():
                    issuer._over.wait()
                    return
                body = json.dumps(issuer._document(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Handler


__all__ = ["Issuer"]
