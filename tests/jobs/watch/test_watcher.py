"""The watched folder: what is complete becomes a job, and lies in done/ or failed/ with a report when it has ended."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.requests.options import parse_options
from app.errors import PathNotFound
from app.jobs import ArchiveSource, JobRequest, JobService, JobState
from app.jobs.audit import audit_members
from app.jobs.listing import JobFilters
from app.jobs.store.memory import MemoryJobStore
from app.jobs.watch import Folder, FolderWatch
from app.push import PushOptions
from app.registry.wrappers.verify import Verification
from tests.jobs.bench import APP, NAMELESS, TWO, Bench, ended, upload
from tests.support.archives import docker_save, entry, image, oci_image, oci_members, tagged
from tests.support.storage_tree import tree


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "service").mkdir()
    return Bench(tmp_path / "service", MemoryJobStore())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def watch_of(service: JobService, folder: Path, settle_seconds: float = 0) -> FolderWatch:
    return FolderWatch(service, Folder(folder), parse_options, settle_seconds=settle_seconds)


async def carried(watch: FolderWatch, now: float = 0) -> list[str]:
    """One look, and all that it found dealt with."""
    drops = await watch.ready_archives(now)
    for drop in drops:
        await watch.process(drop)
    return [drop.name for drop in drops]


def report(place: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return document


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_an_archive_lands_and_is_put_away_with_its_report(bench: Bench, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP)
    with capture_logs() as logs:
        async with bench.service() as service:
            await carried(watch_of(service, folder))
            (job,), _ = await service.page()
    assert job.state is JobState.SUCCEEDED
    taken, filed = (line for line in logs if line["event"].startswith("watch."))
    assert (taken["event"], taken["file"], taken["job"]) == ("watch.file_taken", "x.tar", job.id)
    assert (filed["event"], filed["file"], filed["job"]) == ("watch.file_filed", "x.tar", job.id)
    assert (filed["outcome"], filed["code"]) == ("done", None)
    assert job.archives[0].source is ArchiveSource.WATCH
    assert ("team/app", "1") in bench.registry.tags
    assert below(folder) == ["done/x.tar", "done/x.tar.report.json"]
    assert report(folder / "done/x.tar.report.json")["images"][0]["destinations"] == ["registry.test/team/app:1"]


async def test_an_archive_that_cannot_be_pushed_lies_in_failed_and_the_report_says_why(
    bench: Bench, folder: Path
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/x.tar").write_bytes(NAMELESS)
    with capture_logs() as logs:
        async with bench.service() as service:
            await carried(watch_of(service, folder))
            (job,), _ = await service.page()
    assert (logs[-1]["event"], logs[-1]["outcome"], logs[-1]["code"]) == ("watch.file_filed", "failed", "missing_tag")
    assert below(folder) == ["failed/sub/x.tar", "failed/sub/x.tar.report.json"]
    assert report(folder / "failed/sub/x.tar.report.json")["problem"]["code"] == "missing_tag"
    (archive,) = report(folder / "failed/sub/x.tar.report.json")["archives"]
    assert (archive["path"], archive["size"], archive["format"]) == ("sub/x.tar", len(NAMELESS), "docker-archive")
    assert audit_members(job)["archives"][0]["path"] == "sub/x.tar"


async def test_a_file_is_taken_when_it_has_been_as_it_is_for_long_enough(bench: Bench, folder: Path) -> None:
    (folder / "x.tar").write_bytes(APP[:1000])
    async with bench.service() as service:
        watch = watch_of(service, folder, settle_seconds=5)
        assert await watch.ready_archives(100) == ()
        assert await watch.ready_archives(104.9) == ()
        with (folder / "x.tar").open("ab") as file:
            file.write(APP[1000:])
        assert await watch.ready_archives(105) == ()
        assert await watch.ready_archives(109.9) == ()
        assert await carried(watch, 110) == ["x.tar"]
    assert below(folder) == ["done/x.tar", "done/x.tar.report.json"]


async def test_a_file_that_was_renamed_when_it_was_complete_is_taken_at_once(bench: Bench, folder: Path) -> None:
    (folder / "x.tar.part").write_bytes(APP)
    async with bench.service() as service:
        watch = watch_of(service, folder, settle_seconds=1000)
        assert await watch.ready_archives(0) == ()
        (folder / "x.tar.part").rename(folder / "x.tar")
        assert await carried(watch, 1) == ["x.tar"]


@pytest.mark.parametrize(
    "name",
    ["x.tar.part", "x.tar.tmp", ".x.tar", "x.tar~", "x.crdownload", "done/x.tar", "failed/x.tar", "x.json", "x.sha256"],
)
async def test_what_is_hidden_unfinished_or_put_away_is_no_archive(bench: Bench, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(APP)
    async with bench.service() as service:
        assert await carried(watch_of(service, folder)) == []
    assert below(folder) == [name]


async def test_a_link_out_of_the_folder_is_not_followed(bench: Bench, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/x.tar").write_bytes(APP)
    (folder / "x.tar").symlink_to(tmp_path / "secret/x.tar")
    (folder / "more").symlink_to(tmp_path / "secret")
    async with bench.service() as service:
        assert await carried(watch_of(service, folder)) == []


@pytest.mark.parametrize("words", ["{digest}", "{digest}  x.tar\n", "sha256:{digest}\n"])
async def test_a_checksum_beside_it_is_compared(bench: Bench, folder: Path, words: str) -> None:
    (folder / "x.tar").write_bytes(APP)
    (folder / "x.tar.sha256").write_text(words.format(digest=hashlib.sha256(APP).hexdigest()))
    async with bench.service() as service:
        await carried(watch_of(service, folder))
    assert below(folder) == ["done/x.tar", "done/x.tar.report.json", "done/x.tar.sha256"]


@pytest.mark.parametrize("words", ["0" * 64, "no checksum", ""])
async def test_with_a_checksum_that_is_not_its_own_nothing_is_pushed(bench: Bench, folder: Path, words: str) -> None:
    (folder / "x.tar").write_bytes(APP)
    (folder / "x.tar.sha256").write_text(words)
    async with bench.service() as service:
        await carried(watch_of(service, folder))
    assert below(folder) == ["failed/x.tar", "failed/x.tar.report.json", "failed/x.tar.sha256"]
    assert report(folder / "failed/x.tar.report.json")["problem"]["code"] == "checksum_mismatch"
    assert not bench.registry.tags


async def test_options_are_of_the_file_beside_it_else_of_the_folder(bench: Bench, folder: Path) -> None:
    (folder / ".tarmac.json").write_text('{"prefix": "all", "label": {"site": "b"}}')
    (folder / "x.tar").write_bytes(APP)
    (folder / "y.tar").write_bytes(NAMELESS)
    (folder / "y.tar.json").write_text('{"tag": "mine:2"}')
    async with bench.service() as service:
        await carried(watch_of(service, folder))
        jobs, _ = await service.page(JobFilters(label="site=b"))
    assert [job.archives[0].name for job in jobs] == ["x.tar"]
    assert ("all/team/app", "1") in bench.registry.tags
    assert ("mine", "2") in bench.registry.tags


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "invalid_request"),
        ("[]", "invalid_request"),
        ('{"tga": "a:1"}', "invalid_request"),
        ('{"registry": "none"}', "unknown_registry"),
        ('{"paths": ["/etc/shadow"]}', "invalid_request"),
    ],
)
async def test_wrong_options_are_told_in_the_report(bench: Bench, folder: Path, text: str, code: str) -> None:
    (folder / "x.tar").write_bytes(APP)
    (folder / "x.tar.json").write_text(text)
    async with bench.service() as service:
        await carried(watch_of(service, folder))
    assert report(folder / "failed/x.tar.report.json")["problem"]["code"] == code


async def test_the_parts_of_a_split_archive_are_one(bench: Bench, folder: Path) -> None:
    for number in range(3):
        (folder / f"x.tar.part{number:03}").write_bytes(
            APP[number * 4000 : (number + 1) * 4000 if number < 2 else None]
        )
    (folder / "x.tar.sha256").write_text(hashlib.sha256(APP).hexdigest())
    async with bench.service() as service:
        assert await carried(watch_of(service, folder)) == ["x.tar"]
    assert below(folder / "done") == [
        "x.tar.part000",
        "x.tar.part001",
        "x.tar.part002",
        "x.tar.report.json",
        "x.tar.sha256",
    ]


@pytest.mark.parametrize("names", [("x.tar.one", "x.tar.two", "x.tar.zzz"), ("haul_0.tar", "haul_1.tar", "haul_2.tar")])
async def test_parts_of_any_name_are_one_archive(bench: Bench, folder: Path, names: tuple[str, ...]) -> None:
    size = len(APP) // len(names) + 1
    for number, name in enumerate(names):
        (folder / name).write_bytes(APP[number * size : (number + 1) * size])
    for name in ("note.txt", "x.tar.sig", "whole.tar", "whole.tar.bin"):
        (folder / name).write_bytes(TWO if name == "whole.tar" else b"\x89 no archive")
    async with bench.service() as service:
        assert names[0] in await carried(watch_of(service, folder))
    placed = below(folder)
    assert [f"done/{name}" in placed for name in names] == [True] * len(names)
    assert "done/whole.tar" in placed
    assert len(report(folder / f"done/{names[0]}.report.json")["archives"]) == 1


async def test_a_part_that_comes_later_makes_the_archive_whole(bench: Bench, folder: Path) -> None:
    half = len(APP) // 2
    (folder / "x-a").write_bytes(APP[:half])
    async with bench.service() as service:
        watch = watch_of(service, folder)
        await carried(watch)
        assert below(folder) == ["x-a"]
        (folder / "x-b").write_bytes(APP[half:])
        await carried(watch, 10)
        await carried(watch, 400)
    assert below(folder) == ["done/x-a", "done/x-a.report.json", "done/x-b"]


async def test_an_unpacked_layout_is_one_archive(bench: Bench, folder: Path) -> None:
    node = oci_image(image({"bin/app": b"one"}))
    for member in oci_members([entry(node, ref="example.com/team/app:1")]):
        place = folder / "disk/app" / member.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not member.directory:
            place.write_bytes(member.data)
    async with bench.service() as service:
        assert await carried(watch_of(service, folder)) == ["disk/app"]
    assert (folder / "done/disk/app/oci-layout").is_file()
    assert ("team/app", "1") in bench.registry.tags


async def test_the_directory_of_a_registrys_storage_is_one_archive(bench: Bench, folder: Path) -> None:
    node = oci_image(image({"a": b"1"}))
    for member in tree({"team/app": {"1": node}}):
        place = folder / "disk" / member.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(member.data)
    listing = Folder(folder).scan()
    assert [drop.paths for drop in listing.drops] == [("disk",)]
    assert len(listing.drops[0].files) == sum(1 for path in (folder / "disk").rglob("*") if path.is_file())


async def test_a_second_file_of_a_name_is_put_beside_the_first(bench: Bench, folder: Path) -> None:
    async with bench.service() as service:
        for content in (APP, TWO):
            (folder / "x.tar").write_bytes(content)
            await carried(watch_of(service, folder))
    assert below(folder / "done") == ["x.tar", "x.tar.2", "x.tar.2.report.json", "x.tar.report.json"]


async def test_the_same_file_is_one_job_over_a_restart(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "x.tar").write_bytes(APP)
    (folder / "done").write_bytes(b"in the way")
    async with bench.service() as service:
        watch = watch_of(service, folder)
        await carried(watch)
        assert await carried(watch) == [], "what could not be moved is left alone"
    (folder / "done").unlink()
    async with bench.service() as service:
        await carried(watch_of(service, folder))
        jobs, _ = await service.page()
    assert len(jobs) == 1
    assert below(folder) == ["done/x.tar", "done/x.tar.report.json"]


async def test_a_failed_file_that_is_put_back_is_tried_anew(bench: Bench, folder: Path) -> None:
    (folder / "x.tar").write_bytes(NAMELESS)
    async with bench.service() as service:
        await carried(watch_of(service, folder))
        (folder / "failed/x.tar").rename(folder / "x.tar")
        (folder / "x.tar.json").write_text('{"tag": "mine:1"}')
        await carried(watch_of(service, folder))
    assert ("mine", "1") in bench.registry.tags


async def test_a_disk_that_is_pulled_out_and_put_back_goes_on(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """The directory moves away as a disk does: the files keep all that is known of them."""
    (folder / "disk").mkdir()
    (folder / "disk/x.tar").write_bytes(APP)
    async with bench.service() as service:
        watch = watch_of(service, folder)
        (drop,) = await watch.ready_archives(0)
        found = service.submit_paths

        async def pulled_out(*args: Any, **named: Any) -> Any:
            job = await found(*args, **named)
            (folder / "disk").rename(tmp_path / "pocket")
            return job

        service.submit_paths = pulled_out  # type: ignore[method-assign]
        await watch.process(drop)
        assert below(folder) == []
        service.submit_paths = found  # type: ignore[method-assign]
        (tmp_path / "pocket").rename(folder / "disk")
        await carried(watch)
        jobs, _ = await service.page()
    assert [job.state for job in jobs] == [JobState.SUCCEEDED]
    assert below(folder) == ["done/disk/x.tar", "done/disk/x.tar.report.json"]


async def test_a_folder_that_is_gone_is_waited_for(bench: Bench, folder: Path) -> None:
    async with bench.service() as service:
        watch = watch_of(service, folder)
        folder.rmdir()
        with capture_logs() as logs:
            assert await watch.ready_archives(0) == ()
            assert await watch.ready_archives(0) == ()
        assert [line["event"] for line in logs] == ["watch.folder_unreadable"]
        folder.mkdir()
        (folder / "x.tar").write_bytes(APP)
        assert await carried(watch, 1) == ["x.tar"]


def test_a_side_file_that_is_a_pipe_is_refused(folder: Path) -> None:
    os.mkfifo(folder / ".tarmac.json")
    (folder / "x.tar").write_bytes(APP)
    (drop,) = Folder(folder).scan().drops
    with pytest.raises(PathNotFound):
        Folder(folder).options(drop)


SAMPLE = image({"bin/app": b"one" * 3000}, {"etc/app": b"two" * 3000})
WHOLE = docker_save([tagged(SAMPLE, "example.com/team/app:1")])
NEWER = docker_save([tagged(image({"bin/app": b"newer"}), "example.com/team/app:1")])


def damaged(archive: bytes, content: bytes) -> bytes:
    place = archive.index(content) + len(content) - 1
    return archive[:place] + bytes([archive[place] ^ 1]) + archive[place + 1 :]


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    ("there", "options", "count"),
    [(NEWER, {"on_existing_tag": "skip"}, "images_skipped"), (WHOLE, {}, "images_present")],
    ids=["skipped", "present"],
)
async def test_what_need_not_be_pushed_is_read_before_it_counts_as_done(
    bench: Bench, folder: Path, there: bytes, options: dict[str, str], count: str, layer: int
) -> None:
    async with bench.service() as service:
        await ended(service, await upload(service, there))
        (folder / "whole.tar").write_bytes(WHOLE)
        (folder / "damaged.tar").write_bytes(damaged(WHOLE, SAMPLE.layers[layer]))
        for name in ("whole", "damaged"):
            (folder / f"{name}.tar.json").write_text(json.dumps(options))
        await carried(watch_of(service, folder))
    done, failed = report(folder / "done/whole.tar.report.json"), report(folder / "failed/damaged.tar.report.json")
    assert (done["state"], done["progress"][count], done["progress"]["images_failed"]) == ("succeeded", 1, 0)
    assert (failed["state"], failed["progress"][count], failed["progress"]["images_failed"]) == ("failed", 0, 1)
    assert failed["images"][0]["problem"]["code"] == "digest_mismatch"


async def test_what_is_sent_in_a_request_is_not_read_for_what_is_there(bench: Bench) -> None:
    async with bench.service() as service:
        await ended(service, await upload(service, WHOLE))
        job = await ended(service, await upload(service, damaged(WHOLE, SAMPLE.layers[0])))
        assert (job.state, job.progress.images_present) == (JobState.SUCCEEDED, 1)
        asked = JobRequest(PushOptions(verify=Verification.CONTENT))
        job = await ended(service, await upload(service, damaged(WHOLE, SAMPLE.layers[0]), asked))
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem.code == "digest_mismatch"
