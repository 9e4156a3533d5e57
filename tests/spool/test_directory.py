"""A directory read as the tar of it: the same as a packed one, and never a byte from outside of it."""

from __future__ import annotations

import io
import os
import random
import socket
import tarfile
from pathlib import Path

import pytest

from app.archive import index_file
from app.archive.tar.index import MemberKind
from app.errors import LimitExceeded, MalformedArchive, PathNotFound, SourceChanged, TruncatedArchive
from app.spool import directory_tar as directories
from app.spool.directory_tar import DirectoryFile, open_directory
from app.spool.disk import DiskSpool

FILES = {
    "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    "blobs/sha256/one": b"1" * 700,
    "blobs/sha256/two": b"2" * 512,
    "empty": b"",
    "long/" + "n" * 120 + "/" + "m" * 90: b"long",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    return tree


def opened(tree: Path) -> DirectoryFile:
    return open_directory(str(tree), PathNotFound)


def whole(file: DirectoryFile) -> bytes:
    return file.read_at(0, file.size)


def test_the_tar_of_a_directory_is_one_that_other_readers_read_alike(tree: Path) -> None:
    (tree / "link").symlink_to("blobs/sha256/one")
    file = opened(tree)
    content = whole(file)
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        members = {member.name: member for member in packed}
        held = {name: packed.extractfile(name) for name, member in members.items() if member.isreg()}
        assert {name: reader.read() for name, reader in held.items() if reader} == FILES
        assert members["link"].linkname == "blobs/sha256/one"
        assert {name for name, member in members.items() if member.isdir()} == {
            "blobs",
            "blobs/sha256",
            "long",
            "long/" + "n" * 120,
        }
    index = index_file(file, file.size)
    assert {member.name for member in index.files()} == set(FILES)
    assert index.read("link", file, 1000) == FILES["blobs/sha256/one"]
    file.close()


def test_any_piece_of_it_is_the_piece_of_the_whole(tree: Path) -> None:
    file = opened(tree)
    content = whole(file)
    generator = random.Random(1)
    for _ in range(500):
        offset = generator.randrange(len(content))
        size = generator.randrange(len(content) - offset + 1)
        assert file.read_at(offset, size) == content[offset : offset + size]
    with pytest.raises(TruncatedArchive):
        file.read_at(len(content), 1)
    file.close()
    file.close()
    with pytest.raises(SourceChanged):
        file.read_at(0, 1)


def test_an_empty_directory_is_a_tar_of_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert whole(file) == bytes(1024)
    file.close()


def test_a_link_is_a_member_and_is_never_followed_by_the_file_system(tree: Path) -> None:
    (tree.parent / "secret").write_bytes(b"secret")
    (tree / "out").symlink_to("../secret")
    (tree / "absolute").symlink_to("/etc/passwd")
    (tree / "up").symlink_to("..")
    file = opened(tree)
    assert b"secret" not in whole(file).replace(b"../secret", b"")
    index = index_file(file, file.size)
    assert index.members["up"][0].kind is MemberKind.SYMLINK
    assert "up/secret" not in index.members
    for name in ("out", "absolute", "up"):
        with pytest.raises(MalformedArchive):
            index.read(name, file, 1000)
    file.close()


def test_what_is_no_file_is_refused_as_in_a_tar_and_a_socket_left_out(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "s"))
        file = opened(tree)
        assert "s" not in index_file(file, file.size).members
        file.close()
    os.mkfifo(tree / "pipe")
    file = opened(tree)
    with pytest.raises(MalformedArchive, match="named pipe"):
        index_file(file, file.size)
    file.close()


def test_names_that_are_not_utf_8_do_no_harm(tree: Path) -> None:
    (tree / os.fsdecode(b"\xff\xfe")).write_bytes(b"odd")
    file = opened(tree)
    assert index_file(file, file.size).read("\\xff\\xfe", file, 10) == b"odd"
    file.close()


@pytest.mark.parametrize("change", ["rewrite", "swap", "link", "remove", "parent"])
def test_a_file_changed_while_it_is_read_is_told(tree: Path, change: str) -> None:
    path = tree / "blobs/sha256/one"
    file = opened(tree)
    extent = index_file(file, file.size).extent("blobs/sha256/one")
    assert extent is not None
    (tree.parent / "secret").write_bytes(b"1" * 700)
    if change == "parent":
        (tree / "blobs/sha256").rename(tree.parent / "elsewhere")
        (tree / "blobs/sha256").symlink_to(tree.parent / "elsewhere")
    else:
        path.unlink()
    if change == "rewrite":
        path.write_bytes(b"3" * 700)
    elif change == "swap":
        (tree.parent / "secret").rename(path)
    elif change == "link":
        path.symlink_to(tree.parent / "secret")
    with pytest.raises(SourceChanged):
        file.read_at(extent.offset, extent.size)
    file.close()


def test_a_tree_that_is_too_deep_or_too_wide_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_DEPTH", 2)
    with pytest.raises(LimitExceeded, match="2 levels"):
        opened(tree)
    monkeypatch.setattr(directories, "MAX_DEPTH", 32)
    monkeypatch.setattr(directories, "MAX_ENTRIES", 5)
    with pytest.raises(LimitExceeded, match="5 files"):
        opened(tree)


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PathNotFound, match="nothing"):
        opened(tmp_path / "nothing")

    def denied(path: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(PathNotFound):
        opened(tmp_path)


# --- in the spool ----------------------------------------------------------------------------------------------------


async def test_a_directory_is_adopted_and_opened_again_as_long_as_nothing_in_it_changed(tree: Path) -> None:
    spool = DiskSpool(tree.parent / "spool")
    file = await spool.reference_file(str(tree))
    assert (file.owned, file.size) == (False, file.identity[2])
    first = spool.open(file)
    assert first.size == file.size
    first.close()
    await spool.discard(file)
    (tree / "new").write_bytes(b"")
    with pytest.raises(SourceChanged):
        spool.open(file)


async def test_a_file_in_the_place_of_a_directory_is_another_thing(tree: Path) -> None:
    spool = DiskSpool(tree.parent / "spool")
    file = await spool.reference_file(str(tree))
    tree.rename(tree.parent / "moved")
    tree.write_bytes(b"x")
    with pytest.raises(SourceChanged):
        spool.open(file)
