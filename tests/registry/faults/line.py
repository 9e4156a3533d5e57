"""Faults of the line: what becomes of a connection, and of the bytes of a response that is as it should be."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from enum import Enum

from tests.registry.faults.script import (
    ASK,
    CLOSE,
    HEAD_BLOB,
    LARGE,
    LOOK,
    PATCH,
    PING,
    SEND,
    START,
    TAG,
    TOKEN,
    Act,
    Fault,
    fine,
    meets,
    with_answer,
)
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import Connection, Seen, Step, hang, served


class End(Enum):
    """How a connection ends."""

    FIN = "fin"
    RST = "rst"


Tape = Iterator[bytes | float | End]
"""What is written, how many seconds pass, and how the connection ends."""

GARBAGE = random.Random(7).randbytes(3000)
BLANK = "after-blank-lines"  # only a request may follow one (RFC 9112 2.2)
SLOW_BYTES = 30  # of a response that comes a byte in a second
PLACES = {
    "ping": PING,
    "token": TOKEN,
    "look": LOOK,
    "head-blob": HEAD_BLOB,
    "start": START,
    "send": SEND,
    "tag": TAG,
}
ALL = r".*"


async def lapse(seconds: float) -> None:
    """Let time pass; being slow is the fault."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


def plays(change: Callable[[bytes], Tape]) -> Act:
    """Do what is asked, and write what `change` makes of the response."""

    def act(registry: MemoryRegistry) -> Step:
        async def written(connection: Connection, response: bytes) -> None:
            for item in change(response):
                if isinstance(item, float):
                    await lapse(item)
                elif item is End.RST:
                    connection.reset()
                elif item is End.FIN:
                    connection.writer.close()
                elif isinstance(item, bytes):
                    connection.writer.write(item)
                    await connection.writer.drain()

        async def step(connection: Connection, seen: Seen) -> None:
            def answer(status: int, headers: dict[str, str], body: bytes) -> bytes:
                lines = [f"HTTP/1.1 {status} Scripted"]
                lines += [f"{name}: {value}" for name, value in {"Content-Length": str(len(body)), **headers}.items()]
                return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if seen.method == "HEAD" else body)

            with with_answer(connection, lambda *parts: written(connection, answer(*parts))):
                await served(registry)(connection, seen)

        return step

    return act


def late(seconds: float) -> Act:
    return plays(lambda response: iter((seconds, response)))


def cut_at(place: Callable[[bytes], int], end: End) -> Act:
    """So many bytes of the response, then the end."""
    return plays(lambda response: iter((response[: place(response)], end)))


def in_head(response: bytes) -> int:
    return response.index(b"\r\n") + 8


def slow_reader(registry: MemoryRegistry) -> Step:
    """It takes its time before it reads on, again and again."""

    async def step(connection: Connection, seen: Seen) -> None:
        plain = connection.reader.read

        async def read(count: int = -1) -> bytes:
            await lapse(0.1)
            return await plain(min(count, 40_000) if count > 0 else count)

        connection.reader.read = read  # type: ignore[method-assign,assignment]
        try:
            await served(registry)(connection, seen)
        finally:
            connection.reader.read = plain  # type: ignore[method-assign]

    return step


def _dripping(response: bytes) -> Tape:
    for place in range(SLOW_BYTES):
        yield response[place : place + 1]
        yield 1.0
    yield response[SLOW_BYTES:]


def _without_keep_alive(response: bytes) -> Tape:
    yield response.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    yield End.FIN


def _closing(response: bytes) -> Tape:
    yield response.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    yield End.FIN


def _of_no_length(response: bytes) -> Tape:
    """Its end is the end of the connection (RFC 9112 6.3)."""
    head, blank, body = response.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    yield b"\r\n".join([*kept, b"Connection: close"]) + blank + body
    yield End.FIN


def _of_another_length(length: bytes, end: End) -> Callable[[bytes], Tape]:
    def tape(response: bytes) -> Tape:
        head, blank, body = response.partition(b"\r\n\r\n")
        lines = [b"Content-Length: " + length if b"ontent-" in line[:9] else line for line in head.split(b"\r\n")]
        yield b"\r\n".join(lines) + blank + body
        yield end

    return tape


CHANGES: dict[str, Act] = {
    "late": late(20.0),
    "a-byte-a-second": plays(_dripping),
    "twice": plays(lambda response: iter((response, response))),
    "of-http-1.0": plays(_without_keep_alive),
    "and-closed": plays(_closing),
    "of-no-length": plays(_of_no_length),
    "with-garbage-behind": plays(lambda response: iter((response, GARBAGE, End.FIN))),
    BLANK: plays(lambda response: iter((b"\r\n\r\n", response))),
}
ENDS: dict[str, Act] = {
    "cut-in-the-status": cut_at(lambda response: 9, End.FIN),
    "cut-in-the-head": cut_at(in_head, End.RST),
    "cut-after-the-head": plays(lambda response: iter((response.partition(b"\r\n\r\n")[0] + b"\r\n", End.FIN))),
    "of-a-length-that-does-not-come": plays(_of_another_length(b"500", End.FIN)),
    "garbage": plays(lambda response: iter((GARBAGE, End.FIN))),
    "silence": meets(hang()),
    "closed": plays(lambda response: iter((End.FIN,))),
    "reset": plays(lambda response: iter((End.RST,))),
}


def _manners(place: str) -> Manners:
    return Manners(asks=place != "head-blob")


def _once() -> Iterator[Fault]:
    """The push goes on, whatever happens once to a response."""
    for what, act in {**CHANGES, **ENDS}.items():
        for place, when in PLACES.items():
            yield Fault(f"{what}-once-at-{place}", when, (act,), manners=_manners(place), orphans=_orphans(what, place))


def _always() -> Iterator[Fault]:
    """A line that is only slow or odd does no harm."""
    for what, act in CHANGES.items():
        if what not in {"late", "a-byte-a-second", BLANK}:
            yield Fault(f"every-response-{what}", ALL, (), after=act)
    yield Fault("every-start-late", START, (), after=late(8.0))
    yield Fault("a-slow-reader", LARGE, (), after=slow_reader)
    yield Fault("a-slow-reader-of-patches", rf"{CLOSE}|{PATCH}", (), after=slow_reader, manners=Manners(put=False))


def _orphans(what: str, place: str) -> int:
    """The response that named the session was lost."""
    return 9 if place == "start" and what in {BLANK, *ENDS} else 0


LINE: list[Fault] = [
    *_once(),
    *_always(),
    Fault("first-connection-dropped", ALL, (), drops=1),
    Fault("first-five-connections-dropped", ALL, (), drops=5),
    Fault("cut-in-every-token", TOKEN, (), "registry_unreachable", after=ENDS["cut-in-the-head"]),
    Fault("silence-for-ever-at-the-tag", TAG, (), "registry_unreachable", outage=True, after=meets(hang())),
    Fault("silence-for-ever-at-the-start", START, (), "registry_unreachable", outage=True, after=meets(hang())),
    Fault("silence-of-everything", ALL, (), "registry_unreachable", outage=True, after=meets(hang())),
    Fault("garbage-for-everything", ALL, (), "registry_unreachable", outage=True, after=ENDS["garbage"]),
    Fault(f"every-response-{BLANK}", ALL, (), "registry_error", after=CHANGES[BLANK]),
    Fault("ask-is-cut-for-ever", ASK, (), after=ENDS["cut-in-the-head"], orphans=99),
    Fault("patch-is-cut-in-its-response-once", PATCH, (ENDS["cut-in-the-head"], fine), manners=Manners(put=False)),
]
