"""Connections by name: resolve, check the addresses, and connect to one of exactly these addresses.

If the name were resolved again for the connection, the check and the connection could use different answers of the name
server (DNS rebinding). There is a second reason for our own connect: if the event loop's own Happy Eyeballs is
cancelled at the moment of success, it leaks the winner's socket.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from app.net.egress import EgressPolicy
from app.threads import resolving

HEAD_START = 0.25  # seconds before the next address is tried concurrently (RFC 8305)
MAX_ADDRESSES = 8  # tried per name; a name server may send any number

SocketAddress = tuple[socket.AddressFamily, tuple[object, ...]]


async def dial(host: str, port: int, egress: EgressPolicy | None) -> socket.socket:
    """Return a connected, non-blocking socket.

    Raises OSError, UnicodeError if the host is not an IDNA name, and RegistryRejected if `egress` does not permit an
    address of `host`.
    """
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(resolving(), resolve)
    endpoints = tuple(dict.fromkeys((family, address) for family, _, _, _, address in found))
    if egress is not None:
        egress.check(host, port, [str(address[0]) for _, address in endpoints])
    return await _connect_first(_interleave(endpoints)[:MAX_ADDRESSES])


def _interleave(endpoints: tuple[SocketAddress, ...]) -> list[SocketAddress]:
    """Return the addresses with alternating families, otherwise in the resolver's order.

    If IPv6 does not work, IPv4 is tried second.
    """
    first = [address for address in endpoints if address[0] == endpoints[0][0]]
    other = [address for address in endpoints if address[0] != endpoints[0][0]]
    count = max(len(first), len(other))
    return [family[index] for index in range(count) for family in (first, other) if index < len(family)]


async def _connect_first(endpoints: list[SocketAddress]) -> socket.socket:
    """Return the socket of the first address that connects, and cancel the other attempts."""
    tasks: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        for number, address in enumerate(endpoints, 1):
            tasks.append(asyncio.create_task(_connect(address)))
            winner = await _race(tasks, HEAD_START if number < len(endpoints) else None)
            if winner is not None:
                return winner.result()
        raise tasks[0].exception() or OSError("no address")
    finally:
        for task in tasks:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_close)


async def _race(tasks: list[asyncio.Task[socket.socket]], seconds: float | None) -> asyncio.Task[socket.socket] | None:
    """Return the first task that succeeds, or None if `seconds` are over or all tasks have failed."""
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    while waiting := [task for task in tasks if not task.done()]:
        left = None if until is None else until - loop.time()
        if left is not None and left <= 0:
            return None
        await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and task.exception() is None:
                return task
    return None


async def _connect(target: SocketAddress) -> socket.socket:
    family, address = target
    # the event loop sets TCP_NODELAY only if the protocol is named; without it each request waits 40 ms for an ACK
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(task: asyncio.Task[socket.socket]) -> None:
    """Close the socket of a cancelled attempt that connected nevertheless."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
