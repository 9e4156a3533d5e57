"""The submitter of a job, and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_SQLITE = """CREATE TRIGGER audit_no_{0} BEFORE {0} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END"""
_FUNCTION = """CREATE FUNCTION tarmac_audit_kept() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'the audit trail is only added to'; END $$ LANGUAGE plpgsql"""
_POSTGRES = """CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION tarmac_audit_kept()"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("submitter", sa.String, nullable=False, server_default=""))
    op.create_index("jobs_by_submitter", "jobs", ["submitter", "created_at", "id"])
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("entry", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_time", "audit", ["at"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        op.execute(_POSTGRES)
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(verb))
