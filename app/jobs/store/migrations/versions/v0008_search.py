"""What jobs are listed by as columns, in the index that lists read, and the text that a search reads."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

Members = Mapping[str, Any]
_AT_ONCE = 100  # jobs whose text is made at once
_MAX_PART = 16_384  # characters of one row


def upgrade() -> None:
    for name, default in (("registry", "default"), ("source", "upload"), ("delivery", "")):
        op.add_column("jobs", sa.Column(name, sa.String, nullable=False, server_default=default))
    op.create_table(
        "job_search",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    _fill(op.get_bind())
    op.drop_index("jobs_newest", "jobs")
    op.create_index("jobs_listed", "jobs", ["created_at", "id", "state", "submitter", "registry", "source", "delivery"])
    op.create_index("jobs_by_delivery", "jobs", ["delivery", "created_at", "id", "state"])


def _fill(connection: sa.Connection) -> None:
    jobs = sa.table("jobs", sa.column("id"), sa.column("registry"), sa.column("source"), sa.column("document", sa.JSON))
    images = sa.table("job_images", sa.column("job"), sa.column("document"))
    search = sa.table("job_search", sa.column("job"), sa.column("number"), sa.column("text"))
    last = ""
    while True:
        wanted = sa.select(jobs.c.id, jobs.c.document).where(jobs.c.id > last).order_by(jobs.c.id).limit(_AT_ONCE)
        found = connection.execute(wanted).all()
        for job, document in found:
            archives = document.get("archives") or []
            source = archives[0]["source"] if archives else "upload"
            values = {"registry": document.get("registry", "default"), "source": source}
            connection.execute(jobs.update().where(jobs.c.id == job).values(values))
            own = connection.scalars(sa.select(images.c.document).where(images.c.job == job)).all()
            parts = _parts(archives, [json.loads(text) for text in own])
            rows = [{"job": job, "number": at, "text": text} for at, text in enumerate(parts)]
            if rows:
                connection.execute(search.insert(), rows)
        if len(found) < _AT_ONCE:
            return
        last = found[-1].id


def _parts(archives: Sequence[Members], images: Sequence[Members]) -> list[str]:
    texts = [archive.get(name) for archive in archives for name in ("name", "path", "digest")]
    for image in images:
        texts += [*image["names"], *image["destinations"], image.get("digest")]
    lines = dict.fromkeys(text.lower().replace("\0", "") for text in texts if text)
    parts: list[list[str]] = [[]]
    size = 0
    for line in lines:
        parts[-1].append(line)
        size += len(line) + 1
        if size >= _MAX_PART:
            parts, size = [*parts, []], 0
    return ["\n".join(part) for part in parts if part]
