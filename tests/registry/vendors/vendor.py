"""The base of every scripted vendor: a registry in memory whose authentication, rules and refusals are pieces that one
vendor overrides. A vendor states facts only: what was read in its source or documentation, and what a request gets.

class Example(Vendor):
    name, sources = "Example", "example/registry 1a2b3c4, 2026-01-01"
    expected = {Fault.READ_ONLY: Expected("registry_denied")}     # what Tarmac reports
    absent = {Fault.QUOTA: "it has no quotas"}                    # what the vendor does not have

    def writable(self, access: Access) -> None:
        if self.read_only:
            raise Refused(403, "DENIED", "no pushes now")
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar
from urllib.parse import parse_qs

from app.oci import Digest
from app.registry.auth import Credentials, FixedCredentials
from tests.support.memory_registry import (
    PASSWORD,
    USER,
    Answer,
    Manners,
    MemoryRegistry,
    Refused,
    Request,
)

GUEST = "guest"  # an account that may pull and nothing else
STRANGER = Credentials(USER, "not the password")
INDEX = "application/vnd.oci.image.index.v1+json"
_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>[^/]*)")


class Fault(StrEnum):
    """What every vendor is tested for, besides a push that it takes."""

    WRONG_CREDENTIALS = "wrong credentials"
    NO_RIGHTS = "no rights"
    QUOTA = "quota exceeded"
    IMMUTABLE = "immutable tag"
    READ_ONLY = "read-only"
    MISSING_PROJECT = "missing project"
    RATE_LIMIT = "rate limit"


@dataclass(frozen=True, slots=True)
class Expected:
    """The problem of an image: its code and whether it is retryable. `words` are in its detail: those of the registry,
    which say what is wrong."""

    code: str
    retryable: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    password: str = PASSWORD
    rights: frozenset[str] = frozenset({"pull", "push"})


@dataclass(frozen=True, slots=True)
class Access:
    """What a request is about. `kind`: blobs/uploads, blobs, manifests, tags, referrers. `rest`: what follows it."""

    request: Request
    name: str
    kind: str
    rest: str

    @property
    def action(self) -> str:
        return "pull" if self.request.method in {"GET", "HEAD"} and self.kind != "blobs/uploads" else "push"


@dataclass
class Refusal(Refused):
    """A refusal with headers, or with a body that is not the specification's list of errors."""

    status: int
    code: str = ""
    words: str = ""
    missing: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    detail: object = None
    body: bytes | None = None
    content_type: str = "application/json"


Grants = frozenset[tuple[str, str]]
"""Repository and action."""


class Vendor(MemoryRegistry):
    """`url`, `site` and `storage` are the addresses of the registry, of its token service if that is another server,
    and of the storage that blobs are read from; they are known once it listens. What a test sets: `quota`,
    `read_only`, `immutable`, `limited` (the number of requests still to be refused by the rate limit), `accounts`."""

    name: ClassVar[str]
    sources: ClassVar[str]
    expected: ClassVar[Mapping[Fault, Expected]]
    absent: ClassVar[Mapping[Fault, str]] = {}
    style: ClassVar[Manners] = Manners(auth="bearer")
    home: ClassVar[str] = "team"  # the project that exists
    second: ClassVar[str] = "team/second"  # another place that may be pushed to
    elsewhere: ClassVar[str] = "nowhere"  # one that does not
    token_path: ClassVar[str] = "/token"
    tokens_beside: ClassVar[bool] = False  # the token service is another server
    takes_forms: ClassVar[bool] = False  # the token service takes a POST (OAuth2)
    service: ClassVar[str] = "registry"
    cookies: ClassVar[tuple[str, ...]] = ()  # Set-Cookie of every answer
    ends_sessions: ClassVar[bool] = True  # whoever may push may also end an upload session
    storage_beside: ClassVar[bool] = False  # blobs are read by a redirect to signed URLs of another server
    limits_tokens: ClassVar[bool] = False  # the rate limit is that of the token service
    refuses: ClassVar[Mapping[str, Expected]] = {}  # kinds of archives (`kinds`) that it does not take
    small: ClassVar[int] = 12_000  # bytes of a quota; every archive of the tests has more
    retry_after: ClassVar[int] = 7  # seconds

    def __init__(self) -> None:
        super().__init__(self.style)
        self.url = self.site = self.storage = ""
        self.accounts = {USER: Account(), GUEST: Account(rights=frozenset({"pull"}))}
        self.homes = {self.home, self.second}
        self.granted: dict[str, Grants] = {}
        self.quota: int | None = None
        self.read_only = self.immutable = False
        self.limited = 0

    # What a test asks for

    def impose(self, fault: Fault) -> None:
        """Make what is pushed next meet `fault`, as far as that is the registry's side of it."""
        match fault:
            case Fault.QUOTA:
                self.quota = self.small
            case Fault.IMMUTABLE:
                self.immutable = True
            case Fault.READ_ONLY:
                self.read_only = True
            case Fault.RATE_LIMIT:
                self.limited = 2

    def credentials(self, user: str = USER) -> FixedCredentials:
        return FixedCredentials(Credentials(user, PASSWORD))

    def moves(self, name: str, tag: str, digest: str) -> bool:
        """Whether a tag exists and is another manifest's."""
        return self.repository(name).tags.get(tag, digest) != digest

    def size_of(self, target: str) -> int:
        """Bytes of the blob that a closing request made, 0 if it made none."""
        digest = parse_qs(target.partition("?")[2])["digest"][0]
        return max((len(kept.blobs.get(digest, b"")) for kept in self.repositories.values()), default=0)

    def stored(self, name: str) -> int:
        """Bytes of the blobs of a repository's project."""
        project = name.partition("/")[0]
        held = {
            digest: len(content)
            for repository, kept in self.repositories.items()
            if repository.partition("/")[0] == project
            for digest, content in kept.blobs.items()
        }
        return sum(held.values())

    # Pieces a vendor overrides

    def realm(self) -> str:
        """The address in the challenge."""
        return f"{self.site if self.tokens_beside else self.url}{self.token_path}"

    def scope_of(self, access: Access) -> str:
        """As the challenge to one request has it."""
        return f"repository:{access.name}:{'pull' if access.action == 'pull' else 'pull,push'}"

    def challenge(self, access: Access | None, *, insufficient: bool = False) -> str:
        """The value of WWW-Authenticate."""
        if self.manners.auth == "basic":
            return f'Basic realm="{self.service}"'
        scope = f',scope="{self.scope_of(access)}"' if access else ""
        error = ',error="insufficient_scope"' if insufficient else ""
        return f'Bearer realm="{self.realm()}",service="{self.service}"{scope}{error}'

    def rights(self, user: str, name: str) -> frozenset[str]:
        """What an account may do in a repository; "" is whoever sends no credentials."""
        account = self.accounts.get(user)
        return account.rights if account and self.is_home(name) else frozenset()

    def is_home(self, name: str) -> bool:
        """Whether the project of a repository exists."""
        return any(name.startswith(f"{home}/") for home in self.homes)

    def token_answer(self, token: str) -> dict[str, object]:
        return {"token": token, "expires_in": self.manners.token_seconds, "issued_at": "2026-01-01T00:00:00Z"}

    def unknown_account(self) -> Refused:
        """The token service's refusal, or that of the registry where it asks for Basic."""
        return Refused(401, "UNAUTHORIZED", "authentication required")

    def stranger(self, members: Mapping[str, list[str]]) -> str:
        """The account that a token is given to whose password is wrong: none, or "" for nobody's."""
        raise self.unknown_account()

    def lacking(self, access: Access) -> Refused:
        """Who is known and may not do this."""
        header = {"www-authenticate": self.challenge(access, insufficient=True)}
        return Refusal(401, "UNAUTHORIZED", "authentication required", headers=header)

    def limit(self, access: Access | None) -> Refused:
        headers = {"retry-after": str(self.retry_after)}
        return Refusal(429, "TOOMANYREQUESTS", "too many requests", headers=headers)

    def check_name(self, access: Access) -> None:
        """Raise what the vendor answers for a project that does not exist, and for a name that it does not take."""

    def writable(self, access: Access) -> None:
        """Raise what a registry that takes no pushes now answers."""

    def check_quota(self, access: Access, size: int) -> None:
        """Raise what the vendor answers if `size` more bytes exceed the quota."""

    def check_tag(self, access: Access, digest: str) -> None:
        """Raise what the vendor answers if the tag exists and may not be moved to `digest`."""

    def check_manifest(self, access: Access, media_type: str, document: Mapping[str, Any]) -> None:
        """Raise what the vendor answers for a manifest that it does not take."""

    def check_cookie(self, request: Request) -> None:
        """Raise what the vendor answers to a client that brings its cookies back."""

    def check_session(self, access: Access) -> None:
        """The query of a Location is the session's state: without it the session is not known."""
        if access.request.query.get("_state") != "a/b=":
            raise Refused(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")

    async def page(self, request: Request) -> Answer | None:
        """What is neither the registry's API nor its token service; None for what is."""
        return None

    # Serving

    async def _answer(self, request: Request, query: str) -> Answer:
        self.check_cookie(request)
        if (page := await self.page(request)) is not None:
            return self._dressed(page)
        if self.storage_beside and request.path.startswith("/storage/"):
            return self._from_storage(request)
        if request.path == self.token_path and self.manners.auth == "bearer":
            self._count_request(None, at_tokens=True)
            return self._dressed(await self._token(request, query))
        return self._dressed(await self._registry(request))

    async def _registry(self, request: Request) -> Answer:
        match = _ROUTE.fullmatch(request.path)
        access = Access(request, match["name"], match["kind"], match["rest"]) if match else None
        self._count_request(access, at_tokens=False)
        if access is None and request.path != "/v2/":
            raise Refused(404, "NAME_INVALID", "page not found")
        self.authorize(request, access)
        if access is None:
            return Answer(200, {"content-type": "application/json"}, b"{}")
        self.check_name(access)
        if access.action == "push":
            self.writable(access)
        return await self._dispatch(access)

    def _count_request(self, access: Access | None, *, at_tokens: bool) -> None:
        if self.limited and at_tokens == self.limits_tokens:
            self.limited -= 1
            raise self.limit(access)

    async def _dispatch(self, access: Access) -> Answer:
        request, name, rest = access.request, access.name, access.rest
        match access.kind:
            case "blobs/uploads":
                if rest:
                    self.check_session(access)
                return await self._upload(request, name, rest)
            case "blobs":
                return self._redirected(access, self._blob(name, rest))
            case "manifests":
                return await self._manifest(request, name, rest)
            case "referrers":
                return self._referrers(name, rest)
        if name not in self.repositories:
            raise Refused(404, "NAME_UNKNOWN", "repository name not known to registry")
        return Answer(200, {}, json.dumps({"name": name, "tags": sorted(self.repository(name).tags)}).encode())

    def _referrers(self, name: str, digest: str) -> Answer:
        if not self.manners.lists_referrers:
            raise Refused(404, "", "404 page not found")
        found = []
        for stored, (media_type, raw) in self.repository(name).manifests.items():
            document = json.loads(raw)
            if document.get("subject", {}).get("digest") == digest:
                kind = document.get("artifactType") or document["config"]["mediaType"]
                found.append({"mediaType": media_type, "digest": stored, "size": len(raw), "artifactType": kind})
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}).encode()
        return Answer(200, {"content-type": INDEX}, body)

    # Storage that is redirected to

    def _redirected(self, access: Access, answer: Answer) -> Answer:
        if not self.storage_beside or access.request.method != "GET":
            return answer
        location = f"{self.storage}/storage/{access.name}/{access.rest}?signature=for-get-alone"
        return Answer(307, {"location": location})

    def _from_storage(self, request: Request) -> Answer:
        """Signed for GET; an Authorization beside the signature is refused, as S3 does."""
        name, _, digest = request.path.removeprefix("/storage/").rpartition("/")
        if request.method != "GET" or "authorization" in request.headers or "signature" not in request.query:
            body = b"<Error><Code>AccessDenied</Code></Error>"
            raise Refusal(403, body=body, content_type="application/xml")
        return Answer(200, {}, self.repository(name).blobs[digest])

    # Who asks

    def authorize(self, request: Request, access: Access | None) -> None:
        """Raise the 401 or 403 of a request without the right to what it asks for."""
        given = request.headers.get("authorization", "")
        if self.manners.auth == "basic":
            user = self._user_of(given)
            if user is None:
                raise self.unknown_account()
            if access and access.action not in self.rights(user, access.name) and self.is_home(access.name):
                raise self.lacking(access)
            return
        grants = self.granted.get(given.removeprefix("Bearer "))
        if grants is None:
            raise Refused(401, "UNAUTHORIZED", "authentication required")
        if access and (access.name, access.action) not in grants:
            raise self.lacking(access)

    def _user_of(self, authorization: str) -> str | None:
        """The account of a Basic header, None where it is wrong or missing."""
        try:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        user, _, password = pair.partition(":")
        account = self.accounts.get(user)
        return user if account and account.password == password else None

    async def _token(self, request: Request, query: str) -> Answer:
        form = b"".join([chunk async for chunk in request.body()]).decode()
        if request.method == "POST" and not self.takes_forms:
            raise Refused(405, "UNSUPPORTED", "method not allowed")
        members = parse_qs(query or form)
        self.token_requests.append(members)
        user = ""
        if request.headers.get("authorization") or members.keys() & {"password", "refresh_token"}:
            found = self._user_of(request.headers.get("authorization", "")) or self._user_of_form(members)
            user = self.stranger(members) if found is None else found
        self._count += 1
        token = f"token-{self._count}"
        self.granted[token] = self.grants(user, [part for text in members.get("scope", []) for part in text.split()])
        return Answer(200, {"content-type": "application/json"}, json.dumps(self.token_answer(token)).encode())

    def grants(self, user: str, scopes: list[str]) -> Grants:
        """What of `scopes` the token holds: no service refuses a token because of one right that is missing."""
        wanted = [scope.split(":") for scope in scopes]
        return frozenset(
            (name, action)
            for _, name, actions in wanted
            for action in actions.split(",")
            if action in self.rights(user, name)
        )

    def _user_of_form(self, members: Mapping[str, list[str]]) -> str | None:
        user, password = members.get("username", [""])[0], members.get("password", [""])[0]
        account = self.accounts.get(user)
        return user if account and account.password == password else None

    # What is stored

    def _finish(self, name: str, session: str, digest: str) -> Answer:
        self.check_quota(self._at(name, "blobs/uploads", digest), len(self.sessions[session]))
        return super()._finish(name, session, digest)

    def _store(self, name: str, reference: str, media_type: str, raw: bytes) -> Answer:
        access = self._at(name, "manifests", reference)
        self.check_manifest(access, media_type, json.loads(raw))
        self.check_quota(access, len(raw))
        if ":" not in reference:
            self.check_tag(access, str(Digest.of(raw)))
        return super()._store(name, reference, media_type, raw)

    def _at(self, name: str, kind: str, rest: str) -> Access:
        return Access(Request("PUT", f"/v2/{name}/{kind}/{rest}", {}, {}, _nothing), name, kind, rest)

    # How it looks

    def _challenge(self, request: Request) -> str:
        match = _ROUTE.fullmatch(request.path)
        return self.challenge(Access(request, match["name"], match["kind"], match["rest"]) if match else None)

    def _refusal(self, request: Request, refused: Refused) -> Answer:
        answer = super()._refusal(request, refused)
        if isinstance(refused, Refusal):
            if refused.body is not None:
                answer = Answer(refused.status, {**answer.headers, "content-type": refused.content_type}, refused.body)
            elif refused.detail is not None:
                error = {"code": refused.code, "message": refused.words, "detail": refused.detail}
                answer.body = json.dumps({"errors": [error]}).encode()
            answer.headers |= refused.headers
        return self._dressed(answer)

    def _dressed(self, answer: Answer) -> Answer:
        if self.cookies:
            answer.headers["set-cookie"] = self.cookies[0]
        return answer


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
