"""PostgreSQL LISTEN on a separate connection, which is reopened when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg  # type: ignore[import-untyped]
import structlog

from app.jobs.store.engine import CONNECT_SECONDS, plain_dsn
from app.jobs.store.sql import CHANNEL
from app.jobs.tracking.notifications import ChangeListener

RECONNECT_SECONDS = 1.0  # delay before a lost connection is reopened
PROBE_SECONDS = 5.0  # interval of a query that detects a connection that died silently

# What asyncpg raises if the database or the connection fails. The last one is raised if a connection broke during
# another operation ("another operation is in progress"), and is not derived from the others.
BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_log = structlog.get_logger(__name__)


async def listen(dsn: str, channel: str, on_payload: Callable[[str | None], None]) -> None:
    """Call `on_payload` with the payload of each notification on `channel`, until cancelled.

    Call it with None after each new connection, because notifications may have been missed."""
    while True:
        try:
            await _listen_once(dsn, channel, on_payload)
        except BROKEN as error:
            _log.warning("database.notifications_lost", reason=type(error).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen_once(dsn: str, channel: str, on_payload: Callable[[str | None], None]) -> None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
    try:

        def take(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            on_payload(str(payload))

        await connection.add_listener(channel, take)
        on_payload(None)
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await connection.execute("SELECT 1")
    finally:
        connection.terminate()


class PostgresNotifications:
    """JobNotifications over NOTIFY. Notifications by `holder` itself are ignored; see `ReplicaIdentity`."""

    def __init__(self, url: str, holder: str) -> None:
        self._dsn = plain_dsn(url)
        self._holder = holder

    async def subscribe(self, notify: ChangeListener) -> None:
        def on_payload(payload: str | None) -> None:
            holder, _, job_id = (payload or "").partition(" ")
            if payload is None:
                notify(None)
            elif holder != self._holder:
                notify(job_id)

        await listen(self._dsn, CHANNEL, on_payload)
