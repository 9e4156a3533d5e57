"""Runs the Alembic migrations in the transaction of the caller."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import column, func, select, table
from sqlalchemy.engine import Connection

from app.errors import Unavailable

MIGRATION_LOCK = 0x7461726D6163  # a PostgreSQL advisory lock: replicas that start at once migrate the tables one by one
_MIGRATIONS = Path(__file__).parent / "migrations"


_VERSION = table("alembic_version", column("version_num"))


def newest() -> str:
    """Return the newest schema revision. Migration files are named `vNNNN_words.py`, with their revision."""
    return max(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py"))


def migrate(connection: Connection) -> None:
    """Upgrade the tables to the newest schema. Raises Unavailable if a newer release wrote them."""
    has_version = connection.dialect.has_table(connection, _VERSION.name)
    if has_version and connection.scalars(select(_VERSION.c.version_num)).all() == [newest()]:
        return  # the usual case; loading Alembic takes a tenth of the service's start
    upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade the tables to `revision`. Raises Unavailable if a newer release wrote them."""
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise Unavailable(
            f"the job database was written by a newer release (schema {present!r}); run that release, or set another "
            "database in TARMAC_DATABASE_URL"
        )
    command.upgrade(config, revision)
