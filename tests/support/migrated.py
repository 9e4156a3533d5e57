"""A job database as the first start of a service makes it, which takes Alembic half of that start."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from app.jobs.store.migrate import migrate


def put_database(folder: Path) -> None:
    """Put an empty job database into the data directory `folder` unless one is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "jobs.sqlite"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(_content())


@cache
def _content() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "jobs.sqlite"
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            migrate(connection)
        engine.dispose()
        return file.read_bytes()
