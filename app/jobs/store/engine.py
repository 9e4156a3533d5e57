"""Database engines for a URL: SQLite with the pragmas of the service, PostgreSQL over asyncpg."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import InvalidSettings, Unavailable

BUSY_SECONDS = 5  # a backup tool locks the database for moments; after this time the client is asked to retry
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 30.0  # a suspended or unreachable server must not block a request for ever
# the server ends the session of a replica that is suspended within a transaction, or whose machine failed, to release
# its locks
IDLE_SECONDS = 2
SESSION = {
    "application_name": "tarmac",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_ASYNCPG = "postgresql+asyncpg"


def make_engine(text: str) -> AsyncEngine:
    """Return an engine for a URL. Raises InvalidSettings, and Unavailable if the file cannot be created."""
    try:
        url = make_url(text)
        if is_postgres(text):
            return _postgres(url)
        _own_file(url)
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, InvalidRequestError) as error:
        raise InvalidSettings(
            f"TARMAC_DATABASE_URL (database_url): {error}; set postgresql://user:password@host/name and install "
            "the extra `postgres`, or omit the setting"
        ) from None
    except OSError as error:
        raise Unavailable(f"cannot create the job database {url.database}: {error.strerror}") from error
    _set(engine.sync_engine)
    return engine


def make_reading_engine(engine: AsyncEngine) -> Engine | None:
    """Return an engine for reading in threads; None for PostgreSQL and for an in-memory SQLite."""
    url = engine.url
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return _set(create_engine(url.set(drivername="sqlite+pysqlite")))


def is_postgres(text: str) -> bool:
    """Return whether the URL is of PostgreSQL. Raises InvalidSettings if it is of neither database."""
    try:
        name = make_url(text).get_backend_name()
    except ArgumentError:
        name = ""
    if name not in ("postgresql", "sqlite"):
        raise InvalidSettings(
            "TARMAC_DATABASE_URL (database_url): unknown database; set "
            "postgresql://user:password@host/name, or omit the setting"
        )
    return name == "postgresql"


def plain_dsn(text: str) -> str:
    """Return the URL without a driver name, as asyncpg and libpq expect it."""
    return make_url(text).set(drivername="postgresql").render_as_string(hide_password=False)


def _postgres(url: URL) -> AsyncEngine:
    limits = {"timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS}
    return create_async_engine(
        url.set(drivername=_ASYNCPG), pool_pre_ping=True, connect_args={**limits, "server_settings": dict(SESSION)}
    )


def _own_file(url: URL) -> None:
    """Create the file readable by this user only, because the rows show who pushes what. SQLite copies its mode."""
    if url.database and url.database != ":memory:":
        os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _set(engine: Engine) -> Engine:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver's own transactions exclude schema changes
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {BUSY_SECONDS * 1000}", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
