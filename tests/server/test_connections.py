"""Connections are counted when they are accepted, by address, and let go when there are too many."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from app.net.addresses import share_of
from app.server import connections as door_module
from app.server.connections import LEAST_SHARE, MAX_HANDSHAKES, Accepted, ConnectionLimiter, Listening


@pytest.mark.parametrize(
    ("address", "share"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
    ],
)
def test_an_address_is_counted_by_its_site(address: str, share: str) -> None:
    assert share_of(address) == share


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pair(sockets: ExitStack) -> Accepted:
    ours, theirs = socket.socketpair()
    sockets.enter_context(theirs)
    return sockets.enter_context(Accepted(fileno=ours.detach()))


def test_an_address_has_its_share_and_others_are_let_in(sockets: ExitStack) -> None:
    limiter = ConnectionLimiter(LEAST_SHARE * 4 + 2, lambda address: address == "10.0.0.1")
    assert [limiter.admit(pair(sockets), "192.0.2.1") for _ in range(LEAST_SHARE + 2)] == [True] * LEAST_SHARE + [
        False
    ] * 2
    assert limiter.admit(pair(sockets), "192.0.2.2")
    assert all(limiter.admit(pair(sockets), "10.0.0.1") for _ in range(LEAST_SHARE * 3 + 1))
    assert not limiter.admit(pair(sockets), "192.0.2.3")
    assert not limiter.admit(pair(sockets), "10.0.0.1")


def test_a_connection_that_ends_makes_room(sockets: ExitStack) -> None:
    limiter = ConnectionLimiter(1)
    first = pair(sockets)
    first.limiter = limiter
    assert limiter.admit(first, "192.0.2.1")
    assert not limiter.admit(pair(sockets), "192.0.2.1")
    first.close()
    first.close()
    assert limiter.open == 0
    assert limiter.admit(pair(sockets), "192.0.2.1")


def test_handshakes_of_one_address_leave_those_of_another_alone(sockets: ExitStack) -> None:
    limiter = ConnectionLimiter(10_000, handshakes=True, clock=lambda: 0.0)
    honest = pair(sockets)
    limiter.admit(honest, "192.0.2.1")
    waiting = [pair(sockets) for _ in range(MAX_HANDSHAKES + 2)]
    for connection in waiting:
        limiter.admit(connection, "192.0.2.2")
    assert [is_ended(item) for item in (honest, *waiting[:4])] == [False, True, True, True, False]


def test_handshakes_that_do_not_end_make_room_for_new_ones(sockets: ExitStack) -> None:
    now = [0.0]
    limiter = ConnectionLimiter(10_000, handshakes=True, clock=lambda: now[0])
    waiting = [pair(sockets) for _ in range(MAX_HANDSHAKES + 1)]
    done = waiting[0]
    for connection in waiting:
        assert limiter.admit(connection, "192.0.2.1") or connection is not done
        if connection is done:
            limiter.end_handshake(done.fileno())
    assert [is_ended(item) for item in waiting[:3]] == [False, False, False]
    limiter.admit(pair(sockets), "192.0.2.2")
    assert [is_ended(item) for item in waiting[:3]] == [False, True, False]
    now[0] = door_module.HANDSHAKE_SECONDS
    limiter.admit(pair(sockets), "192.0.2.2")
    assert not is_ended(done)
    assert all(map(is_ended, waiting[1:]))


def is_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_many_refusals_are_one_line_a_second(sockets: ExitStack, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    limiter = ConnectionLimiter(0, clock=lambda: now[0])
    for _ in range(1000):
        limiter.admit(pair(sockets), "192.0.2.1")
        now[0] += 0.0025
    assert capsys.readouterr().out.count("refused") == 3


@pytest.fixture
def listener() -> Iterator[Listening]:
    with Listening.adopt(socket.create_server(("127.0.0.1", 0)), ConnectionLimiter(LEAST_SHARE)) as listening:
        yield listening


async def test_a_server_goes_on_when_connections_were_refused(listener: Listening) -> None:
    """Those beyond the limit are closed; when one ends, another is taken."""
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, sock=listener)
    address = listener.getsockname()
    streams = [await asyncio.open_connection(*address) for _ in range(LEAST_SHARE + 4)]
    answers = [await reader.read(5) for reader, _ in streams]
    assert answers == [b"hello"] * LEAST_SHARE + [b""] * 4
    for _, writer in streams:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    await served.wait()
    while listener.limiter is not None and listener.limiter.open:
        await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection(*address)
    assert await reader.read(5) == b"hello"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


def test_without_descriptors_a_connection_is_refused_and_no_longer_waits(
    listener: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    listener.settimeout(30)
    with socket.create_connection(listener.getsockname(), timeout=30) as client:
        highest = max(client.fileno(), listener.fileno()) + 20
        with ExitStack() as held:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            try:
                while True:
                    held.enter_context(socket.socket())
            except OSError:
                with pytest.raises(ConnectionAbortedError):
                    listener.accept()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert client.recv(1) == b""
