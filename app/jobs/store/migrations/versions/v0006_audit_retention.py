"""Retention of the audit trail: size of entries, age of the service, and deletion past the guard."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# As in `app.jobs.store.audit`: only the retention writes the number of the entry up to which it deletes.
_SQLITE_UPDATE = """CREATE TRIGGER audit_no_UPDATE BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END"""
_SQLITE_DELETE = """CREATE TRIGGER audit_no_DELETE BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM audit_deletion WHERE through >= OLD.number)
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END"""
_FUNCTION = """CREATE FUNCTION tarmac_audit_deleted() RETURNS trigger AS $$
BEGIN
  IF OLD.number <= coalesce(nullif(current_setting('tarmac.audit_delete_through', true), ''), '0')::bigint THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the audit trail is only added to';
END $$ LANGUAGE plpgsql"""
_POSTGRES = """CREATE TRIGGER audit_kept BEFORE UPDATE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION tarmac_audit_kept()"""
_POSTGRES_DELETE = """CREATE TRIGGER audit_deleted BEFORE DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION tarmac_audit_deleted()"""


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    for trigger in ["audit_kept ON audit"] if is_postgres else ["audit_no_UPDATE", "audit_no_DELETE"]:
        op.execute(f"DROP TRIGGER {trigger}")
    op.add_column("audit", sa.Column("size", sa.Integer, nullable=False, server_default="0"))
    op.add_column("audit", sa.Column("age", sa.Float, nullable=False, server_default="0"))
    audit = sa.table("audit", sa.column("size", sa.Integer), sa.column("entry", sa.JSON))
    op.execute(audit.update().values(size=sa.func.length(sa.cast(audit.c.entry, sa.Text))))
    op.create_index("audit_by_size", "audit", ["number", "size"])
    if is_postgres:
        for statement in (_FUNCTION, _POSTGRES, _POSTGRES_DELETE):
            op.execute(statement)
        return
    op.create_table("audit_deletion", sa.Column("through", sa.Integer, nullable=False))
    op.execute(_SQLITE_UPDATE)
    op.execute(_SQLITE_DELETE)
