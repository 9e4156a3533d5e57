"""What a service imports until it has answered its first request."""

import aiosqlite
import alembic.command
import alembic.config

import app.__main__
import app.cli.serve
import app.main
import tests.crash.one_push

__all__ = ["aiosqlite", "alembic", "app", "tests"]
