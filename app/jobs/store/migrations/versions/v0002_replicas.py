"""Columns for replicas: the attempt of a job, the place of its archives, who accepted it and who wrote it last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("attempt", sa.Integer, nullable=False, server_default="1"))
    for name in ("place", "home", "holder"):
        op.add_column("jobs", sa.Column(name, sa.String, nullable=False, server_default=""))
    jobs = sa.table("jobs", sa.column("attempt", sa.Integer), sa.column("document", sa.JSON))
    op.execute(jobs.update().values(attempt=sa.func.coalesce(jobs.c.document["attempt"].as_integer(), 1)))
    op.create_table(
        "replicas",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
