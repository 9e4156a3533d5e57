"""Registries at private, public and loopback addresses that name token services everywhere, with listeners there that
give tokens and note who asked. Runs in a network namespace (`test_site.py`) and prints what came of it as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.errors import RegistryError
from app.net.backoff import TimeSource
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.auth import Credentials, FixedCredentials
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer

PORT = 8080
REGISTRY, BESIDE, FAR, PUBLIC, UNIQUE = "10.66.0.5", "10.66.0.6", "10.66.0.7", "8.8.8.8", "fd12::6"
LINK, METADATA, AWS, AZURE, ALIBABA = (
    "169.254.1.1", "169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200",
)  # fmt: skip
ADDRESSES = (REGISTRY, BESIDE, FAR, PUBLIC, UNIQUE, LINK, METADATA, AWS, AZURE, ALIBABA)
NAMES = {
    "registry.corp.test": (REGISTRY,),
    "auth.corp.test": (BESIDE,),
    "six.corp.test": (UNIQUE,),
    "public.corp.test": (PUBLIC,),
    "loop.corp.test": ("127.0.0.1",),
    "link.corp.test": (LINK,),
    "metadata.corp.test": (METADATA,),
    "aws.corp.test": (AWS,),
    "azure.corp.test": (AZURE,),
    "alibaba.corp.test": (ALIBABA,),
    "mixed.corp.test": (BESIDE, METADATA),
    "auth.other.test": (FAR,),
    "registry.lan": (REGISTRY,),
    "auth.lan": (BESIDE,),
    "registry.co.uk": (REGISTRY,),
    "stranger.co.uk": (FAR,),
    "outside.corp.test": (PUBLIC,),
    "here.corp.test": ("127.0.0.1",),
}
# registry, host of the realm -> the address that is asked for a token, None for none
CASES: dict[tuple[str, str], str | None] = {
    ("registry.corp.test", "registry.corp.test"): REGISTRY,
    ("registry.corp.test", "auth.corp.test"): BESIDE,
    ("registry.corp.test", "AUTH.corp.test"): BESIDE,
    ("registry.corp.test", "six.corp.test"): UNIQUE,
    ("registry.corp.test", "public.corp.test"): PUBLIC,
    ("registry.lan", "auth.lan"): BESIDE,
    (REGISTRY, REGISTRY): REGISTRY,
    ("127.0.0.1", "127.0.0.1"): "127.0.0.1",
    ("here.corp.test", "here.corp.test"): "127.0.0.1",
    ("registry.corp.test", "auth.other.test"): None,
    ("registry.corp.test", BESIDE): None,
    ("registry.corp.test", "loop.corp.test"): None,
    ("registry.corp.test", "link.corp.test"): None,
    ("registry.corp.test", "metadata.corp.test"): None,
    ("registry.corp.test", "aws.corp.test"): None,
    ("registry.corp.test", "azure.corp.test"): None,
    ("registry.corp.test", "alibaba.corp.test"): None,
    ("registry.corp.test", "mixed.corp.test"): None,
    ("registry.co.uk", "stranger.co.uk"): None,
    ("registry.lan", "auth.corp.test"): None,
    (REGISTRY, BESIDE): None,
    (REGISTRY, "10.66.5"): None,
    ("127.0.0.1", "localhost"): None,
    ("127.0.0.1", "127.1"): None,
    ("127.0.0.1", REGISTRY): None,
    ("here.corp.test", "auth.corp.test"): None,
    ("here.corp.test", "loop.corp.test"): None,
    ("outside.corp.test", "auth.corp.test"): None,
    ("outside.corp.test", "loop.corp.test"): None,
}


class TokenServices:
    """Listen at every address; `asked` holds address and target of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for address in (*ADDRESSES, "127.0.0.1"):

                def route(seen: Seen, address: str = address) -> Step:
                    self.asked.append((address, seen.target))
                    if "elsewhere" in seen.target:
                        return answer(302, {"Location": f"http://auth.corp.test:{PORT}/token"})
                    return answer(200, body=b'{"token": "abc"}')

                await stack.enter_async_context(ScriptedRegistry(route=route, host=address, port=PORT))
            yield


def _registry(realm: str) -> ScriptedRegistry:
    def route(seen: Seen) -> Step:
        if seen.headers.get("authorization") != "Bearer abc":
            return answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})
        if seen.method == "HEAD":
            return answer(307, {"Location": f"http://auth.corp.test:{PORT}/blob"})
        if seen.method == "POST":
            return answer(202, {"Location": f"http://auth.corp.test:{PORT}/upload"})
        return answer(200, body=b"{}")

    return ScriptedRegistry(route=route, host="0.0.0.0", ping=True)


async def _no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


async def _said(registry: HttpRegistry) -> str:
    try:
        await registry.check()
    except RegistryError as error:
        return f"{error.code}: {error}"
    return ""


async def attempt(host: str, realm: str) -> tuple[str, int, int]:
    """What `check` says, and how many blobs could be reached and sent at the token service."""
    async with _registry(realm) as server:
        url = parse_registry_url(f"http://{host}:{server.port}", "url")
        settings = HttpRegistrySettings(url, credentials=FixedCredentials(Credentials("user", "password")))
        async with HttpRegistry(settings, pause=TimeSource(sleep=_no_wait)) as registry:
            said, done = await _said(registry), [0, 0]
            for number, verb in enumerate(
                (registry.blob_exists("a", Digest.of(b"x")), registry.push_blob("a", BytesContent(b"x")))
            ):
                try:
                    await verb
                    done[number] += 1
                except RegistryError:
                    continue
            return said, done[0], done[1]


async def main() -> None:
    services, found = TokenServices(), []
    async with services.listening():
        for registry, realm in CASES:
            said, *done = await attempt(registry, f"http://{realm}:{PORT}/token")
            found.append([registry, realm, sorted({item[0] for item in services.asked}), said, done])
            others = [target for _, target in services.asked if not target.startswith("/token")]
            assert others == [], others
            services.asked.clear()
        said, *_ = await attempt("registry.corp.test", f"http://auth.corp.test:{PORT}/elsewhere")
        redirected = [target for _, target in services.asked if target.startswith("/token")]
    print(json.dumps({"found": found, "redirected": redirected, "said": said}))


if __name__ == "__main__":
    asyncio.run(main())
