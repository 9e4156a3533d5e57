"""A registry in memory that behaves as the distribution-spec says: an ASGI application, to be used without a socket.

registry = MemoryRegistry()
async with registry.client() as http_registry:      # an HttpRegistry that talks to it
    ...
registry.repositories["team/app"].tags["1"]; registry.requests; registry.sessions
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx

from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.auth import ANONYMOUS, CredentialSource
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

USER, PASSWORD, IDENTITY_TOKEN = "tarmac", "correct horse", "identity-token"
_ROUTE = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>blobs/uploads|blobs|manifests|tags)/(?P<rest>[^/]*)")


class Refused(Exception):
    def __init__(
        self, status: int, code: str, words: str = "refused by the registry in memory", missing: Sequence[str] = ()
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.words, self.missing = status, code, words, missing


@dataclass
class Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Callable[[], AsyncIterator[bytes]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Manners:
    """How registries differ. `auth`: none, basic or bearer. `from_the_start`: the ping asks for authorization too."""

    auth: str = "none"
    from_the_start: bool = True
    mounts: bool = True
    asks: bool = True  # takes a mount from the repository itself
    absolute_locations: bool = False
    states_digests: bool = True
    lists_referrers: bool = True
    refused_heads: int = 0  # the status of every HEAD for a manifest, 0 for as it should be
    token_seconds: int = 300
    created: frozenset[str] | None = None  # the repositories that may be pushed to; None: any
    resumes: bool = True  # a session outlives a body that broke off (distribution 3), or does not (distribution 2)
    put: bool = True  # a blob whole in the PUT
    patch: bool = True  # a PATCH without Content-Range
    chunks: bool = True  # PATCH with Content-Range
    streams: bool = True  # a body without Content-Length
    refusal: tuple[int, str] = (405, "UNSUPPORTED")  # how a way of uploading is refused
    most: int | None = None  # bytes of a body; more is 413
    too_large: int = 413
    least: int = 0  # OCI-Chunk-Min-Length
    range: str = "true"  # what the Range of a session is: true, stale, none, nothing (0-0)
    warning: str = ""


class MemoryRegistry:
    """`requests` holds method and path of every request; `sessions` the open upload sessions."""

    def __init__(self, manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self.repositories: dict[str, Repository] = {}
        self.sessions: dict[str, bytearray] = {}
        self.requests: list[tuple[str, str]] = []
        self.blob_bytes = 0  # payload of blob requests that was read
        self.damages = 0  # of so many blobs a byte arrives as another
        self.authorizations: list[str | None] = []
        self.token_requests: list[dict[str, list[str]]] = []
        self.tokens: set[str] = set()
        self.password = PASSWORD
        self._count = 0

    def client(self, credentials: CredentialSource = ANONYMOUS, url: str = "http://registry.test/") -> HttpRegistry:
        settings = HttpRegistrySettings(parse_registry_url(url, "url"), credentials=credentials)
        return HttpRegistry(settings, httpx.ASGITransport(app=self))

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    def expire_tokens(self) -> None:
        self.tokens.clear()

    def open_sessions(self) -> list[str]:
        return list(self.sessions)

    def lose_sessions(self) -> None:
        self.sessions.clear()

    def lose_blobs(self) -> None:
        """Of one repository; so does what follows."""
        self.repository("team/app").blobs.clear()

    def lose_one_blob(self) -> None:
        blobs = self.repository("team/app").blobs
        del blobs[max(blobs, key=lambda digest: len(blobs[digest]))]

    def forget_tag(self) -> None:
        self.repository("team/app").tags.clear()

    async def pull(self, name: str) -> None:
        """Nothing is to be done: `repositories` holds all."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        async def body() -> AsyncIterator[bytes]:
            more = True
            while more:
                message = await receive()
                yield message.get("body", b"")
                more = message.get("more_body", False)

        query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], query, headers, body)
        self.requests.append((request.method, request.path))
        self.authorizations.append(headers.get("authorization"))
        try:
            answer = await self._answer(request, scope["query_string"].decode())
        except Refused as refused:
            answer = self._refusal(request, refused)
        if self.manners.warning:
            answer.headers["warning"] = self.manners.warning
        pairs = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        length = answer.headers.get("content-length", str(len(answer.body))).encode()
        pairs = [pair for pair in pairs if pair[0] != b"content-length"] + [(b"content-length", length)]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    def _refusal(self, request: Request, refused: Refused) -> Answer:
        error = {"code": refused.code, "message": refused.words}
        named: list[object] = [{**error, "detail": {"digest": digest}} for digest in refused.missing]
        document = {"errors": named or [error]}
        answer = Answer(refused.status, {"content-type": "application/json"}, json.dumps(document).encode())
        if refused.status == 401:
            answer.headers["www-authenticate"] = self._challenge(request)
        return answer

    async def _answer(self, request: Request, query: str) -> Answer:
        if request.path == "/token":
            return await self._token(request, query)
        if request.path == "/v2/":
            if self.manners.from_the_start:
                self._authorize(request)
            return Answer(200, {"content-type": "application/json"}, b"{}")
        self._authorize(request)
        match = _ROUTE.fullmatch(request.path)
        if match is None:
            raise Refused(404, "NAME_INVALID")
        name, kind, rest = match["repository"], match["kind"], match["rest"]
        if kind == "blobs/uploads":
            return await self._upload(request, name, rest)
        if kind == "blobs":
            return self._blob(name, rest)
        if kind == "manifests":
            return await self._manifest(request, name, rest)
        tags = sorted(self.repository(name).tags)
        return Answer(200, {}, json.dumps({"name": name, "tags": tags}).encode())

    # Authorization

    def _challenge(self, request: Request) -> str:
        if self.manners.auth == "basic":
            return 'Basic realm="memory"'
        return f'Bearer realm="http://{request.headers["host"]}/token",service="memory",scope="repository:odd:pull"'

    def _authorize(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        wanted = {
            "none": given == "",
            "basic": given == basic(USER, self.password),
            "bearer": given.removeprefix("Bearer ") in self.tokens,
        }
        if not wanted[self.manners.auth]:
            raise Refused(401, "UNAUTHORIZED", "authentication required")

    async def _token(self, request: Request, query: str) -> Answer:
        form = b"".join([chunk async for chunk in request.body()]).decode()
        members = parse_qs(query or form)
        self.token_requests.append(members)
        given = request.headers.get("authorization")
        if given != basic(USER, self.password) and members.get("refresh_token") != [IDENTITY_TOKEN]:
            raise Refused(401, "UNAUTHORIZED", "no such user")
        self._count += 1
        token = f"token-{self._count}"
        self.tokens.add(token)
        key = "access_token" if request.method == "POST" else "token"
        return Answer(200, {}, json.dumps({key: token, "expires_in": self.manners.token_seconds}).encode())

    # Blobs

    async def _upload(self, request: Request, name: str, session: str) -> Answer:
        if request.method == "POST":
            return self._start(request, name)
        if session not in self.sessions:
            raise Refused(404, "BLOB_UPLOAD_UNKNOWN")
        held = self.sessions[session]
        if request.method == "DELETE":
            del self.sessions[session]
            return Answer(204)
        if request.method == "GET":
            return Answer(204, self._place(request, name, session))
        self._check_way(request, held)
        try:
            size = 0
            async for chunk in request.body():
                size += len(chunk)
                self.blob_bytes += len(chunk)
                self._check_size(size)
                held += chunk
        except ConnectionError:
            if not self.manners.resumes:
                self.sessions.pop(session, None)
            raise
        if request.method == "PATCH":
            return Answer(202, self._place(request, name, session))
        return self._finish(name, session, request.query.get("digest", ""))

    def _check_way(self, request: Request, held: bytearray) -> None:
        manners, headers = self.manners, request.headers
        length, ranged = int(headers.get("content-length", "0")), headers.get("content-range")
        streamed = "chunked" in headers.get("transfer-encoding", "")
        self._check_size(length)
        if request.method == "PUT":
            taken = manners.put or not length
        else:
            taken = manners.streams if streamed else manners.chunks if ranged else manners.patch
        if not taken:
            raise Refused(*manners.refusal)
        if ranged is not None:
            first, _, last = ranged.partition("-")
            if int(first) != len(held) or int(last) - int(first) + 1 != length:
                raise Refused(416, "RANGE_INVALID")

    def _check_size(self, size: int) -> None:
        if self.manners.most is not None and size > self.manners.most:
            words = "request body is too large" if self.manners.too_large == 416 else "limit of the proxy"
            raise Refused(self.manners.too_large, "", words)

    def _start(self, request: Request, name: str) -> Answer:
        if self.manners.created is not None and name not in self.manners.created:
            raise Refused(404, "NAME_UNKNOWN", "no such project")
        digest, source = request.query.get("mount", ""), request.query.get("from", "")
        if source == name and not self.manners.asks:
            raise Refused(405, "UNSUPPORTED")
        content = self.repositories.get(source, Repository()).blobs.get(digest)
        if self.manners.mounts and content is not None:
            self.repository(name).blobs[digest] = content
            return Answer(201, {"location": f"/v2/{name}/blobs/{digest}", **self._stated(digest)})
        self._count += 1
        session = f"session-{self._count}"
        self.sessions[session] = bytearray()
        return Answer(202, self._place(request, name, session))

    def _finish(self, name: str, session: str, digest: str) -> Answer:
        content = bytes(self.sessions.pop(session))
        wanted = Digest.parse(digest)
        if self.damages:
            self.damages -= 1
            content = b"damaged" + content
        if hashlib.new(wanted.algorithm, content).hexdigest() != wanted.encoded:
            raise Refused(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.repository(name).blobs[digest] = content
        return Answer(201, {"location": f"/v2/{name}/blobs/{digest}", **self._stated(digest)})

    def _place(self, request: Request, name: str, session: str) -> dict[str, str]:
        host = f"http://{request.headers['host']}" if self.manners.absolute_locations else ""
        location = f"{host}/v2/{name}/blobs/uploads/{session}?_state=a%2Fb%3D"
        last = {"stale": min(len(self.sessions[session]), 1000), "nothing": 0}
        held = last.get(self.manners.range, len(self.sessions[session]))
        headers = {"location": location, "range": f"0-{max(held - 1, 0)}"}
        if self.manners.range == "none":
            del headers["range"]
        if self.manners.least:
            headers["oci-chunk-min-length"] = str(self.manners.least)
        return headers

    def _blob(self, name: str, digest: str) -> Answer:
        content = self.repository(name).blobs.get(digest)
        if content is None:
            raise Refused(404, "BLOB_UNKNOWN")
        return Answer(200, {"content-length": str(len(content)), **self._stated(digest)}, content)

    # Manifests

    async def _manifest(self, request: Request, name: str, reference: str) -> Answer:
        if request.method == "PUT":
            raw = b"".join([chunk async for chunk in request.body()])
            return self._store(name, reference, request.headers.get("content-type", ""), raw)
        if request.method == "HEAD" and self.manners.refused_heads:
            raise Refused(self.manners.refused_heads, "DENIED")
        repository = self.repository(name)
        digest = repository.tags.get(reference, reference)
        if digest not in repository.manifests:
            raise Refused(404, "MANIFEST_UNKNOWN")
        media_type, raw = repository.manifests[digest]
        return Answer(200, {"content-type": media_type, "content-length": str(len(raw)), **self._stated(digest)}, raw)

    def _store(self, name: str, reference: str, media_type: str, raw: bytes) -> Answer:
        repository, document = self.repository(name), json.loads(raw)
        if document.get("mediaType", media_type) != media_type:
            raise Refused(400, "MANIFEST_INVALID", "media types differ")
        blobs = [document["config"], *document.get("layers", ())] if "config" in document else []
        missing = [blob["digest"] for blob in blobs if blob["digest"] not in repository.blobs]
        missing += [c["digest"] for c in document.get("manifests", ()) if c["digest"] not in repository.manifests]
        if missing:
            raise Refused(400, "MANIFEST_BLOB_UNKNOWN", f"not here: {missing[0]}", missing)
        digest = reference if ":" in reference else str(Digest.of(raw))
        wanted = Digest.parse(digest)
        if hashlib.new(wanted.algorithm, raw).hexdigest() != wanted.encoded:
            raise Refused(400, "DIGEST_INVALID")
        repository.manifests[digest] = (media_type, raw)
        if ":" not in reference:
            repository.tags[reference] = digest
        headers = {"location": f"/v2/{name}/manifests/{digest}", **self._stated(digest)}
        if self.manners.lists_referrers and "subject" in document:
            headers["oci-subject"] = document["subject"]["digest"]
        return Answer(201, headers)

    def _stated(self, digest: str) -> dict[str, str]:
        return {"docker-content-digest": digest} if self.manners.states_digests else {}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
