"""Leases of tags shared by replicas, and the job that wrote a tag last."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "tags",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("job", sa.String, nullable=False, server_default=""),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("landed", sa.String, nullable=False, server_default=""),
    )
