"""The output while archives are read and pushed: progress bars on a terminal, lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

from app.archive import Compression
from app.archive.sizes import size_of
from app.jobs.model import Job, JobArchive, JobImage
from app.push import ImageState

ON_THE_WAY = frozenset({ImageState.PENDING, ImageState.PUSHING})


def printable(line: str) -> str:
    """Return `line` with control and unencodable characters escaped: names from archives can contain any."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


class Display(Protocol):
    """Shows states of a job. Called on the event loop; never blocks for long."""

    def received(self, name: str, count: int, expected: int | None) -> None:
        """Show that `count` bytes of an archive that is decompressed have been read."""
        ...

    def job(self, job: Job) -> None:
        """Show the newest state of the job. States in between may be skipped; the last one is not."""
        ...


class JobUpdates:
    """Lines for what a state of the job has that the state before had not."""

    def __init__(self) -> None:
        self._opened = False
        self._ended: set[int] = set()
        self._notices = 0

    def between(self, job: Job) -> Iterator[tuple[str, ImageState | None]]:
        """Yield lines, each with the state of its image."""
        if not self._opened and job.images:  # formats are known earlier than the number of images
            self._opened = True
            for archive in job.archives:
                yield describe_archive(archive, [item for item in job.images if item.archive == archive.name]), None
        for number, image in enumerate(job.images):
            if number not in self._ended and image.state not in ON_THE_WAY:
                self._ended.add(number)
                yield from ((line, image.state) for line in image_lines(image))
        yield from ((f"note: {text}", None) for text in job.notices[self._notices :])
        self._notices = len(job.notices)


def describe_archive(archive: JobArchive, images: list[JobImage]) -> str:
    wrapped = "" if archive.compression in {None, Compression.NONE} else f" in {archive.compression}"
    return f"{archive.name}: {archive.format}{wrapped}, {len(images)} image{'' if len(images) == 1 else 's'}"


def image_lines(image: JobImage) -> Iterator[str]:
    """Yield a line for each destination of the image with its state, and a line for its problem."""
    digest = str(image.digest or "")
    problem = None if image.problem is None else (image.problem.code, image.problem.detail)
    return outcome_lines(image.state.value, image.destinations or image.names, digest, problem)


def outcome_lines(state: str, names: Sequence[str], digest: str, problem: tuple[str, str] | None) -> Iterator[str]:
    """Yield the lines of an image. `digest` is empty if it is unknown; `problem` is its code and detail."""
    for name in names or (digest or "(no name)",):
        yield f"{state.replace('_', ' '):<15} {name}" + (f"  {digest}" if digest else "")
    if problem is not None:
        yield f"{'':<15} {problem[0]}: {problem[1]}"


def summarize(job: Job, seconds: float) -> str:
    """Return the line that is printed at the end."""
    progress = job.progress
    states = [image.state for image in job.images]
    counts = ", ".join(f"{states.count(item)} {item.value.replace('_', ' ')}" for item in ImageState if item in states)
    sent = f"{size_of(progress.bytes_sent)} sent, {progress.blobs_reused} of {progress.blobs_total} blobs were there"
    return f"{counts or 'no images'} ({sent}) in {seconds:.1f} s"


class LineDisplay:
    """Prints lines, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._news = JobUpdates()

    def received(self, name: str, count: int, expected: int | None) -> None:
        """Show nothing: a log is not watched."""

    def job(self, job: Job) -> None:
        for line, _ in self._news.between(job):
            print(printable(line), file=self._stream, flush=True)


@contextmanager
def make_display(stream: TextIO) -> Iterator[Display]:
    """Return the progress bars if `stream` is a terminal, else the lines."""
    if not stream.isatty():
        yield LineDisplay(stream)
        return
    from app.cli.live_display import LiveDisplay

    with LiveDisplay(stream, time.monotonic) as live:
        yield live
