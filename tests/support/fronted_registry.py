"""A real registry behind a front in this process: an ASGI application like `MemoryRegistry`, which asks for tokens, and
sends everything else on to a `docker-registry`, byte for byte, as it comes.

async with FrontedRegistry(docker_registry, Manners(auth="bearer")) as registry:
    async with ScriptedRegistry(route=lambda seen: served(registry)) as front: ...
await registry.repositories["team/app"].tags["1.0"]        # what can be pulled, after `await registry.pull("team/app")`
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.support.docker_registry import DockerRegistry
from tests.support.leaping_loop import LeapingLoop
from tests.support.memory_registry import Answer, Manners, MemoryRegistry, Refused, Repository, Request

_OF_ONE_LINE = frozenset({"connection", "transfer-encoding", "keep-alive", "authorization"})
_ACCEPT = "application/vnd.oci.image.manifest.v1+json"


class FrontedRegistry(MemoryRegistry):
    """Of `manners` those of the authorization count, and that a way of uploading is refused."""

    def __init__(self, behind: DockerRegistry, manners: Manners | None = None) -> None:
        super().__init__(manners)
        self._behind = behind
        self._client = httpx.AsyncClient(base_url=behind.url, timeout=None, trust_env=False)
        self._folder = behind.storage / "docker/registry/v2/repositories"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def pull(self, name: str) -> None:
        """Note in `repositories` what the registry has under the tags of `name`, as it can be pulled."""
        found = Repository()
        listed = await self._client.get(f"/v2/{name}/tags/list")
        for tag in (listed.json().get("tags") or ()) if listed.is_success else ():
            manifest = await self._client.get(f"/v2/{name}/manifests/{tag}", headers={"Accept": _ACCEPT})
            assert manifest.is_success, manifest.text
            found.tags[tag] = manifest.headers["Docker-Content-Digest"]
            found.manifests[found.tags[tag]] = (manifest.headers["Content-Type"], manifest.content)
            document = json.loads(manifest.content)
            for blob in (document["config"], *document["layers"]):
                pulled = await self._client.get(f"/v2/{name}/blobs/{blob['digest']}")
                assert pulled.is_success, pulled.text
                found.blobs[blob["digest"]] = pulled.content
        self.repositories[name] = found

    def open_sessions(self) -> list[str]:
        """Without those that it was asked to end: distribution 2 cannot end one whose body was cut."""
        ended = {path.rpartition("/")[2] for method, path in self.requests if method == "DELETE"}
        return [path.name for path in self._folder.glob("**/_uploads/*") if path.name not in ended]

    def lose_sessions(self) -> None:
        self._delete("**/_uploads/*")

    def lose_blobs(self) -> None:
        self._delete("team/app/_layers")

    def lose_one_blob(self) -> None:
        links = list(self._folder.glob("team/app/_layers/sha256/*"))
        shutil.rmtree(max(links, key=self._size_of))

    def forget_tag(self) -> None:
        self._delete("team/app/_manifests/tags")

    def _size_of(self, link: Path) -> int:
        blob = self._folder.parent / "blobs/sha256" / link.name[:2] / link.name / "data"
        return blob.stat().st_size if blob.exists() else 0

    def _delete(self, pattern: str) -> None:
        for path in list(self._folder.glob(pattern)):
            shutil.rmtree(path)

    async def _answer(self, request: Request, query: str) -> Answer:
        if request.path == "/token":
            return await self._token(request, query)
        self._authorize(request)
        self._refuse_way(request)
        with _still():
            return await self._forwarded(request, query)

    def _refuse_way(self, request: Request) -> None:
        """As a registry or a proxy refuses it that takes blobs in another way."""
        manners, length = self.manners, int(request.headers.get("content-length", "0"))
        if request.method not in {"PUT", "PATCH"} or "/blobs/uploads/" not in request.path:
            return
        way = "put" if request.method == "PUT" else "chunks" if "content-range" in request.headers else "patch"
        if length and not getattr(manners, way):
            raise Refused(*manners.refusal)
        if manners.most is not None and length > manners.most:
            raise Refused(manners.too_large, "", "too large")

    async def _forwarded(self, request: Request, query: str) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name not in _OF_ONE_LINE}
        has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
        response = await self._client.request(
            request.method,
            f"{request.path}?{query}" if query else request.path,
            headers=headers,
            content=_pieces(request) if has_body else None,
        )
        kept = {name: value for name, value in response.headers.items() if name not in _OF_ONE_LINE}
        return Answer(response.status_code, kept, response.content)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.body():
        if piece:
            yield piece


def _still() -> AbstractContextManager[None]:
    """While the other process has something to do, no time passes that it does not need."""
    loop = asyncio.get_running_loop()
    return loop.still() if isinstance(loop, LeapingLoop) else nullcontext()
