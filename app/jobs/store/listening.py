"""PostgresAnnouncements: PostgreSQL's LISTEN, on a connection of its own."""

from __future__ import annotations

import asyncio

import asyncpg  # type: ignore[import-untyped]
import structlog

from app.jobs.announcements import Told
from app.jobs.store.engine import CONNECT_SECONDS, plain_dsn
from app.jobs.store.sql import CHANNEL

AGAIN_SECONDS = 1.0  # until a connection that was lost is tried again
PROBE_SECONDS = 5.0  # a connection that died without a word is found out by a question

_log = structlog.get_logger(__name__)


class PostgresAnnouncements:
    """`holder`: whose own announcements are passed over, as in `Marks`."""

    def __init__(self, url: str, holder: str) -> None:
        self._dsn = plain_dsn(url)
        self._holder = holder

    async def follow(self, told: Told) -> None:
        while True:
            try:
                await self._listen(told)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("what other replicas do is looked up every few seconds", reason=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self, told: Told) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
        try:

            def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
                holder, _, job_id = str(payload).partition(" ")
                if holder != self._holder:
                    told(job_id)

            await connection.add_listener(CHANNEL, heard)
            told(None)
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await connection.execute("SELECT 1")
        finally:
            connection.terminate()
