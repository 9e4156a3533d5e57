"""Progress bars on a terminal. Separate from `display`, because importing rich takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from app.archive.sizes import size_of
from app.cli.display import JobUpdates, printable
from app.jobs.model import Job
from app.push import ImageState, Progress

_STYLES: dict[ImageState | None, str] = {
    ImageState.FAILED: "red",
    ImageState.CANCELLED: "yellow",
    ImageState.SKIPPED: "yellow",
}
REDRAWS_PER_SECOND = 8


class LiveDisplay:
    """Shows one bar at a time: reading an archive, then pushing. Finished lines scroll up."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._console = Console(file=stream, highlight=False)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=self._console,
            transient=True,
            refresh_per_second=REDRAWS_PER_SECOND,
            get_time=clock,
        )
        self._news = JobUpdates()
        self._task: TaskID | None = None
        self._name = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def received(self, name: str, count: int, expected: int | None) -> None:
        total = f" of {size_of(expected)}" if expected else ""
        self._show(f"reading {printable(name)}", count, expected, size_of(count) + total)

    def job(self, job: Job) -> None:
        for line, state in self._news.between(job):
            self._console.print(Text(printable(line), style=_STYLES.get(state, "")), soft_wrap=True)
        if job.images:
            self._show("pushing", int(job.progress.percent * 10), 1000, format_progress(job.progress))

    def _show(self, name: str, completed: int, total: int | None, words: str) -> None:
        if self._task is None or name != self._name:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task, self._name = self._bars.add_task(name, total=total, words=words), name
        self._bars.update(self._task, completed=completed, words=words)


def format_progress(progress: Progress) -> str:
    """Return a text such as `41 % · 1.2 GB of 3.0 GB · 210.0 MB/s · 9 s left · 3 of 24 images`."""
    parts = [f"{progress.percent:.0f} %", f"{size_of(progress.bytes_done)} of {size_of(progress.bytes_total)}"]
    if progress.bytes_per_second:
        parts.append(f"{size_of(progress.bytes_per_second)}/s")
    if progress.eta_seconds:
        parts.append(f"{_duration(progress.eta_seconds)} left")
    return " · ".join((*parts, f"{progress.images_done} of {progress.images_total} images"))


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
