"""Pushes a small image to a registry that meets a fault, and judges what came of it: the image is right, or the error
is; no tag is wrong, no upload session and no connection is left, and the password is nowhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import socket
from typing import Any

from app.net.urls import parse_registry_url
from app.net.warnings import collect_warnings
from app.push import Destination, Event, ImageChanged, NoticeAdded, PushOptions, execute, make_plan
from app.registry.auth import Credentials, FixedCredentials
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import VerifyingRegistry
from tests.push.given import Memory, opened
from tests.registry.faults.script import Fault, Script
from tests.support.archives import entry, image, oci_image, oci_layout
from tests.support.lapse import Lapse
from tests.support.memory_registry import PASSWORD, USER, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry

NODE = oci_image(image({"large": random.Random(1).randbytes(300_000)}, {"small": b"x"}), compression="gzip")
TAR = oci_layout([entry(NODE, ref="team/app:1.0"), entry(NODE, ref="other/app:1.0")])
BLOBS = {str(digest) for digest in opened(TAR).blobs} - {str(NODE.digest)}
REPOSITORIES = ("team/app", "other/app")
SECRETS = (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), "token-")
MOST_SECONDS = 90.0  # from the first response to the end of an image that is refused
LONGEST = 3600.0  # seconds a push may wait in all, by its own clock

_resolve = socket.getaddrinfo


def resolving(host: str, *more: Any, **named: Any) -> Any:
    """No name server is asked."""
    if host == "nowhere.invalid":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve(host, *more, **named)


async def push_against(fault: Fault, registry: MemoryRegistry) -> tuple[list[Event], Lapse]:
    """Push to `registry`, which has the manners of `fault`."""
    lapse, events = Lapse(), list[Event]()
    plan = make_plan([opened(TAR)], PushOptions.parse({}), Destination("default", "r.local"))
    script = Script(fault, registry)
    async with ScriptedRegistry(route=script, drops=fault.drops) as server:
        settings = HttpRegistrySettings(
            parse_registry_url(server.url, "url"), credentials=FixedCredentials(Credentials(USER, PASSWORD))
        )
        async with HttpRegistry(settings, pause=lapse.pause) as http:
            retrying = RetryingRegistry(http, pause=lapse.pause, is_answering=http.is_answering)
            verifying = VerifyingRegistry(retrying, fault.verification, lapse.pause)
            with collect_warnings(lambda text: events.append(NoticeAdded(text))):
                await execute(plan, [Memory(TAR)], verifying, events.append)
        async with asyncio.timeout(20):
            await server.all_closed()
        assert script.met, "no request met the fault"
    return events, lapse


async def check_outcome(fault: Fault, registry: MemoryRegistry, events: list[Event], lapse: Lapse) -> None:
    (last,) = [event for event in events if isinstance(event, ImageChanged)][-1:]
    told = "\n".join(str(event) for event in events)
    ended = last.problem.code if last.problem else str(last.state)
    assert ended == fault.ends, told
    if last.problem is not None:
        assert last.problem.outage is fault.outage, told
        assert fault.outage or lapse.now <= MOST_SECONDS
    assert re.search(fault.says, told), told
    await check_content(fault, registry)
    assert not [secret for secret in SECRETS if secret in told]
    assert lapse.now < LONGEST


async def check_content(fault: Fault, registry: MemoryRegistry) -> None:
    """What the registry has can be pulled and is right, and no upload session is left."""
    for name in REPOSITORIES:
        await registry.pull(name)
    for name, repository in registry.repositories.items():
        assert set(repository.tags.items()) <= {("1.0", str(NODE.digest))}, name
        for digest, content in repository.blobs.items():
            assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    if fault.ends == "pushed":
        for name in REPOSITORIES:
            repository = registry.repositories[name]
            assert repository.tags == {"1.0": str(NODE.digest)}
            assert set(repository.blobs) >= BLOBS
    assert len(registry.open_sessions()) <= fault.orphans, registry.requests
