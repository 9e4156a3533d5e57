"""No client that Tarmac sends requests with keeps a cookie.

Harbor answers 403 "CSRF token invalid" to a POST that brings back the session cookie `sid`, which it set itself."""

from __future__ import annotations

import ast
import asyncio
import http.server
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from app.auth.oidc import OidcSettings, OidcTokens, parse_roles
from app.errors import RegistryError, UnknownFormat
from app.jobs import Job, JobState, utc_now
from app.jobs.webhook import Outbox, Webhook, WebhookSettings
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.auth import Credentials, FixedCredentials
from app.registry.auth.ecr import EcrCredentials, EcrEndpoint
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.spool.s3 import open_store
from app.telemetry.tracing import JobTracer
from tests.support.blob_content import BytesContent
from tests.support.memory_registry import PASSWORD, USER, Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, served

APP = Path(__file__).parents[2] / "app"
SETS = {"Set-Cookie": "sid=chocolate; Path=/; HttpOnly"}
DIGEST = Digest.of(b"x")


def with_cookie(app: MemoryRegistry) -> Any:
    """The same registry, which sets a cookie with every response."""

    async def answering(scope: MutableMapping[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def send_more(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                pairs = [(name.lower().encode(), value.encode()) for name, value in SETS.items()]
                message = {**message, "headers": [*message["headers"], *pairs]}
            await send(message)

        await app(scope, receive, send_more)

    return answering


def test_every_client_is_made_without_cookies() -> None:
    made = [
        (file.name, call)
        for file in sorted(APP.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {"httpx.AsyncClient", "httpx.Client"}
    ]
    assert made
    for name, call in made:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("cookies") == "NoCookies()", f"{name}:{call.lineno}"


async def test_neither_registry_nor_token_service_nor_storage_gets_a_cookie_back() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))

    def route(seen: Seen) -> Step:
        if seen.method == "HEAD" and "/blobs/" in seen.path:
            return answer(307, {**SETS, "Location": "/storage/blob"})
        if seen.path == "/storage/blob":
            return answer(200, SETS)
        return served(with_cookie(memory))

    async with ScriptedRegistry(route=route) as server:
        url = parse_registry_url(server.url, "url")
        settings = HttpRegistrySettings(url, credentials=FixedCredentials(Credentials(USER, PASSWORD)))
        async with HttpRegistry(settings) as registry:
            await registry.check()
            for number in range(3):
                digest, _ = await registry.push_blob("team/app", BytesContent(b"%d" % number))
            assert await registry.blob_exists("team/app", digest)
            assert await registry.mount_blob("team/other", digest, "team/app")
            assert await registry.find_manifest("team/app", "1") is None
    assert {"/v2/", "/token", "/storage/blob"} <= {seen.path for seen in server.requests}
    assert [seen.target for seen in server.requests if "cookie" in seen.headers] == []


async def test_the_issuer_of_tokens_gets_no_cookie_back() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    shown = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": "one", "use": "sig"}

    def route(seen: Seen) -> Step:
        described = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
        document = {"keys": [shown]} if seen.path == "/keys" else described
        return answer(200, SETS, json.dumps(document).encode())

    async with ScriptedRegistry(route=route) as server:
        now = [0.0]
        tokens = OidcTokens(OidcSettings(server.url, "tarmac", parse_roles(("ci=push",))), lambda: now[0])
        claims = {"iss": server.url, "aud": "tarmac", "sub": "anna", "exp": time.time() + 60, "roles": "ci"}
        token = jwt.encode(claims, key, "ES256", headers={"kid": "one"}).encode()
        for _ in range(2):
            assert await tokens.authenticate(token) is not None
            now[0] += 7200
    assert len(server.requests) == 4
    assert [seen.target for seen in server.requests if "cookie" in seen.headers] == []


async def test_the_receiver_of_a_webhook_gets_no_cookie_back(tmp_path: Path) -> None:
    got: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(204, headers=SETS)

    hook = Webhook(
        WebhookSettings("https://receiver.test/hook"), Outbox(tmp_path), transport=httpx.MockTransport(receive)
    )
    for _ in range(2):
        job = Job.new(JobState.QUEUED, utc_now()).transition_to(JobState.RUNNING)
        hook.enqueue(
            job.transition_to(JobState.FAILED, problem=UnknownFormat("no archive").problem, finished_at=utc_now())
        )
        await hook.write_outbox()
        await hook.deliver(time.time() + 1)
    await hook.close()
    assert len(got) == 2
    assert [request for request in got if "cookie" in request.headers] == []


class Service:
    """Answers every request with `body` and a cookie; `cookies` holds what came back."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.requests = 0
        self.cookies: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                outer.requests += 1
                outer.cookies += self.headers.get_all("cookie", [])
                self.send_response(200)
                for name, value in {**SETS, "Content-Type": content_type, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Nothing is written to the terminal."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    made = Service(*request.param)
    yield made
    made.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)


LISTING = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'


@pytest.mark.parametrize("service", [(b"{}", "application/x-amz-json-1.1")], indirect=True)
async def test_ecr_gets_no_cookie_back(service: Service, aws: None) -> None:
    ecr = EcrCredentials(EcrEndpoint(region="eu-west-1", endpoint=service.url))
    for name in ("team/one", "team/two"):
        await ecr.create_repository(name)
    with pytest.raises(RegistryError):
        await ecr.find(parse_registry_url("r.local", "url"), "team/one")
    assert service.requests == 3
    assert service.cookies == []


@pytest.mark.parametrize("service", [(LISTING, "application/xml")], indirect=True)
async def test_the_storage_of_the_spool_gets_no_cookie_back(
    service: Service, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
    store = await asyncio.to_thread(open_store, "s3://spool/below")
    await asyncio.to_thread(lambda: next(iter(store.list()), None))
    assert service.requests >= 2
    assert service.cookies == []


@pytest.mark.parametrize("service", [(b"", "application/x-protobuf")], indirect=True)
async def test_the_collector_of_traces_gets_no_cookie_back(service: Service) -> None:
    traces = JobTracer.open(f"{service.url}/v1/traces")
    for _ in range(2):
        job = (
            Job.new(JobState.QUEUED, utc_now())
            .transition_to(JobState.RUNNING)
            .transition_to(JobState.SUCCEEDED, finished_at=utc_now())
        )
        traces.record_job(job)
        await asyncio.to_thread(traces._provider.force_flush)
    await asyncio.to_thread(traces.close)
    assert service.requests == 2
    assert service.cookies == []
