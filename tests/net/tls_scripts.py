"""Every way to write a registry's address, to trust it, and for it to answer; the servers are shared. Runs in a network
namespace (`test_tls_matrix.py`), in which 10.66.0.1 is this host, and prints what came of each as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from app.errors import RegistryError
from app.net.urls import parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings

FOLDER = Path(os.environ.get("HOSTS", "/nonexistent/hosts")).parent
SCHEMES = ("", "http://", "https://")
HOSTS = ("localhost", "127.0.0.1", "10.66.0.1")
TRUSTS = ("ca_file", "skip", "nothing", "certs.d")
SERVERS = {"plain": 5001, "right": 5002, "wrong-authority": 5003, "wrong-name": 5004, "expired": 5005}


@dataclass
class Plain:
    """Answers 200 to what is HTTP, 400 to what is not, and counts the first."""

    requests: int = field(default=0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if not line.endswith(b"HTTP/1.1\r\n"):
                    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                self.requests += 1
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()


def _context(name: str) -> ssl.SSLContext | None:
    if name == "plain":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / f"{name}.pem")
    return context


async def _outcome(url: str, trust: str) -> str:
    settings = HttpRegistrySettings(
        parse_registry_url(url, "url"),
        ca_file=FOLDER / "ca.pem" if trust == "ca_file" else None,
        skip_verify=trust == "skip",
        certificate_folders=(FOLDER / "certs.d",) if trust == "certs.d" else (),
    )
    async with HttpRegistry(settings) as registry:
        try:
            return f"ok {(await registry.check()).address.partition(':')[0]}"
        except RegistryError as error:
            return f"{error.code} {error}"


async def main() -> None:
    plain = Plain()
    told = {}
    async with AsyncExitStack() as stack:
        for name, port in SERVERS.items():
            serve = plain.serve if name == "plain" else Plain().serve
            server = await asyncio.start_server(serve, ("0.0.0.0", "::"), port, ssl=_context(name))
            await stack.enter_async_context(server)
        for host, port in product(HOSTS, SERVERS.values()):
            folder = FOLDER / "certs.d" / f"{host}:{port}"
            folder.mkdir(parents=True)
            (folder / "ca.crt").write_bytes((FOLDER / "ca.pem").read_bytes())
        for scheme, host, trust, (name, port) in product(SCHEMES, HOSTS, TRUSTS, SERVERS.items()):
            before = plain.requests
            outcome = await _outcome(f"{scheme}{host}:{port}", trust)
            told["|".join((scheme, host, trust, name))] = (outcome, plain.requests - before)
    print(json.dumps(told))


if __name__ == "__main__":
    # reading the system's authorities, which sign nothing here, would take most of the time
    os.environ |= {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": str(FOLDER)}
    asyncio.run(main())
