"""The images of jobs as rows, so that progress of one image writes one row.

- A job is one row of `jobs` and a row of `job_images` for each image, by its number in the job. Both are written in one
  transaction, so that fencing, revisions and takeover are those of the row in `jobs`.
- A save writes only the images that differ from those stored last.
- A list reads `jobs` alone. A document reads the first images; a page of images reads those from a number on.
- A reader reads the row in `jobs` first: the images may then be newer than its revision, but never older. A change
  based on such a state replaces an old revision and is refused.
- The inspection of a dry run is in a separate column, which lists do not read either."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, bindparam, select

from app.jobs.model import Job, JobImage
from app.jobs.serialization import image_from_members, image_members

Row = dict[str, Any]
MAX_READ_BYTES = 2 << 20  # of the documents read for one response, which shows about 1 MiB
WRITTEN_AT_ONCE = 1_000  # rows in one statement


def images_table(metadata: MetaData) -> Table:
    """Return the table. `document` contains the members of the image as JSON."""
    return Table(
        "job_images",
        metadata,
        Column("job", String, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("document", Text, nullable=False),
    )


def changed_rows(job: Job, stored: Job | None) -> tuple[Row, ...]:
    """Return the rows of the images of `job` that differ from those of `stored`; all rows if it is None."""
    before: Sequence[JobImage] = () if stored is None else stored.images
    return tuple(
        {"job": job.id, "number": number, "document": _text(image)}
        for number, image in enumerate(job.images)
        if number >= len(before) or (image is not before[number] and image != before[number])
    )


def parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), WRITTEN_AT_ONCE):
        yield rows[start : start + WRITTEN_AT_ONCE]


def read_images(connection: Connection, images: Table, job_id: str, first: int, count: int | None) -> list[str]:
    """Return the documents of `count` images of a job from number `first` on, fewer if they are larger than a response;
    None: of all images."""
    wanted = select(images.c.document).where(images.c.job == bindparam("id"), images.c.number >= first)
    with closing(connection.scalars(wanted.order_by(images.c.number).limit(count), {"id": job_id})) as found:
        if count is None:
            return list(found)
        documents = list[str]()
        size = 0
        for document in found:
            documents.append(document)
            size += len(document)
            if size > MAX_READ_BYTES:
                break
        return documents


def parse_images(documents: Sequence[str]) -> tuple[JobImage, ...]:
    return tuple(image_from_members(json.loads(document)) for document in documents)


def _text(image: JobImage) -> str:
    return json.dumps(image_members(image), separators=(",", ":"))


__all__ = ["changed_rows", "images_table", "parse_images", "parts", "read_images"]
