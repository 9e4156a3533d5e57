"""Deliveries, and the rows of their reports, which outlive the jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("submitter", sa.String, nullable=False),
        sa.Column("name", sa.String),
        sa.Column("open_key", sa.String, unique=True),
        sa.Column("last_ended_at", sa.String),
        sa.Column("age", sa.Float, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
    )
    op.create_index("deliveries_newest", "deliveries", ["created_at", "id"])
    op.create_index("deliveries_by_submitter", "deliveries", ["submitter", "created_at", "id"])
    op.create_index("deliveries_by_name", "deliveries", ["name"])
    op.create_table(
        "delivery_rows",
        sa.Column("delivery", sa.String, primary_key=True),
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("file_outcome", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("delivery_rows_by_path", "delivery_rows", ["delivery", "path", "job", "number"])
    op.create_index("delivery_rows_counted", "delivery_rows", ["delivery", "outcome", "file_outcome", "size"])
