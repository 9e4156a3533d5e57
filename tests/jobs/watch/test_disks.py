"""A disk in the watched folder: one delivery, one report, nothing pushed twice, and the rest one decision away."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.api.requests.options import parse_options
from app.jobs.watch import Folder, FolderWatch
from app.jobs.watch.checksum_lists import find_checksum
from tests.api.conftest import Served, serving
from tests.api.test_quoted_content import assert_hidden, lay_out
from tests.support.archives import docker_save, image, tagged

NAMED = {
    f"app{number}.tar": docker_save([tagged(image({"n": bytes([number])}), f"x.test/app{number}:1")])
    for number in range(17)
}
SPLIT = docker_save([tagged(image({"split": os.urandom(30_000)}), "x.test/split:1")])
UNNAMED = {f"unnamed{number}.tar": docker_save([tagged(image({"u": bytes([number])}))]) for number in range(6)}
WHOLE = docker_save([tagged(image({"bad": b"bad"}), "x.test/bad:1")])
DAMAGED = {f"bad{number}.tar": WHOLE[: 1_024 * number] for number in range(3, 8)} | {"changed.tar": NAMED["app0.tar"]}


def fill(disk: Path) -> None:
    """Write the 37 files of a disk: 24 archives, one of them in four parts, 6 damaged ones, and 4 that are none."""
    disk.mkdir(parents=True)
    for name, content in (NAMED | UNNAMED | DAMAGED).items():
        (disk / name).write_bytes(content)
    step = len(SPLIT) // 4 + 1
    for number in range(4):
        (disk / f"split.tar.{number:03}").write_bytes(SPLIT[number * step : (number + 1) * step])
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in NAMED.items()}
    sums |= {"changed.tar": "0" * 64}
    (disk / "SHA256SUMS").write_text("".join(f"{digest}  ./{name}\n" for name, digest in sums.items()))
    (disk / "app1.tar.sha256").write_text(sums["app1.tar"])
    (disk / "manual.pdf").write_bytes(b"%PDF-1.7" * 100)
    (disk / "README.txt").write_text("read me")


class Station:
    """A service whose watched folder is looked at by the test."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        context = served.app.state.context
        self.watch = FolderWatch(context.service, Folder(folder), parse_options, settle_seconds=0)
        self.watch.report_disks(context.deliveries, 10)

    async def look(self, now: float = 0) -> list[str]:
        drops = await self.watch.ready_archives(now)
        await asyncio.gather(*map(self.watch.process, drops))
        await self.watch.ready_archives(now)
        await self.watch.look_at_disks(now)
        return [drop.name for drop in drops]

    async def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.served.client.get("/deliveries")).json()["deliveries"]
        return found

    def below(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    (tmp_path / "folder").mkdir()
    async with serving(tmp_path / "data") as served:
        yield Station(served, tmp_path / "folder")


async def test_a_disk_is_one_delivery_whose_report_has_every_file(station: Station) -> None:
    fill(station.folder / "disk7")
    assert len(station.below()) == 37
    assert len(await station.look()) == 30
    assert not list(station.folder.rglob("*.delivery.*"))
    await station.look(9)
    await station.look(10)
    (delivery,) = await station.deliveries()
    assert delivery["name"] == "disk7"
    counts = {name: count for name, count in delivery["counts"].items() if count}
    assert counts == {"pushed": 18, "needs_decision": 6, "failed": 6, "left_out": 3}
    assert delivery["files"]["total"] == 33
    for name in (*(f"app{number}" for number in range(17)), "split"):
        assert await station.served.digest(name, "1"), name
    rows = (await station.served.client.get(f"/deliveries/{delivery['id']}/report")).json()["rows"]
    assert {row["path"].removeprefix("disk7/") for row in rows} == {
        *NAMED, *UNNAMED, *DAMAGED, "split.tar", "SHA256SUMS", "manual.pdf", "README.txt"
    }  # fmt: skip
    problems = {row["path"]: row["code"] for row in rows}
    assert problems["disk7/changed.tar"] == "checksum_mismatch"
    done = station.folder / "done"
    filed = json.loads((done / "disk7.delivery.json").read_text())
    assert [row["path"] for row in filed["rows"]] == [row["path"] for row in rows]
    assert len(list(csv.reader(io.StringIO((done / "disk7.delivery.csv").read_text())))) == len(rows) + 1
    assert "disk7/manual.pdf" in (done / "disk7.delivery.html").read_text()
    assert {"disk7/SHA256SUMS", "disk7/manual.pdf", "disk7/README.txt"} <= set(station.below())


async def test_the_unnamed_are_one_decision_away_by_a_retry(station: Station) -> None:
    fill(station.folder / "disk7")
    await station.look()
    waiting = (await station.served.client.get("/jobs?state=failed&q=unnamed")).json()["jobs"]
    assert len(waiting) == 6
    for number, job in enumerate(waiting):
        assert ".json" in job["problem"]["detail"]
        again = await station.served.client.post(f"/jobs/{job['id']}/retry?tag=named/app{number}:1")
        assert again.status_code == 202
        assert (await station.served.ended(job))["state"] == "succeeded"
    (delivery,) = await station.deliveries()
    assert (delivery["counts"]["needs_decision"], delivery["counts"]["pushed"]) == (0, 24)


async def test_the_unnamed_are_one_decision_away_by_a_side_file(station: Station) -> None:
    (station.folder / "disk7").mkdir()
    (station.folder / "disk7/x.tar").write_bytes(UNNAMED["unnamed0.tar"])
    await station.look()
    filed = json.loads((station.folder / "failed/disk7/x.tar.report.json").read_text())
    assert "x.tar.json" in filed["problem"]["detail"]
    (station.folder / "disk7/x.tar.json").write_text('{"tag": "named:1"}')
    (station.folder / "failed/disk7/x.tar").rename(station.folder / "disk7/x.tar")
    assert await station.look(1) == ["disk7/x.tar"]
    assert await station.served.digest("named", "1")


async def test_each_insertion_and_each_directory_is_a_delivery_of_its_own(station: Station) -> None:
    for number, place in enumerate(("a/x.tar", "b/deep/y.tar", "z.tar")):
        (station.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (station.folder / place).write_bytes(NAMED[f"app{number}.tar"])
    await station.look()
    await station.look(10)
    assert {item["name"] for item in await station.deliveries()} == {"a", "b", "watched folder"}
    (station.folder / "a/again.tar").write_bytes(NAMED["app9.tar"])
    await station.look(11)
    await station.look(30)
    names = [item["name"] for item in await station.deliveries()]
    assert sorted(names) == ["a", "a", "b", "watched folder"]
    assert (station.folder / "done/a.2.delivery.html").exists()


@pytest.mark.parametrize(
    ("root", "disk", "own", "repository"),
    [
        ({}, {"prefix": "disk"}, {}, "disk/app0"),
        ({}, {"prefix": "disk"}, {"prefix": "own"}, "own/app0"),
        ({}, {"prefix": "disk"}, {"tag": "named:1"}, "disk/named"),
        ({"prefix": "site"}, {"prefix": "disk"}, {"prefix": "own"}, "site/app0"),
        ({"prefix": "site"}, {}, {}, "site/app0"),
    ],
)
async def test_the_nearest_options_win_but_not_over_those_of_the_folder(
    station: Station, root: dict[str, str], disk: dict[str, str], own: dict[str, str], repository: str
) -> None:
    (station.folder / "disk/deep").mkdir(parents=True)
    (station.folder / "disk/deep/x.tar").write_bytes(NAMED["app0.tar"])
    for place, options in ((".tarmac.json", root), ("disk/.tarmac.json", disk), ("disk/deep/x.tar.json", own)):
        if options:
            (station.folder / place).write_text(json.dumps(options))
    await station.look()
    assert await station.served.digest(repository, "1")


@pytest.mark.parametrize("name", ["registry", "verify", "priority", "delivery"])
async def test_a_disk_does_not_set_what_the_operator_decides(station: Station, name: str) -> None:
    (station.folder / "disk").mkdir()
    (station.folder / "disk/x.tar").write_bytes(NAMED["app0.tar"])
    (station.folder / "disk/.tarmac.json").write_text(json.dumps({name: "none"}))
    await station.look()
    filed = json.loads((station.folder / "failed/disk/x.tar.report.json").read_text())
    assert filed["problem"]["code"] == "invalid_request"
    (job, *more) = (await station.served.client.get("/jobs")).json()["jobs"] or [None]
    assert (job, more) == (None, [])


DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        (f"{DIGEST}  x.tar\n", "x.tar", True),
        (f"{DIGEST} *x.tar", "x.tar", True),
        (f"{DIGEST.upper()}  ./sub/x.tar", "sub/x.tar", True),
        (f"SHA256 (x.tar) = {DIGEST}", "x.tar", True),
        (f"{DIGEST}  /mnt/build/x.tar", "x.tar", True),
        (f"{DIGEST}  other/x.tar", "sub/x.tar", False),
        (f"{DIGEST}  y.tar", "x.tar", False),
        (f"{DIGEST[:-2]}  x.tar", "x.tar", False),
        ("no list of checksums", "x.tar", False),
        ("", "x.tar", False),
    ],
)
def test_a_list_of_checksums_is_read_as_tools_write_it(text: str, name: str, found: bool) -> None:
    assert find_checksum(text, name) == (f"sha256:{DIGEST}" if found else None)


@pytest.mark.parametrize("name", ["text", "gzip", "zstd", "xz", "json", "pem"])
async def test_nothing_of_a_file_that_is_left_is_quoted(station: Station, name: str) -> None:
    disk = station.folder / "disk7"
    disk.mkdir()
    left = lay_out(disk, name)
    (disk / "app.tar").write_bytes(next(iter(NAMED.values())))
    for elapsed in (0, 9, 20):
        await station.look(elapsed)
    (report,) = station.folder.rglob("*.delivery.json")
    assert [row["path"] for row in json.loads(report.read_text())["rows"] if row["outcome"] == "left_out"] == [
        f"disk7/{name}"
    ]
    for file in station.folder.rglob("*.delivery.*"):
        assert_hidden(file.read_text())
    assert left.exists()
