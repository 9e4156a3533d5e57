"""The database behind a URL: SQLite as we want it set up, PostgreSQL over asyncpg."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import InvalidSettings, Unavailable

BUSY_SECONDS = 5  # a backup tool holds the write lock for moments; after that the client is told to come again
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 30.0  # a server that was stopped, or is gone without a word, must not hold a request for ever
# A replica that is stopped within a transaction, or whose machine is gone, keeps its locks: the server ends it.
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
    """Raises InvalidSettings for a URL of no use, Unavailable where a file cannot be made."""
    try:
        url = make_url(text)
        if is_postgres(text):
            return _postgres(url)
        _own_file(url)
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, InvalidRequestError) as error:
        raise InvalidSettings(
            f"TARMAC_DATABASE_URL (database_url): {error}; give a URL as postgresql://user:password@host/name, with "
            "the extra `postgres` installed, or leave it out"
        ) from None
    except OSError as error:
        raise Unavailable(f"the job database {url.database} cannot be made: {error.strerror}") from error
    _set(engine.sync_engine)
    return engine


def make_reading_engine(engine: AsyncEngine) -> Engine | None:
    """The same database for threads; None where it is PostgreSQL, or a SQLite that is no file."""
    url = engine.url
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return _set(create_engine(url.set(drivername="sqlite+pysqlite")))


def is_postgres(text: str) -> bool:
    """Raises InvalidSettings for a URL of neither database."""
    try:
        name = make_url(text).get_backend_name()
    except ArgumentError:
        name = ""
    if name not in ("postgresql", "sqlite"):
        raise InvalidSettings(
            "TARMAC_DATABASE_URL (database_url): give a URL as postgresql://user:password@host/name, or leave it out"
        )
    return name == "postgresql"


def plain_dsn(text: str) -> str:
    """As asyncpg itself, and libpq, read it: without the name of a driver."""
    return make_url(text).set(drivername="postgresql").render_as_string(hide_password=False)


def _postgres(url: URL) -> AsyncEngine:
    limits = {"timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS}
    return create_async_engine(
        url.set(drivername=_ASYNCPG), pool_pre_ping=True, connect_args={**limits, "server_settings": dict(SESSION)}
    )


def _own_file(url: URL) -> None:
    """The rows tell who pushes what: for this user alone. SQLite gives its other files the same mode."""
    if url.database and url.database != ":memory:":
        os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _set(engine: Engine) -> Engine:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver's own transactions leave schema changes outside
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {BUSY_SECONDS * 1000}", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
