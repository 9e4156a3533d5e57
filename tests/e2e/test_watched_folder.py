"""TARMAC_WATCH_DIR, with the service as it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

from tests.e2e.service import Service, service
from tests.support.writer import Writer

ONE = Path(__file__).parents[1] / "data" / "corpus" / "d20-save-one.tar"
PATIENCE_SECONDS = 20.0


def wait_for(place: Path, running: Service) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not place.exists():
        assert time.monotonic() < deadline, f"{place} did not come"
        try:
            running.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue


def test_what_lies_in_the_folder_lands_without_a_request(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(ONE, folder / "one.tar")
    with service(tmp_path / "data", TARMAC_WATCH_DIR=str(folder), TARMAC_WATCH_SETTLE="0s") as running:
        wait_for(folder / "done/one.tar", running)
        status, page = running.curl("/jobs")
    assert status == 200
    (job,) = page["jobs"]
    report = json.loads((folder / "done/one.tar.report.json").read_text())
    assert (report["id"], report["state"]) == (job["id"], "succeeded")
    assert report["archives"][0]["source"] == "watch"
    assert not (folder / "one.tar").exists()


def test_a_file_that_is_being_written_is_not_taken_while_others_are(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    content = ONE.read_bytes()
    with (
        Writer(folder / "slow.tar") as writer,
        service(tmp_path / "data", TARMAC_WATCH_DIR=str(folder), TARMAC_WATCH_SETTLE="0s") as running,
    ):
        writer.write(content[: len(content) // 2])
        shutil.copy(ONE, folder / "one.tar")
        wait_for(folder / "done/one.tar", running)
        writer.write(content[len(content) // 2 :])
        shutil.copy(ONE, folder / "two.tar")
        wait_for(folder / "done/two.tar", running)
        assert (folder / "slow.tar").is_file()
        writer.close()
        wait_for(folder / "done/slow.tar", running)
    assert not (folder / "failed").exists()
