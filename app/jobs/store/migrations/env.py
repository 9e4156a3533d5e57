"""What Alembic runs: the migrations, on the connection it is given."""

from alembic import context

# SQLite rolls schema changes back as well as any: an upgrade that is cut off leaves the database as it was
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
