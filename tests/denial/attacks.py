"""The attacks: each a coroutine that goes on until it is cancelled. Run as a process of its own:

    python -m tests.denial.attacks PORT FOLDER SECONDS [ATTACK ...]

Four tokens attack, `bad-0` to `bad-3`, and strangers from addresses of their own. What came of the requests goes to
standard output as JSON when the time is up."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import lzma
import os
import random
import ssl
import sys
import tarfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

from tests.archive.test_window import zstd_of
from tests.denial.client import Client
from tests.support.archives import docker_save, entry, image, oci_image, oci_index, oci_layout, tagged

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = TUS | {"Content-Type": "application/offset+octet-stream"}
JSON = {"Content-Type": "application/json"}
MIB = 1 << 20
Attack = Callable[[Client, Path], Coroutine[None, None, None]]
STRANGERS: list[Attack] = []
TOKENS: list[Attack] = []


def stranger(attack: Attack) -> Attack:
    STRANGERS.append(attack)
    return attack


def with_token(attack: Attack) -> Attack:
    TOKENS.append(attack)
    return attack


async def pause(seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


@stranger
async def endless_heads(client: Client, _folder: Path) -> None:
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(20), client.connection() as (_, writer):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
                for _ in range(30):
                    writer.write(b"X: y\r\n" * (MIB // 6))
                    await writer.drain()
        await pause(0.2)


@stranger
async def unread_pipelines(client: Client, _folder: Path) -> None:
    request = client.head("GET", "/healthz", {}, None)
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(20), client.connection() as (_, writer):
                for _ in range(10):
                    writer.write(request * (MIB // len(request)))
                    await writer.drain()
        await pause(0.2)


@stranger
async def idle_connections(client: Client, _folder: Path) -> None:
    """As many as one address gets, and more; each asks once and then says nothing."""

    async def hold() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                async with client.connection() as (reader, writer):
                    writer.write(client.head("GET", "/healthz", {}, None))
                    while await reader.read(1024):
                        await pause(25)
                        writer.write(client.head("GET", "/healthz", {}, None))
            await pause(2)

    await asyncio.gather(*(hold() for _ in range(1_200)))


@stranger
async def silent_connections(client: Client, _folder: Path) -> None:
    async def hold() -> None:
        while True:
            with suppress(OSError):
                async with client.connection() as (reader, _):
                    await reader.read(1)
            await pause(1)

    await asyncio.gather(*(hold() for _ in range(400)))


@stranger
async def endless_handshakes(client: Client, _folder: Path) -> None:
    """Connections that never begin their handshake, and that stop in the middle of it."""
    begun = bytes.fromhex("16030102000100")  # a record of 512 bytes with a ClientHello, of which no more comes

    async def hold(first: bytes) -> None:
        while True:
            with suppress(OSError):
                async with client.plain_connection() as (reader, writer):
                    writer.write(first)
                    await reader.read(1)
            await pause(0.5)

    await asyncio.gather(*(hold(begun if number % 2 else b"") for number in range(600)))


@stranger
async def unread_bundles(client: Client, _folder: Path) -> None:
    async def hold() -> None:
        while True:
            with suppress(OSError):
                async with client.connection() as (_, writer):
                    writer.write(client.head("GET", "/docs/swagger-ui-bundle.js", {}, None))
                    await pause(20)

    await asyncio.gather(*(hold() for _ in range(100)))


@stranger
async def made_up_tokens(client: Client, _folder: Path) -> None:
    """Each signed by a key that nobody knows, so that the issuer is asked for it."""

    async def keep_asking() -> None:
        while True:
            head = json.dumps({"alg": "ES256", "kid": os.urandom(8).hex()}).encode()
            client.token = ".".join(base64.urlsafe_b64encode(part).decode() for part in (head, b"{}", bytes(66)))
            await client.ask("GET", "/jobs")
            await pause(0.2)

    await asyncio.gather(*(keep_asking() for _ in range(10)))


@with_token
async def globs(client: Client, _folder: Path) -> None:
    names = [f"team/app-{number}:{'ab' * 20}" for number in range(900)]
    content = docker_save([tagged(image({"x": b"1"}, label=client.token), *names)])
    held = {**STREAM, "Upload-Length": str(len(content))}
    _, headers, _ = await client.ask("POST", "/uploads?hold=true&dry_run=true", content, held)
    path = f"{headers.get('location', '/uploads/none')}/push?dry_run=true"
    patterns = json.dumps({"images": ["*[ab]*[ab]*" + "x" * 40] * 1000}).encode()
    query = "&".join(["images=*%5Bab%5D*%5Bab%5D*"] * 400)
    while True:
        await asyncio.gather(*(client.ask("POST", path, patterns, JSON) for _ in range(4)))
        await client.ask("PUT", f"/push/x.tar?{query}", content)
        await pause(0.5)


@with_token
async def paths(client: Client, folder: Path) -> None:
    body = json.dumps({"paths": [f"{folder}/paths/*/{number}*x*.tar" for number in range(400)]}).encode()
    while True:
        await asyncio.gather(*(client.ask("POST", "/push", body, JSON) for _ in range(7)))
        await pause(0.5)


@with_token
async def fat_jobs(client: Client, _folder: Path) -> None:
    """Documents of 22 images with 900 long names, retried and cancelled, and looked at by many who do not read."""
    images = [
        tagged(image({"x": bytes([number])}), *(f"t/{'n' * 200}-{number}:{name}" for name in range(900)))
        for number in range(22)
    ]
    content = gzip.compress(docker_save(images))

    async def unread(path: str) -> None:
        with suppress(OSError):
            async with client.connection() as (_, writer):
                writer.write(client.head("GET", path, {}, None))
                await pause(10)

    while True:
        _, _, answer = await client.ask("POST", "/push?dry_run=true", content)
        with suppress(ValueError, KeyError):
            job = f"/jobs/{json.loads(answer)['id']}"
            await client.ask("POST", f"{job}/cancel")
            await client.ask("POST", f"{job}/retry")
            await asyncio.gather(*(unread(job) for _ in range(40)))
        for query in ("limit=500", "limit=50&brief=true"):
            await asyncio.gather(*(client.ask("GET", f"/jobs?{query}") for _ in range(4)))
        await pause(1)


def tar_of(count: int, size: int = 0) -> bytes:
    """A tar of many members."""
    listening = io.BytesIO()
    with tarfile.open(fileobj=listening, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"layer-{number:06}")
            member.size = size
            archive.addfile(member, io.BytesIO(bytes(size)))
    return listening.getvalue()


async def trickle(client: Client, path: str, content: bytes, first: int) -> None:
    """Send the beginning at once, and 1 KiB a second of the rest."""
    while True:
        with suppress(OSError):
            async with client.connection() as (reader, writer):
                writer.write(client.head("POST", path, {}, len(content)) + content[:first])
                for at in range(first, len(content), 1500):
                    await writer.drain()
                    await pause(1)
                    if reader.at_eof():
                        break
                    writer.write(content[at : at + 1500])
        await pause(2)


@with_token
async def large_windows(client: Client, _folder: Path) -> None:
    noise = docker_save([tagged(image({"noise": random.Random(1).randbytes(3 * MIB)}), "team/app:1")])
    archives = (zstd_of(26, noise), lzma.compress(noise, preset=9))
    await asyncio.gather(*(trickle(client, "/push", archives[turn % 2], 2 * MIB) for turn in range(24)))


@with_token
async def slow_uploads(client: Client, _folder: Path) -> None:
    content = tar_of(2_000, 512)
    await asyncio.gather(*(trickle(client, "/push", content, 100_000) for _ in range(400)))


@with_token
async def watchers(client: Client, _folder: Path) -> None:
    _, headers, _ = await client.ask("POST", "/uploads", headers={**TUS, "Upload-Length": "9"})
    job = headers.get("tarmac-job", "/jobs/none")

    async def hold(path: str) -> None:
        while True:
            with suppress(OSError):
                async with client.connection() as (reader, writer):
                    writer.write(client.head("GET", path, {}, None))
                    while await reader.read(1 << 16):
                        continue
            await pause(3)

    await asyncio.gather(*(hold(f"{job}/events") for _ in range(200)), *(hold(f"{job}?wait=600") for _ in range(200)))


@with_token
async def many_uploads(client: Client, _folder: Path) -> None:
    """Empty ones with large metadata, and parts that are complete."""
    metadata = "filename " + "QUFB" * 5_000
    while True:
        empty = {**TUS, "Upload-Metadata": metadata, "Upload-Length": "9"}
        part = {**STREAM, "Upload-Metadata": metadata, "Upload-Length": "0", "Upload-Concat": "partial"}
        await asyncio.gather(*(client.ask("POST", "/uploads", headers=fields) for fields in (empty, part) * 5))
        await pause(0.1)


@with_token
async def idle_indexes(client: Client, _folder: Path) -> None:
    content = tar_of(90_000)
    while True:
        for _ in range(20):
            fields = {**STREAM, "Upload-Length": str(len(content) + MIB)}
            await client.ask("POST", "/uploads", content, fields)
        await pause(10)


@with_token
async def large_json(client: Client, _folder: Path) -> None:
    body = json.dumps({"paths": ["x"] * 200_000}).encode()[: MIB - 10]
    flat = json.dumps({"paths": ["x" * 1_000] * 900}).encode()
    while True:
        await asyncio.gather(*(client.ask("POST", "/push", content, JSON) for content in (body, flat) * 10))
        await pause(0.2)


@with_token
async def registries(client: Client, _folder: Path) -> None:
    while True:
        await asyncio.gather(*(client.ask("GET", "/registries") for _ in range(20)))
        await pause(0.2)


@with_token
async def pulls(client: Client, _folder: Path) -> None:
    """Indexes that hold many others, and questions for what is no manifest."""
    node = oci_image(image({"x": b"pulled"}))
    parts = [oci_index([node], annotations={"n": str(number)}) for number in range(1_500)]
    whole = oci_index(parts)
    await client.ask("POST", "/push?wait=60&tag=team/pulled:1", oci_layout([entry(whole, ref="pulled:1")]))
    digest = list(node.blobs)[-1]
    while True:
        await asyncio.gather(*(client.ask("GET", f"/v2/team/pulled/manifests/{digest}") for _ in range(40)))
        await pause(0.2)


def trusting(folder: Path) -> ssl.SSLContext | None:
    """Return how clients connect to the service: by TLS, if it has a certificate."""
    authority = folder / "ca.pem"
    return ssl.create_default_context(cafile=authority) if authority.exists() else None


async def run(port: int, folder: Path, seconds: float, only: list[str]) -> dict[str, dict[str, int]]:
    clients: dict[str, Client] = {}
    tls = trusting(folder)
    tasks: list[asyncio.Task[None]] = []
    for number, attack in enumerate([*STRANGERS, *TOKENS]):
        name = attack.__name__
        token = f"token-of-bad-{number % 4}" if attack in TOKENS else ""
        if not only or name in only:
            clients[name] = Client(port, f"127.0.1.{number + 1}", token, tls)
            tasks.append(asyncio.create_task(attack(clients[name], folder)))
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in ended:
        task.result()
    return {name: dict(sorted(client.answers.items())) for name, client in clients.items()}


if __name__ == "__main__":
    os.nice(10)
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))))
