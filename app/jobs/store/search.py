"""The searched text of jobs as rows of their own: a search reads these, and not the documents."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, String, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.jobs.listing.search_text import search_parts
from app.jobs.model import Job


def search_table(metadata: MetaData) -> Table:
    """`text`: lines in lower case."""
    return Table(
        "job_search",
        metadata,
        Column("job", String, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("text", Text, nullable=False),
    )


async def write_search_text(connection: AsyncConnection, table: Table, job: Job) -> None:
    """Replace the text of a job. PostgreSQL takes no NUL in a text."""
    await connection.execute(table.delete().where(table.c.job == job.id))
    rows = [
        {"job": job.id, "number": number, "text": part.replace("\0", "")}
        for number, part in enumerate(search_parts(job))
    ]
    if rows:
        await connection.execute(table.insert(), rows)


__all__ = ["search_table", "write_search_text"]
