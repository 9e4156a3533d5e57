"""The sockets under httpcore, against a bare asyncio server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpcore
import pytest

from app.net.client import HttpClientSettings
from app.net.connection import MAX_UNREAD_BYTES, PROGRESS_CHECKS, Backend, Stream
from app.net.proxies import Proxies
from app.net.tls import TlsContexts, TlsFiles
from app.net.transport import Transport
from app.net.urls import parse_registry_url

pytestmark = pytest.mark.leaping


def reset(writer: asyncio.StreamWriter) -> None:
    """RST, not FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Far = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(far: Far) -> AsyncIterator[Stream]:
    done = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await far(reader, writer)
            await done.wait()
        finally:
            writer.close()

    server = await asyncio.start_server(lambda r, w: tasks.append(asyncio.create_task(serve(r, w))), "127.0.0.1", 0)
    stream = await Backend().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1], timeout=5)
    try:
        yield stream
    finally:
        await stream.aclose()
        done.set()
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_httpx_uses_these_sockets_also_for_proxies() -> None:
    proxies = Proxies(https="http://proxy.test:3128")
    url = parse_registry_url("r.local", "url")
    transport = Transport(TlsContexts(TlsFiles(), url), HttpClientSettings(url).egress, proxies)
    for proxy in (None, "http://proxy.test:3128"):
        backend = transport._make(proxy)._pool._network_backend
        assert isinstance(backend, Backend)
        assert (backend._egress is None) == (proxy is not None)


async def test_what_was_read_too_early_waits_and_the_far_end_is_slowed_down() -> None:
    sent = bytes(range(256)) * 16 * (MAX_UNREAD_BYTES >> 8)

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    async with connected(far) as stream:
        while len(stream._protocol.unread) <= MAX_UNREAD_BYTES:
            await asyncio.sleep(0)
        received = bytearray()
        while data := await stream.read(1000_000, timeout=5):
            received += data
            assert len(stream._protocol.unread) < 2 * MAX_UNREAD_BYTES
    assert received == sent


async def test_a_far_end_that_reads_late_gets_everything() -> None:
    sent = bytes(range(256)) * 64 * (MAX_UNREAD_BYTES >> 8)
    received, go, done = bytearray(), asyncio.Event(), asyncio.Event()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        while len(received) < len(sent):
            received.extend(await reader.read(1 << 20))
        done.set()

    async with connected(far) as stream, asyncio.TaskGroup() as group:
        group.create_task(stream.write(sent, timeout=5))
        while not stream._protocol.blocked:
            await asyncio.sleep(0)
        go.set()
        await done.wait()
    assert received == sent


async def test_small_requests_do_not_wait_for_an_acknowledgement() -> None:
    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with connected(far) as stream:
        assert stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_an_idle_connection_that_gets_bytes_or_its_end_is_of_no_more_use() -> None:
    go = asyncio.Event()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write_eof()

    async with connected(far) as stream:
        assert stream.get_extra_info("is_readable") is False
        assert stream.get_extra_info("ssl_object") is None
        go.set()
        assert await stream.read(10, timeout=5) == b""
        assert stream.get_extra_info("is_readable") is True
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"too late", timeout=5)
    await stream.aclose()


async def test_a_reset_is_a_read_error() -> None:
    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer)

    async with connected(far) as stream:
        await stream.write(b"x" * 100_000, timeout=5)
        with pytest.raises(httpcore.ReadError):
            await stream.read(10, timeout=5)


async def test_an_answer_before_a_reset_is_saved_from_the_kernel() -> None:
    """Without a turn of the event loop between the reset and the write that meets it, so that it is always met."""

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 413 Too Large\r\n\r\n")
        reset(writer)

    async with connected(far) as stream:
        stream._transport.pause_reading()
        await stream.write(b"x" * 100_000, timeout=5)
        with pytest.raises(httpcore.WriteError):
            await stream.write(bytes(64 << 20), timeout=5)
        assert await stream.read(100, timeout=5) == b"HTTP/1.1 413 Too Large\r\n\r\n"


async def test_what_is_acknowledged_late_does_not_double_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP acknowledges within 40 ms; what is on its way until then is no sign of life later."""

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with connected(far) as stream:
        await stream.write(b"HEAD / HTTP/1.1\r\n\r\n", timeout=5)
        unacknowledged = iter([10])
        monkeypatch.setattr(stream, "_unacknowledged_bytes", lambda: next(unacknowledged, 0))
        began = asyncio.get_running_loop().time()
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(1, timeout=300)
        assert asyncio.get_running_loop().time() - began == pytest.approx(300 * (1 + 1 / PROGRESS_CHECKS), rel=0.01)


async def test_silence_is_a_time_out() -> None:
    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    async with connected(far) as stream:
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(1, timeout=5)
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(bytes(64 << 20), timeout=5)


async def test_a_handshake_that_never_comes_is_a_time_out_and_one_cut_off_an_error() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    for far, error in ((silent, httpcore.ConnectTimeout), (rude, httpcore.ConnectError)):
        async with connected(far) as stream:
            with pytest.raises(error):
                await stream.start_tls(ssl.create_default_context(), "r.local", timeout=5)


async def test_a_name_that_cannot_be_resolved_is_a_connect_error() -> None:
    for host in ("a..b", "nowhere.invalid"):
        with pytest.raises(httpcore.ConnectError):
            await Backend().connect_tcp(host, 80, timeout=5)


async def test_connecting_takes_no_longer_than_allowed() -> None:
    with pytest.raises(httpcore.ConnectTimeout):
        await Backend().connect_tcp("127.0.0.1", 1, timeout=0)


async def test_the_backend_can_sleep() -> None:
    await Backend().sleep(0)
