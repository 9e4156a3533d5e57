"""A service with four tokens, and what its owner made: as much anew as a cell uses up."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx

from app.jobs.request import JobRequest
from app.jobs.sources.paths import AllowedRoots
from app.push import PushOptions
from tests.api.conftest import Served
from tests.support.archives import Node, docker_save, entry, image, oci_image, oci_layout, tagged

Made = TypeVar("Made")
TUS: dict[str, Any] = {"Tus-Resumable": "1.0.0"}
STREAM: dict[str, Any] = TUS | {"Content-Type": "application/offset+octet-stream"}
CALLERS = ("nobody", "owner", "another", "reader", "admin")
HOME = {"owner": "team/a", "another": "team/b", "admin": "team/c", "reader": "team/d", "nobody": "team/e"}
TOKENS = {caller: f"canary-token-of-{caller}" for caller in CALLERS if caller != "nobody"}
RIGHTS = {"owner": "push:team/a", "another": "push:team/b", "reader": "read", "admin": "admin"}


def tokens_file() -> str:
    lines = (f"{name}:{hashlib.sha256(TOKENS[name].encode()).hexdigest()}:{RIGHTS[name]}" for name in RIGHTS)
    return "\n".join(lines) + "\n"


def archive(text: str) -> bytes:
    return docker_save([tagged(image({"file": text.encode()}), "example.com/app:1")])


@dataclass(slots=True)
class Scene:
    """`registry`: the URL at which pushed images are read, None: the service itself is the store."""

    served: Served
    folder: Path
    registry: str | None
    layer: bytes = field(default_factory=lambda: os.urandom(9_000))
    _kept: dict[tuple[str, str], Any] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)

    async def ask(self, caller: str, method: str, path: str, body: bytes = b"", **headers: Any) -> httpx.Response:
        fields = {**({"Authorization": f"Bearer {TOKENS[caller]}"} if caller in TOKENS else {}), **headers}
        return await self.served.client.request(method, path, content=body, headers=fields)

    def number(self) -> int:
        return next(self._numbers)

    async def kept(self, name: tuple[str, str], make: Callable[[Scene], Awaitable[Made]]) -> Made:
        """Return what `make` made before under this name, or makes now."""
        if name not in self._kept:
            self._kept[name] = await make(self)
        made: Made = self._kept[name]
        return made

    def use_up(self, name: tuple[str, str]) -> None:
        del self._kept[name]

    async def push(self, caller: str, tag: str, query: str = "", body: bytes = b"", **headers: Any) -> httpx.Response:
        content = body or archive(str(self.number()))
        return await self.ask(caller, "POST", f"/push?wait=30&tag={tag}{query}", content, **headers)

    async def pushed(self, tag: str = "team/a/app:1") -> str:
        """Return the path of an ended job of the owner."""
        answer = await self.push("owner", tag)
        assert answer.status_code == 200, answer.text
        return f"/jobs/{answer.json()['id']}"

    async def delivery(self) -> str:
        """Return the path of a delivery of the owner with an ended job."""
        answer = await self.push("owner", f"team/a/delivered:{self.number()}", f"&delivery=disk-{self.number()}")
        assert answer.status_code == 200, answer.text
        return f"/deliveries/{answer.json()['delivery']}"

    async def failed(self) -> str:
        """Return the path of a failed job of the owner, whose archive is kept."""
        await self.kept(("tag", "taken"), lambda scene: scene.pushed("team/a/taken:1"))
        answer = await self.push("owner", "team/a/taken:1", "&on_existing_tag=error")
        assert answer.json()["code"] == "tag_exists", answer.text
        return f"/jobs/{answer.json()['job']['id']}"

    async def upload(self, **headers: Any) -> httpx.Response:
        """Begin an upload of the owner; its Location and Tarmac-Job are what is wanted."""
        answer = await self.ask("owner", "POST", "/uploads", **{**TUS, "Upload-Length": "9", **headers})
        assert answer.status_code == 201, answer.text
        return answer

    async def held(self) -> str:
        """Return the path of an upload whose archive is held, and that no job reads."""
        content = archive(str(self.number()))
        path = f"/uploads?hold=true&dry_run=true&tag=team/a/held:{self.number()}"
        begun = await self.ask("owner", "POST", path, content, **{**STREAM, "Upload-Length": str(len(content))})
        job = await self.ask("owner", "GET", f"{begun.headers['tarmac-job']}?wait=30")
        assert job.json()["state"] == "succeeded", job.text
        location: str = begun.headers["location"]
        return location

    async def part(self) -> str:
        content = archive("part")
        more = {"Upload-Length": str(len(content)), "Upload-Concat": "partial"}
        begun = await self.ask("owner", "POST", "/uploads", content, **{**STREAM, **more})
        location: str = begun.headers["location"]
        return location

    async def secret(self) -> tuple[Node, str]:
        """Return an image that the owner has pushed, through the staging repository if there is one, and the digest of
        its layer."""
        return await self.kept(("blob", "secret"), Scene._secret)

    async def _secret(self) -> tuple[Node, str]:
        node = oci_image(image({"secret": self.layer}))
        answer = await self.push("owner", "team/a/secret:1", body=oci_layout([entry(node, ref="x:1")]))
        assert answer.status_code == 200, answer.text
        return node, list(node.blobs)[-1]

    async def read(self, caller: str, repository: str, digest: str) -> int:
        """Return the status for a blob, as `caller` sees the store, or anybody the registry."""
        path = f"/v2/{repository}/blobs/{digest}"
        if self.registry is None:
            return (await self.ask(caller, "GET", path)).status_code
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.registry}{path}")).status_code

    async def watched(self) -> str:
        """Return the path of an ended job of a watched file."""
        file = self.folder / f"watched-{self.number()}.tar"
        file.write_bytes(archive(file.name))
        service = self.served.app.state.context.service
        job = await service.submit_paths(
            JobRequest(PushOptions(), paths=(str(file),)), watched=AllowedRoots((self.folder,))
        )
        await service.wait(job.id, 30)
        return f"/jobs/{job.id}"
