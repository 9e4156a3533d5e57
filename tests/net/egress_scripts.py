"""Every way in which a registry can send a client somewhere, to every kind of inner address, with listeners there that
count who comes. Runs in a network namespace (`test_egress.py`) and prints what came of it as JSON."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from unittest.mock import patch

from app.errors import RegistryError
from app.net.backoff import TimeSource
from app.net.urls import Origin, parse_registry_url
from app.oci import Descriptor, Digest
from app.registry.auth import Credentials, FixedCredentials
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer

PUBLIC = "8.8.8.8"
INNER = ("127.0.0.1", "::1", "169.254.169.254", "10.66.0.1", "172.16.0.1", "192.168.66.1", "100.100.100.200",
         "fd00:ec2::254", "168.63.129.16")  # fmt: skip
NAMES = {
    "metadata.test": ("169.254.169.254",),
    "inner.test": ("10.66.0.1",),
    "loop.test": ("127.0.0.1",),
    "six.test": ("::1",),
    "unique.test": ("fd00:ec2::254",),
    "wire.test": ("168.63.129.16",),
    "mixed.test": (PUBLIC, "10.66.0.1"),
    "public.test": (PUBLIC,),
}
PORTS = (80, 443, 8080)
WRITTEN = (
    *(f"[{item}]" if ":" in item else item for item in INNER),
    *(name for name in NAMES if name != "public.test"),
    "localhost", "a.localhost", "localhost.", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "0.0.0.0", "[::]",
    "10.66.1", "[::ffff:10.66.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::a42:1]", "[2002:a42:1::]",
    "INNER.test", "inner.test.",
)  # fmt: skip
MANIFEST = b"{}"
DESCRIPTOR = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(MANIFEST), len(MANIFEST))


class Unsized(BytesContent):
    """Content that is streamed: its digest is known when it has been read."""

    @property
    def digest(self) -> Digest | None:
        return Digest.of(self.data) if self.reads else None

    @property
    def size(self) -> int | None:
        return len(self.data) if self.reads else None


def _session(seen: Seen) -> str:
    return f"http://{seen.headers['host']}/v2/a/blobs/uploads/1"


def _is_upload(seen: Seen) -> bool:
    return seen.method == "POST" and "uploads" in seen.path


def _challenge(realm: str) -> Step:
    return answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})


def _own_token(seen: Seen, target: str, status: int) -> Step | None:
    if seen.path == "/token":
        return answer(status, {"Location": target})
    return _challenge(f"http://{seen.headers['host']}/token")


Route = Callable[[Seen, str], Step | None]
WAYS: dict[str, Route] = {
    "realm": lambda seen, target: _challenge(target),
    "realm-redirect": lambda seen, target: _own_token(seen, target, 302),
    "realm-redirect-kept": lambda seen, target: _own_token(seen, target, 307),
    "ping": lambda seen, target: answer(302, {"Location": target}) if seen.path == "/v2/" else None,
    "location": lambda seen, target: answer(202, {"Location": target}) if _is_upload(seen) else None,
    "mount": lambda seen, target: (
        answer(202, {"Location": target if "mount=" in seen.target else _session(seen)}) if _is_upload(seen) else None
    ),
    "patch-location": lambda seen, target: answer(202, {"Location": target}) if seen.method == "PATCH" else None,
    "put-redirect": lambda seen, target: answer(307, {"Location": target}) if seen.method == "PUT" else None,
    "patch-redirect": lambda seen, target: answer(308, {"Location": target}) if seen.method == "PATCH" else None,
    "post-redirect": lambda seen, target: answer(307, {"Location": target}) if seen.method == "POST" else None,
    "head-redirect": lambda seen, target: answer(302, {"Location": target}) if seen.method == "HEAD" else None,
    "get-redirect": lambda seen, target: (
        answer(301, {"Location": target}) if seen.method == "GET" and seen.path != "/v2/" else None
    ),
    "delete-redirect": lambda seen, target: answer(308, {"Location": target}) if seen.method == "DELETE" else None,
    "chain": lambda seen, target: answer(302, {"Location": target if seen.path == "/hop" else "/hop"})
    if seen.method in {"HEAD", "GET"} and seen.path != "/v2/"
    else None,
}  # fmt: skip


def _otherwise(seen: Seen) -> Step:
    """A registry that has nothing and takes everything."""
    if _is_upload(seen):
        return answer(202, {"Location": _session(seen)})
    return answer(
        {"PATCH": 202, "PUT": 500, "DELETE": 204, "HEAD": 404}.get(seen.method, 404 if seen.path != "/v2/" else 200)
    )


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


async def use(server: ScriptedRegistry, *, host: str = "127.0.0.1", allowed: str = "") -> list[str]:
    """Every verb once, with credentials; the codes of the errors."""
    settings = HttpRegistrySettings(
        parse_registry_url(f"http://{host}:{server.port}", "url"),
        credentials=FixedCredentials(Credentials("user", "password")),
        allowed_origins=frozenset({Origin.of(allowed, "it")}) if allowed else frozenset(),
    )
    codes = []
    async with HttpRegistry(settings, pause=TimeSource(sleep=no_wait)) as registry:
        for verb in (
            registry.check(),
            registry.blob_exists("a", Digest.of(b"x")),
            registry.mount_blob("a", Digest.of(b"x"), "b"),
            registry.push_blob("a", BytesContent(b"content")),
            registry.push_blob("a", Unsized(b"content")),
            registry.push_manifest("a", "1", (DESCRIPTOR, MANIFEST)),
            registry.find_manifest("a", "1"),
            registry.read_manifest("a", "1"),
        ):
            try:
                await verb
            except RegistryError as error:
                codes.append(error.code)
    return codes


class Canaries:
    """Listeners at every address and port; `seen` counts who came."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    async def listen(self, stack: AsyncExitStack) -> None:
        for address in (*INNER, PUBLIC):
            for port in PORTS:
                server = await asyncio.start_server(self._noticing(address), address, port)
                stack.callback(server.close)

    def _noticing(self, address: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def notice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.seen[address] += 1
            writer.close()

        return notice


async def attempt(way: str, target: str, *, host: str = "127.0.0.1", allowed: str = "") -> list[str]:
    def route(seen: Seen) -> Step:
        return WAYS[way](seen, target) or _otherwise(seen)

    async with ScriptedRegistry(route=route, ping=True) as server:
        return await use(server, host=host, allowed=allowed)


async def main() -> None:
    canaries, refused, inner = Canaries(), Counter[str](), dict[str, dict[str, int]]()
    async with AsyncExitStack() as stack:
        await canaries.listen(stack)
        for way in WAYS:
            for number, host in enumerate(WRITTEN):
                port = PORTS[number % len(PORTS)]
                scheme = "https" if port == 443 else "http"
                refused[way] += len(await attempt(way, f"{scheme}://{host}:{port}/x"))
            if canaries.seen:
                inner[way] = dict(canaries.seen)
            canaries.seen.clear()
        await attempt("realm", "http://public.test:8080/x")
        await attempt("location", f"http://{PUBLIC}:8080/x")
        public = dict(canaries.seen)
        canaries.seen.clear()
        await attempt("realm", "http://inner.test:8080/x", allowed="http://inner.test:8080")
        listed = dict(canaries.seen)
    print(json.dumps({"inner": inner, "refused": refused, "public": public, "listed": listed}))


if __name__ == "__main__":
    # reading the system's authorities for every script would take most of the time
    with patch("ssl.create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        asyncio.run(main())
