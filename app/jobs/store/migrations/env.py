"""Runs the migrations on the given connection; executed by Alembic."""

from alembic import context

# SQLite can roll back schema changes: an interrupted upgrade leaves the database unchanged
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
