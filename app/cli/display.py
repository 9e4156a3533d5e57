"""What a person sees while archives are read and pushed: a live display on a terminal, else a line for each thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from app.jobs.job import Job, JobImage
from app.push import ImageState, Progress

_QUIET = frozenset({ImageState.PENDING, ImageState.PUSHING})
REDRAWS_PER_SECOND = 8


class Display(Protocol):
    """Where news go. Called on the event loop; never blocks for long."""

    def received(self, name: str, count: int, expected: int | None) -> None:
        """`count` bytes of an archive that has to be unwrapped have been read."""
        ...

    def told(self, text: str) -> None: ...

    def pushed(self, progress: Progress) -> None: ...

    def image(self, image: JobImage) -> None:
        """An image came to a state; those on the way are not shown."""
        ...


def line_of(image: JobImage) -> Iterator[str]:
    """What became of an image: a line for each destination, and why not."""
    names = image.destinations or image.names or (str(image.digest),)
    for name in names:
        yield f"{image.state.value.replace('_', ' '):<15} {name}" + (f"  {image.digest}" if image.digest else "")
    if image.problem is not None:
        yield f"{'':<15} {image.problem.code}: {image.problem.detail}"


def size_of(count: float) -> str:
    """Bytes for a person: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def summary_of(job: Job, seconds: float) -> str:
    """One line at the end."""
    progress = job.progress
    states = [image.state for image in job.images]
    counts = ", ".join(
        f"{states.count(state)} {state.value.replace('_', ' ')}" for state in ImageState if state in states
    )
    sent = f"{size_of(progress.bytes_sent)} sent, {progress.blobs_reused} of {progress.blobs_total} blobs were there"
    return f"{counts or 'no images'} ({sent}) in {seconds:.1f} s"


class Lines:
    """A line for each thing, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def received(self, name: str, count: int, expected: int | None) -> None:
        """Nothing: a log is not for watching."""

    def told(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def pushed(self, progress: Progress) -> None:
        """Nothing: a log is not for watching."""

    def image(self, image: JobImage) -> None:
        if image.state not in _QUIET:
            for line in line_of(image):
                self.told(line)


@contextmanager
def display_on(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Display]:
    """Live where `stream` is a terminal."""
    if not stream.isatty():
        yield Lines(stream)
        return
    from app.cli.live import Live

    with Live(stream, clock) as live:
        yield live
