"""The Alembic migrations.

env       runs the migrations on the given connection; executed by Alembic
versions  the migrations, by revision
"""
