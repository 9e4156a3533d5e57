"""What was dealt with is moved through no link, and over nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.jobs.watch import filing
from app.jobs.watch.filing import Filing, rename_new

REPORT = (".report.json", b"{}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "disk").mkdir(parents=True)
    (tmp_path / "folder" / "disk" / "x.tar").write_bytes(b"archive")
    return tmp_path / "folder"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "index.json").write_bytes(b"of the service")
    return tmp_path / "precious"


def untouched(precious: Path) -> bool:
    return [path.name for path in precious.iterdir()] == ["index.json"] and (
        precious / "index.json"
    ).read_bytes() == b"of the service"


@pytest.mark.parametrize("link", ["done", "done/disk"])
def test_a_folder_that_is_a_link_gets_nothing(folder: Path, precious: Path, link: str) -> None:
    (folder / link).parent.mkdir(exist_ok=True)
    (folder / link).symlink_to(precious)
    with pytest.raises(OSError, match=r"\w"):
        Filing(folder).file("disk/x.tar", ["disk/x.tar"], "done", REPORT)
    assert untouched(precious)
    assert (folder / "disk" / "x.tar").read_bytes() == b"archive"


@pytest.mark.parametrize("link", [".x.tar.report.json.part", "x.tar.report.json", "x.tar"])
def test_a_file_that_is_a_link_is_not_written_through(folder: Path, precious: Path, link: str) -> None:
    place = folder / "done" / "disk"
    place.mkdir(parents=True)
    (place / link).symlink_to(precious / "index.json")
    Filing(folder).file("disk/x.tar", ["disk/x.tar"], "done", REPORT)
    assert untouched(precious)
    assert b"archive" in [path.read_bytes() for path in place.iterdir()]
    assert not (folder / "disk" / "x.tar").exists()


def test_an_archive_behind_a_link_is_not_moved(folder: Path, precious: Path) -> None:
    (folder / "linked").symlink_to(precious)
    with pytest.raises(OSError, match=r"\w"):
        Filing(folder).file("linked/index.json", ["linked/index.json"], "done", REPORT)
    assert untouched(precious)


@pytest.mark.parametrize("has_renameat2", [True, False])
def test_a_second_one_of_a_name_is_put_beside_the_first(
    folder: Path, has_renameat2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "_HAS_RENAMEAT2", has_renameat2)
    for _ in range(2):
        (folder / "disk" / "x.tar").write_bytes(b"archive")
        (folder / "disk" / "x.tar.json").write_bytes(b"{}")
        Filing(folder).file("disk/x.tar", ["disk/x.tar", "disk/x.tar.json"], "failed", REPORT)
    names = {path.name for path in (folder / "failed" / "disk").iterdir()}
    assert names == {f"x.tar{number}{ending}" for number in ("", ".2") for ending in ("", ".json", ".report.json")}


def test_what_came_into_the_way_in_the_last_moment_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"there")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            rename_new(directory, "a", directory, "b")
    finally:
        os.close(directory)
    assert (tmp_path / "b").read_bytes() == b"there"
