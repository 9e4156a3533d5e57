"""Connections without a network: uvicorn's protocol before a transport that is not there and a clock turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from app.server.protocol import LimitedHttpProtocol, Limits


class Loop:
    """Of an event loop what the protocol asks for: timers, and tasks that are not run."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, asyncio.Handle]] = []

    def call_later(self, seconds: float, call: Callable[..., Any], *given: Any) -> asyncio.Handle:
        handle = asyncio.Handle(call, given, asyncio.get_running_loop())
        self.timers.append((self.now + seconds, handle))
        return handle

    def create_task(self, coroutine: Any, **named: Any) -> asyncio.Future[None]:
        coroutine.close()
        return asyncio.get_running_loop().create_future()

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        for at, handle in self.timers:
            if at <= self.now and not handle.cancelled():
                handle._run()
                handle.cancel()


class Running(Loop):
    """Its tasks are run by whoever awaits them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []

    def create_task(self, coroutine: Any, **named: Any) -> asyncio.Future[None]:
        self.started.append(coroutine)
        return asyncio.get_running_loop().create_future()


class Wire:
    def __init__(self) -> None:
        self.sent = b""
        self.closed = self.aborted = self.ended = False
        self.unread = 0

    def get_write_buffer_size(self) -> int:
        return self.unread

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


heard: list[Any] = []


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    while not heard or heard[-1]["type"] != "http.disconnect":
        heard.append(await receive())


def connected(
    state: ServerState | None = None,
    loop: Loop | None = None,
    app: ASGIApp = application,
    limits: Limits | None = None,
) -> tuple[LimitedHttpProtocol, Wire, Loop]:
    """A connection that was just made, before `app`."""
    loop, wire = loop or Loop(), Wire()
    config = uvicorn.Config(app, ws="none", log_config=None, lifespan="off")
    config.load()
    made = LimitedHttpProtocol(config, state or ServerState(), {}, loop, limits=limits or Limits())
    made.connection_made(wire)  # type: ignore[arg-type]
    return made, wire, loop
