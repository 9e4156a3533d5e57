"""What the command line takes: files, directories, and the parts of a split archive as one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.archive import Compression
from app.cli.archive_loader import ArchiveLoader
from app.errors import ChecksumMismatch, MissingContent
from app.jobs.model import JobArchive
from app.oci import Digest
from app.spool.disk import DiskSpool
from tests.support.archives import docker_save, image, sha256, tagged, wrap

APP = docker_save([tagged(image({"bin/app": b"one" * 1000}), "example.com/team/app:1")])


async def taken(folder: Path, files: Sequence[str], checksum: str | None = None) -> list[JobArchive]:
    async with AsyncExitStack() as stack:
        taker = ArchiveLoader(DiskSpool(folder / "spool"), stack, lambda name, received, expected: None)
        digest = Digest.parse(checksum) if checksum else None
        return [await taker.load(file, digest) for file in await taker.join_split_files(files)]


def split(folder: Path, content: bytes, spelling: str = "x.tar.{:02}") -> list[str]:
    size = len(content) // 3
    paths = [folder / spelling.format(number) for number in range(len(content) // size + 1)]
    for number, path in enumerate(paths):
        path.write_bytes(content[number * size : (number + 1) * size])
    return list(map(str, paths))


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.ZSTD])
async def test_parts_are_one_archive(tmp_path: Path, compression: Compression) -> None:
    content = wrap(APP, compression.value)
    (tmp_path / "other.tar").write_bytes(APP)
    files = split(tmp_path, content)
    archives = await taken(tmp_path, [str(tmp_path / "other.tar"), *reversed(files)], None)
    assert [(item.name, item.size, item.compression) for item in archives] == [
        ("other.tar", len(APP), Compression.NONE),
        ("x.tar", len(content), compression),
    ]
    (archive,) = await taken(tmp_path, files, sha256(content))
    assert str(archive.digest) == sha256(content)


async def test_parts_of_any_name_are_one_archive(tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_bytes(APP)
    files = split(tmp_path, wrap(APP, "zstd"), "x-{}")
    archives = await taken(tmp_path, [*files, str(tmp_path / "other.tar")])
    assert [item.name for item in archives] == ["x-0", "other.tar"]


async def test_a_missing_part_is_named(tmp_path: Path) -> None:
    files = split(tmp_path, APP)
    with pytest.raises(MissingContent, match=r"x\.tar\.01"):
        await taken(tmp_path, [files[0], *files[2:]])


async def test_a_numbered_archive_is_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar.00").write_bytes(APP)
    monkeypatch.chdir(tmp_path)
    (archive,) = await taken(tmp_path, ["x.tar.00"])
    assert (archive.name, archive.file and archive.file.parts) == ("x.tar.00", ())


async def test_the_description_of_zarf_is_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tar.part000").write_text(f'{{"Sha256Sum":"","Bytes":{len(APP)},"Count":2}}')
    (tmp_path / "x.tar.part001").write_bytes(APP[:1000])
    (tmp_path / "x.tar.part002").write_bytes(APP[1000:])
    (archive,) = await taken(tmp_path, ["x.tar.part000", "x.tar.part001", "x.tar.part002"])
    assert (archive.name, archive.size) == ("x.tar", len(APP))


@pytest.mark.parametrize("spelling", ["image", "image/", "./image", "image/."])
async def test_a_directory_is_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(APP)) as packed:
        packed.extractall(tmp_path / "image", filter="data")
    monkeypatch.chdir(tmp_path)
    (archive,) = await taken(tmp_path, [spelling])
    assert archive.name == "image"
    with pytest.raises(ChecksumMismatch):
        await taken(tmp_path, [spelling], sha256(APP))
