"""Copies into the watched folder that stall: no archive is filed under failed/ while it may still be written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.api.requests.options import parse_options
from app.jobs import JobService
from app.jobs.store.memory import MemoryJobStore
from app.jobs.watch import Folder, FolderWatch, unfinished
from app.jobs.watch.stability import FIRST_STAY, LONGEST_REST, LONGEST_STAY
from app.jobs.watch.unfinished import is_written, written_by_processes
from tests.jobs.bench import APP, NAMELESS, Bench
from tests.jobs.watch.test_watcher import below, report
from tests.support.archives import entry, image, oci_image, oci_members, wrap
from tests.support.writer import Writer

HALF = len(APP) // 2
SETTLE = 5.0
DONE = ["done/x.tar", "done/x.tar.report.json"]
FAILED = ["failed/x.tar", "failed/x.tar.report.json"]


class Station:
    """A watched folder, with a clock that goes on when it is told to."""

    def __init__(self, service: JobService, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        self.watch = FolderWatch(self.service, Folder(self.folder), parse_options, settle_seconds=SETTLE)

    async def look(self, seconds: float = 0.0) -> list[str]:
        """Look twice, `seconds` between them, and carry what is complete to its end. Return the names of it."""
        await self.watch.ready_archives(self.now)
        self.now += seconds
        drops = await self.watch.ready_archives(self.now)
        for drop in drops:
            await self.watch.process(drop)
        return [drop.name for drop in drops]

    async def codes(self) -> list[str | None]:
        """Of the jobs there were, oldest first."""
        jobs, _ = await self.service.page()
        return [None if job.problem is None else job.problem.code for job in reversed(jobs)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@asynccontextmanager
async def at_work(tmp_path: Path, folder: Path) -> AsyncIterator[Station]:
    (tmp_path / "service").mkdir()
    async with Bench(tmp_path / "service", MemoryJobStore()).service() as service:
        yield Station(service, folder)


@pytest.fixture
async def station(tmp_path: Path, folder: Path) -> AsyncIterator[Station]:
    async with at_work(tmp_path, folder) as running:
        yield running


async def test_a_file_that_a_process_has_open_is_not_taken_however_long_it_stalls(
    station: Station, folder: Path
) -> None:
    with Writer(folder / "x.tar") as writer:
        writer.write(APP[:HALF])
        for pause in (SETTLE, 60, 3600, 86_400):
            assert await station.look(pause) == []
        writer.write(APP[HALF:])
        assert await station.look(86_400) == []
        writer.close()
        assert await station.look(SETTLE) == ["x.tar"]
    assert below(folder) == DONE
    assert await station.codes() == [None]


async def test_a_writer_that_dies_lets_go_of_its_file(station: Station, folder: Path) -> None:
    with Writer(folder / "x.tar") as writer:
        writer.write(APP)
        assert await station.look(SETTLE) == []
    assert await station.look(SETTLE) == ["x.tar"]


async def test_a_reader_keeps_nothing_from_being_taken(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP)
    with (folder / "x.tar").open("rb"):
        assert await station.look(SETTLE) == ["x.tar"]


async def test_a_file_that_was_renamed_while_it_is_open_is_not_taken(station: Station, folder: Path) -> None:
    with Writer(folder / "x.tar.part") as writer:
        writer.write(APP[:HALF])
        await station.look()
        (folder / "x.tar.part").rename(folder / "x.tar")
        assert await station.look(SETTLE) == []
        writer.write(APP[HALF:])
        writer.close()
        await station.look(SETTLE)
    assert below(folder) == DONE


async def test_one_part_of_several_that_is_open_keeps_all(station: Station, folder: Path) -> None:
    (folder / "x.tar.part000").write_bytes(APP[:HALF])
    with Writer(folder / "x.tar.part001") as writer:
        writer.write(APP[HALF:])
        assert await station.look(SETTLE) == []
    assert await station.look(SETTLE) == ["x.tar"]


async def test_one_file_of_an_unpacked_layout_that_is_open_keeps_all(station: Station, folder: Path) -> None:
    members = oci_members([entry(oci_image(image({"bin/app": b"one"})), ref="example.com/team/app:1")])
    for member in members:
        (folder / "app" / member.name).parent.mkdir(parents=True, exist_ok=True)
        if not member.directory:
            (folder / "app" / member.name).write_bytes(member.data)
    with Writer(folder / "app" / "index.json", "ab"):
        assert await station.look(SETTLE) == []
    assert await station.look(SETTLE) == ["app"]
    assert (folder / "done/app/oci-layout").is_file()


@pytest.mark.parametrize("content", [APP, wrap(APP, "gzip"), wrap(APP, "zstd")], ids=["plain", "gzip", "zstd"])
async def test_a_copy_that_no_process_is_seen_at_stays_and_is_taken_when_it_goes_on(
    station: Station, folder: Path, content: bytes
) -> None:
    """As over a network share: every piece is written by a process that has ended."""
    third, half = len(content) // 3, len(content) // 2
    pieces = [content[:third], content[third:half], content[half:]]
    for number, piece in enumerate(pieces):
        with Writer(folder / "x.tar", "ab") as writer:
            writer.write(piece)
        rest = SETTLE * 2.0**number
        assert await station.look(rest - 0.1) == []
        assert await station.look(0.1) == ["x.tar"]
        assert below(folder) == (DONE if number == 2 else ["x.tar"])
    assert await station.codes() == ["truncated_archive", "truncated_archive", None]


async def test_the_rest_that_is_waited_for_grows_to_minutes(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP[:600])
    await station.look(SETTLE)
    rests = []
    for number in range(1, 12):
        with (folder / "x.tar").open("ab") as file:
            file.write(APP[600 + number : 601 + number])
        rest = 0.0
        while not await station.look(1.0):
            rest += 1.0
        rests.append(rest + 1.0)
    assert rests[:3] == [2 * SETTLE, 4 * SETTLE, 8 * SETTLE]
    assert rests[-1] == LONGEST_REST
    assert below(folder) == ["x.tar"]


async def test_what_is_cut_off_for_good_goes_to_failed_after_minutes(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP[:HALF])
    assert await station.look(SETTLE) == ["x.tar"]
    assert await station.look(FIRST_STAY - 1) == []
    assert below(folder) == ["x.tar"]
    assert await station.look(1) == ["x.tar"]
    assert below(folder) == FAILED
    assert report(folder / "failed/x.tar.report.json")["problem"]["code"] == "truncated_archive"
    assert await station.codes() == ["truncated_archive"], "it was read once"


async def test_it_stays_longer_each_time_and_on_while_it_is_open(station: Station, folder: Path) -> None:
    stays = []
    for number in range(8):
        with (folder / "x.tar").open("ab") as file:
            file.write(APP[600 * number : 600 * (number + 1)])
        assert await station.look(LONGEST_REST) == ["x.tar"]
        stays.append(station.watch._settling._cut_off["x.tar"].count)
    assert stays == [1, 2, 3, 4, 5, 6, 7, 8]
    assert await station.look(LONGEST_STAY - 1) == []
    with Writer(folder / "x.tar", "ab"):
        assert await station.look(86_400) == []
    assert below(folder) == ["x.tar"]


async def test_a_restart_forgets_how_long_it_stayed_and_makes_no_second_job(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP[:HALF])
    await station.look(SETTLE)
    station.restart()
    assert await station.look(SETTLE) == ["x.tar"]
    assert below(folder) == ["x.tar"]
    assert await station.codes() == ["truncated_archive"]
    await station.look(FIRST_STAY)
    assert below(folder) == FAILED


async def test_what_is_written_while_its_job_reads_it_stays(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(NAMELESS)
    await station.watch.ready_archives(station.now)
    station.now += SETTLE
    (drop,) = await station.watch.ready_archives(station.now)
    found = station.service.submit_paths

    async def writing(*args: Any, **named: Any) -> Any:
        job = await station.service.wait((await found(*args, **named)).id, 30)
        (folder / "x.tar").write_bytes(APP)
        return job

    station.service.submit_paths = writing  # type: ignore[method-assign]
    await station.watch.process(drop)
    assert below(folder) == ["x.tar"], "missing_tag was of what lay there before"
    station.service.submit_paths = found  # type: ignore[method-assign]
    assert await station.look(SETTLE) == ["x.tar"]
    assert below(folder) == DONE


async def test_a_new_file_in_place_of_one_that_landed_is_not_put_away_unread(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP)
    await station.watch.ready_archives(station.now)
    station.now += SETTLE
    (drop,) = await station.watch.ready_archives(station.now)
    (folder / "y.tar").write_bytes(NAMELESS)
    (folder / "y.tar").rename(folder / "x.tar")
    await station.watch.process(drop)
    assert below(folder) == ["x.tar"]


@pytest.mark.parametrize("kind", ["empty", "allocated", "between members", "with a checksum", "first of two parts"])
async def test_whatever_a_stalled_copy_reads_as_it_stays_and_lands(station: Station, folder: Path, kind: str) -> None:
    place, content = folder / "x.tar", APP
    if kind == "empty":
        place.touch()
    elif kind == "allocated":  # as Windows does before it copies
        with place.open("wb") as file:
            file.write(APP[:4096])
            file.truncate(1 << 20)
        content = APP.ljust(1 << 20, b"\0")
    elif kind == "between members":
        place.write_bytes(APP[: APP.index(b"manifest.json")])
    elif kind == "with a checksum":
        place.write_bytes(APP[:HALF])
        (folder / "x.tar.sha256").write_text(hashlib.sha256(APP).hexdigest())
    else:
        place = folder / "x.tar.part001"
        (folder / "x.tar.part000").write_bytes(APP[:HALF])
        content = APP[HALF:]
    assert await station.look(SETTLE) == ([] if kind == "empty" else ["x.tar"])
    assert not (folder / "failed").exists()
    place.write_bytes(content)
    assert await station.look(2 * SETTLE) == ["x.tar"]
    assert (folder / "done").is_dir()
    assert not (folder / "failed").exists()


async def test_what_is_whole_and_wrong_goes_to_failed_at_once(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(NAMELESS)
    assert await station.look(SETTLE) == ["x.tar"]
    assert below(folder) == FAILED


@pytest.mark.parametrize("content", [b"%PDF-1.7 no archive" * 1000, os.urandom(5000), b""])
async def test_what_is_no_archive_stays(station: Station, folder: Path, content: bytes) -> None:
    (folder / "x.tar").write_bytes(content)
    assert await station.look(SETTLE) == []
    assert below(folder) == ["x.tar"]


async def test_a_folder_that_goes_away_meanwhile_breaks_nothing(station: Station, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP)
    await station.watch.ready_archives(0)
    (drop,) = await station.watch.ready_archives(SETTLE)
    (folder / "x.tar").unlink()
    folder.rmdir()
    assert not Folder(folder).is_written(drop)
    await station.watch.process(drop)
    assert await station.look(SETTLE) == []


def test_processes_are_looked_through_where_the_kernel_gives_no_lease(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "free.tar").write_bytes(APP)
    with Writer(folder / "x.tar") as writer:
        status = (folder / "x.tar").stat()
        assert (status.st_dev, status.st_ino) in set(written_by_processes())
        monkeypatch.setattr(unfinished, "_is_free", lambda descriptor: None)
        assert is_written(folder, ["x.tar"])
        assert not is_written(folder, ["free.tar"])
        writer.close()
        assert not is_written(folder, ["x.tar"])
        monkeypatch.setattr(unfinished, "PROCESSES", folder / "nothing")
        assert list(written_by_processes()) == []
