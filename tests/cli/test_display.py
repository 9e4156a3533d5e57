"""What a person sees: every thing once, in plain lines and on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.archive import Compression
from app.archive.sizes import size_of
from app.cli.display import Display, image_lines, make_display, summarize
from app.cli.live_display import format_progress
from app.errors import DigestMismatch
from app.jobs.model import ArchiveSource, Job, JobArchive, JobImage, JobState
from app.push import ImageState, Progress

IMAGE = JobImage(archive="x.tar", names=("a:1",), destinations=("r.local/a:1", "r.local/b:2"))
ARCHIVE = JobArchive("x.tar", ArchiveSource.PATH, 10, format="oci-archive", compression=Compression.ZSTD)
RUNNING = replace(
    Job.new(JobState.RUNNING, datetime(2026, 1, 1, tzinfo=UTC)),
    archives=(ARCHIVE,),
    images=(IMAGE, replace(IMAGE, destinations=("r.local/c:3",))),
    progress=Progress(bytes_total=100, percent=41.0),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def changed(job: Job, number: int, image: JobImage) -> Job:
    images = list(job.images)
    images[number] = image
    return replace(job, images=tuple(images))


def failing(display: Display) -> None:
    display.received("x.tar", 5, 10)
    display.received("x.tar", 10, None)
    display.job(replace(RUNNING, archives=(replace(ARCHIVE, format=None),), images=()))
    display.job(RUNNING)
    pushed = changed(RUNNING, 0, replace(IMAGE, state=ImageState.PUSHED))
    display.job(pushed)
    problem = DigestMismatch("layer 1 is not what it should be").problem
    failed = replace(pushed.images[1], state=ImageState.FAILED, problem=problem)
    display.job(replace(changed(pushed, 1, failed), notices=("mind the gap",)))
    display.job(replace(changed(pushed, 1, failed), notices=("mind the gap",)))


EXPECTED = [
    "x.tar: oci-archive in zstd, 2 images",
    "pushed          r.local/a:1",
    "pushed          r.local/b:2",
    "failed          r.local/c:3",
    "                digest_mismatch: layer 1 is not what it should be",
    "note: mind the gap",
]


def test_an_image_that_is_called_nothing_is_shown_as_that() -> None:
    nameless = replace(IMAGE, names=(), destinations=(), digest=None, state=ImageState.FAILED)
    assert list(image_lines(nameless)) == ["failed          (no name)"]


def test_a_log_has_every_thing_once_and_in_order() -> None:
    stream = io.StringIO()
    with make_display(stream) as display:
        failing(display)
    assert stream.getvalue().splitlines() == EXPECTED


def test_a_terminal_has_the_same_lines_above_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with make_display(stream) as display:
        failing(display)
    shown = stream.getvalue()
    positions = [shown.index(line) for line in EXPECTED]
    assert positions == sorted(positions)
    assert "41 %" in shown


def test_a_name_in_brackets_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with make_display(stream) as display:
        display.received("[bold]x[/nothing].tar", 1, 2)
        display.job(replace(RUNNING, archives=(replace(ARCHIVE, name="[bold]x[/nothing].tar"),)))
    assert "[bold]x[/nothing].tar" in stream.getvalue()


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e9, "5.0 GB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_told_for_a_person(count: float, words: str) -> None:
    assert size_of(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9, "9 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"), (None, "of 0 images"), (0, "of 0 images")],
)
def test_the_bar_tells_rate_and_rest(seconds: int | None, words: str) -> None:
    progress = Progress(
        bytes_total=3_000, bytes_done=1_200, percent=40.0, bytes_per_second=210_000, eta_seconds=seconds
    )
    told = format_progress(progress)
    assert told.startswith("40 % · 1.2 kB of 3.0 kB · 210.0 kB/s")
    assert words in told


def test_the_summary_counts_images_by_what_became_of_them() -> None:
    job = changed(RUNNING, 0, replace(IMAGE, state=ImageState.PUSHED))
    assert summarize(job, 1.25).startswith("1 pending, 1 pushed (0 B sent, 0 of 0 blobs were there) in 1.2 s")
    assert summarize(replace(job, images=()), 0).startswith("no images")
