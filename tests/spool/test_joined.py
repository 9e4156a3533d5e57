"""Files that are parts of one archive, read as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import SourceChanged, TruncatedArchive
from app.spool import SpooledFile
from app.spool.disk import DiskSpool, stat_server_file

CONTENT = bytes(range(100))


@pytest.fixture
def spool(tmp_path: Path) -> DiskSpool:
    return DiskSpool(tmp_path / "spool")


def split(folder: Path, *sizes: int) -> SpooledFile:
    parts, start = [], 0
    for number, size in enumerate(sizes):
        (folder / f"x.{number}").write_bytes(CONTENT[start : start + size])
        parts.append(stat_server_file(str(folder / f"x.{number}")))
        start += size
    return SpooledFile(str(folder / "x"), start, owned=False, identity=parts[0].identity, parts=tuple(parts))


def test_every_piece_is_read_over_the_seams(spool: DiskSpool, tmp_path: Path) -> None:
    joined = spool.open(split(tmp_path, 30, 0, 1, 69))
    assert joined.size == 100
    for start in range(101):
        for end in range(start, 101):
            assert joined.read_at(start, end - start) == CONTENT[start:end]
    with pytest.raises(TruncatedArchive):
        joined.read_at(50, 51)
    joined.close()
    joined.close()
    with pytest.raises(SourceChanged):
        joined.read_at(0, 1)


def test_a_part_that_is_gone_leaves_none_open(spool: DiskSpool, tmp_path: Path) -> None:
    file = split(tmp_path, 50, 50)
    (tmp_path / "x.1").unlink()
    with pytest.raises(SourceChanged, match=r"x\.1"):
        spool.open(file)
