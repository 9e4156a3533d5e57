"""migrations

env       What Alembic runs: the migrations, on the connection it is given
versions  versions
"""
