"""The text of a job that a search reads: names, paths, destinations and digests, in lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.jobs.model import ArchiveSource, Job

MAX_PART = 16_384  # characters of one row, so that a search reads few bytes of jobs with few images


def source_of(job: Job) -> str:
    """Return how the archives of a job came; a job without archives is of an upload that has not begun."""
    return next((archive.source.value for archive in job.archives), ArchiveSource.UPLOAD.value)


def search_parts(job: Job) -> tuple[str, ...]:
    """Return the text of the job in parts of about MAX_PART characters, in lower case. No line is cut."""
    parts: list[str] = []
    lines: list[str] = []
    size = 0
    for line in dict.fromkeys(text.lower() for text in _texts(job) if text):
        lines.append(line)
        size += len(line) + 1
        if size >= MAX_PART:
            parts.append("\n".join(lines))
            lines, size = [], 0
    return (*parts, "\n".join(lines)) if lines else tuple(parts)


def is_changed(job: Job, stored: Job | None) -> bool:
    """Return whether the text of `job` may differ from that of `stored`. Progress alone does not change it."""
    if stored is None or job.state is not stored.state or len(job.images) != len(stored.images):
        return True
    return [archive.digest for archive in job.archives] != [archive.digest for archive in stored.archives]


def _texts(job: Job) -> Iterator[str]:
    for archive in job.archives:
        yield from (archive.name, archive.path or "", str(archive.digest or ""))
    for image in job.images:
        yield from (*image.names, *image.destinations, str(image.digest or ""))


__all__ = ["MAX_PART", "is_changed", "search_parts", "source_of"]
