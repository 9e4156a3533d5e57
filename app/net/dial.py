"""From a name to a connected socket: resolve, check the addresses, connect to one of these very addresses.

Looking at the addresses and leaving it to the connecting to resolve the name once more would check one answer of the
name server and use another (DNS rebinding). Connecting is our own for a second reason: the event loop's own race of
addresses loses the winner's socket when it is cancelled at that moment."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from app.net.egress import EgressPolicy
from app.threads import resolving

HEAD_START = 0.25  # seconds before the next address is tried beside the one under way (RFC 8305)
MOST_ADDRESSES = 8  # of one name are tried; a name server may send any number

Place = tuple[socket.AddressFamily, tuple[object, ...]]


async def dial(host: str, port: int, reach: EgressPolicy | None) -> socket.socket:
    """A connected, non-blocking socket. Raises OSError, UnicodeError for a host that is no IDNA name, and
    RegistryRejected where `reach` does not go to what `host` means."""
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(resolving(), resolve)
    places = tuple(dict.fromkeys((family, address) for family, _, _, _, address in found))
    if reach is not None:
        reach.check(host, port, [str(address[0]) for _, address in places])
    return await _first(_mixed(places)[:MOST_ADDRESSES])


def _mixed(places: tuple[Place, ...]) -> list[Place]:
    """The families in turn, the resolver's order otherwise: where IPv6 leads nowhere, IPv4 is the second try."""
    first = [place for place in places if place[0] == places[0][0]]
    other = [place for place in places if place[0] != places[0][0]]
    count = max(len(first), len(other))
    return [each[turn] for turn in range(count) for each in (first, other) if turn < len(each)]


async def _first(places: list[Place]) -> socket.socket:
    """Of the first that connects; the others are given up."""
    tasks: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        for number, place in enumerate(places, 1):
            tasks.append(asyncio.create_task(_connected(place)))
            winner = await _race(tasks, HEAD_START if number < len(places) else None)
            if winner is not None:
                return winner.result()
        raise tasks[0].exception() or OSError("no address")
    finally:
        for task in tasks:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_close)


async def _race(tasks: list[asyncio.Task[socket.socket]], seconds: float | None) -> asyncio.Task[socket.socket] | None:
    """The first to succeed; None when `seconds` are over or all have failed."""
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


async def _connected(place: Place) -> socket.socket:
    family, address = place
    # the event loop sets TCP_NODELAY only where the protocol is named; without it each request waits 40 ms for an ACK
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(task: asyncio.Task[socket.socket]) -> None:
    """Of one that was given up and had connected all the same."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
