"""Images as rows, and the inspection of a dry run as a column; lists of jobs read neither."""

import json
from collections import Counter

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_AT_ONCE = 50  # jobs in memory; one of release 0.1.0 has up to some MB
_COUNTED = {
    "images_pushed": "pushed",
    "images_present": "already_present",
    "images_skipped": "skipped",
    "images_failed": "failed",
}


def upgrade() -> None:
    op.create_table(
        "job_images",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,  # rows are stored in the order of the key, which is stored once
    )
    op.add_column("jobs", sa.Column("inspection", sa.JSON, nullable=False, server_default="[]"))
    jobs = sa.table("jobs", sa.column("id"), sa.column("document", sa.JSON), sa.column("inspection", sa.JSON))
    images = sa.table("job_images", sa.column("job"), sa.column("number"), sa.column("document"))
    connection, last = op.get_bind(), ""
    while True:
        wanted = sa.select(jobs.c.id, jobs.c.document).where(jobs.c.id > last).order_by(jobs.c.id).limit(_AT_ONCE)
        found = connection.execute(wanted).all()
        for job, document in found:
            moved = document.pop("images", [])
            rows = [{"job": job, "number": at, "document": json.dumps(image)} for at, image in enumerate(moved)]
            if rows:
                connection.execute(images.insert(), rows)
            _count(document.setdefault("progress", {}), [image["state"] for image in moved])
            values = {"inspection": document.pop("inspection", []), "document": document}
            connection.execute(jobs.update().where(jobs.c.id == job).values(values))
        if len(found) < _AT_ONCE:
            return
        last = found[-1].id


def _count(progress: dict[str, object], states: list[str]) -> None:
    """Count the images by state. Release 0.1.0 did not, and it counted no images of a job that had not run."""
    counted = Counter(states)
    progress["images_total"] = progress.get("images_total") or len(states)
    for name, state in _COUNTED.items():
        progress.setdefault(name, counted[state])
