from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import DigestMismatch, RegistryFault, SizeMismatch
from app.oci import Digest
from app.registry.oci_layout import disk as layout_disk
from app.registry.oci_layout.files import IncomingFile, LayoutFiles

BLOB = b"some content"


@pytest.fixture
def files(tmp_path: Path) -> LayoutFiles:
    prepared = LayoutFiles(tmp_path / "layout")
    prepared.prepare()
    return prepared


def store(files: LayoutFiles, data: bytes, algorithm: str = "sha256") -> Digest:
    writer = files.new_blob(algorithm, None)
    writer.write(data)
    return writer.finish(None)[0]


def everything(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*"))


def leftovers(files: LayoutFiles) -> list[Path]:
    return list((files.root / ".incoming").iterdir())


def failing(code: int) -> Callable[..., int]:
    def fail(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def test_nobody_else_can_read_what_lands(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = LayoutFiles(tmp_path / "layout")
        files.prepare()
        store(files, BLOB)
        with files.locked():
            pass
    finally:
        os.umask(before)
    for path in (files.root, *everything(files.root)):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_fresh_layout_is_a_layout_and_opening_it_again_changes_nothing(files: LayoutFiles) -> None:
    assert (files.root / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    before = {path: path.stat().st_ino for path in everything(files.root)}
    files.prepare()
    assert {path: path.stat().st_ino for path in everything(files.root)} == before


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_gets_its_digest_as_its_name(files: LayoutFiles, algorithm: str) -> None:
    digest = store(files, BLOB, algorithm)
    assert digest.algorithm == algorithm
    assert (files.root / "blobs" / algorithm / digest.encoded).read_bytes() == BLOB
    assert files.blob_size(digest) == len(BLOB)
    assert files.read_blob(digest, 5, 3) == BLOB[5:8]
    assert files.read_blob(digest, 5, 100) == BLOB[5:]
    assert files.read_blob(digest, 100, 1) == b""
    assert leftovers(files) == []


def test_a_blob_that_is_not_there_has_no_size_and_cannot_be_read(files: LayoutFiles) -> None:
    assert files.blob_size(Digest.of(BLOB)) is None
    with pytest.raises(RegistryFault, match="could not read a blob"):
        files.read_blob(Digest.of(BLOB), 0, 1)


def test_a_wrong_digest_leaves_nothing(files: LayoutFiles) -> None:
    writer = files.new_blob("sha256", None)
    writer.write(BLOB)
    with pytest.raises(DigestMismatch, match=str(Digest.of(BLOB))):
        writer.finish(Digest.of(b"other"))
    writer.discard()
    assert leftovers(files) == []
    assert files.blob_size(Digest.of(BLOB)) is None


def test_the_first_byte_too_many_is_refused(files: LayoutFiles) -> None:
    writer = files.new_blob("sha256", len(BLOB))
    writer.write(BLOB)
    with pytest.raises(SizeMismatch):
        writer.write(b"!")


def test_a_byte_too_few_is_refused(files: LayoutFiles) -> None:
    writer = files.new_blob("sha256", len(BLOB) + 1)
    writer.write(BLOB)
    with pytest.raises(SizeMismatch):
        writer.finish(None)


def test_a_short_write_is_completed(files: LayoutFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:5]))
    assert store(files, BLOB) == Digest.of(BLOB)
    assert files.read_blob(Digest.of(BLOB), 0, 100) == BLOB


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_to_be_full(files: LayoutFiles, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    writer = files.new_blob("sha256", None)
    monkeypatch.setattr(os, "write", failing(code))
    with pytest.raises(RegistryFault, match="no space left"):
        writer.write(BLOB)
    writer.discard()
    assert leftovers(files) == []


def test_another_disk_error_is_told_in_the_systems_words(files: LayoutFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = files.new_blob("sha256", None)
    writer.write(BLOB)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(RegistryFault, match="Input/output error"):
        writer.finish(None)
    assert files.blob_size(Digest.of(BLOB)) is None


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made durable and what gets its name, in order."""
    seen: list[str] = []
    fsync, rename = os.fsync, os.rename

    def recorded_fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        seen.append("file" if len(name) == 32 else name)
        fsync(descriptor)

    def recorded_rename(source: Path, target: Path) -> None:
        seen.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "rename", recorded_rename)
    return seen


def test_a_blob_is_on_disk_before_it_has_its_name(files: LayoutFiles, steps: list[str]) -> None:
    store(files, BLOB)
    assert steps == ["file", "rename"]


def test_an_index_is_written_after_the_names_of_the_blobs_are_durable(files: LayoutFiles, steps: list[str]) -> None:
    files.replace_index(b"{}")
    assert steps == ["sha256", "sha512", "file", "rename", "layout"]


def test_a_replaced_index_has_another_stamp(files: LayoutFiles) -> None:
    first = files.index_stamp()
    second = files.replace_index(b"{}")
    assert first != second == files.index_stamp()
    assert files.read_index() == (second, b"{}")


def test_what_a_crash_left_behind_is_cleared_when_the_layout_is_opened(files: LayoutFiles) -> None:
    left = files.root / ".incoming" / "0123"
    left.write_bytes(b"half a blob")
    files.prepare()
    assert not left.exists()


def test_what_is_being_written_is_not_cleared(files: LayoutFiles) -> None:
    writer = files.new_blob("sha256", None)
    writer.write(BLOB)
    LayoutFiles(files.root).prepare()
    assert writer.finish(None)[0] == Digest.of(BLOB)
    assert files.blob_size(Digest.of(BLOB)) == len(BLOB)


def test_a_leftover_that_goes_away_by_itself_is_no_error(files: LayoutFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    (files.root / ".incoming" / "0123").write_bytes(b"")
    monkeypatch.setattr(Path, "unlink", failing(errno.ENOENT))
    files.prepare()


@pytest.mark.parametrize("moment", ["while it is cleared", "after it was cleared"])
def test_a_file_that_is_taken_for_a_leftover_before_it_is_locked_is_made_anew(
    files: LayoutFiles, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    real = fcntl.flock
    others: list[int] = []

    def flock(descriptor: int, operation: int) -> None:
        if not others:
            (path,) = leftovers(files)
            others.append(os.open(path, os.O_RDWR))
            if moment == "while it is cleared":
                real(others[0], fcntl.LOCK_EX)
            path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert store(files, BLOB) == Digest.of(BLOB)
    assert files.blob_size(Digest.of(BLOB)) == len(BLOB)
    os.close(others[0])


def test_a_file_that_was_given_up_takes_nothing_and_gets_no_name(files: LayoutFiles) -> None:
    file = IncomingFile(files.root / ".incoming")
    file.write(BLOB)
    file.discard()
    file.discard()
    with pytest.raises(InterruptedError):
        file.write(BLOB)
    with pytest.raises(InterruptedError):
        file.rename(files.root / "named")
    assert leftovers(files) == []
    assert not (files.root / "named").exists()


def test_giving_up_a_file_that_somebody_removed_is_no_error(files: LayoutFiles) -> None:
    file = IncomingFile(files.root / ".incoming")
    file.write(BLOB)
    leftovers(files)[0].unlink()
    file.discard()


def test_one_writer_at_a_time(files: LayoutFiles) -> None:
    entered, order = threading.Event(), list[str]()

    def second() -> None:
        entered.set()
        with LayoutFiles(files.root).locked():
            order.append("second")

    thread = threading.Thread(target=second)
    with files.locked():
        thread.start()
        assert entered.wait(30)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_lock_that_is_never_given_back_is_told(files: LayoutFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_disk, "LOCK_SECONDS", 0.02)
    with files.locked(), pytest.raises(RegistryFault, match="locked by another process"), files.locked():
        raise AssertionError("entered twice")


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RegistryFault, match="could not open its directory: Not a directory"):
        LayoutFiles(tmp_path / "file" / "layout").prepare()


def test_a_root_that_vanished_is_told(files: LayoutFiles) -> None:
    (files.root / "index.json").unlink()
    with pytest.raises(RegistryFault, match=r"check its index\.json"):
        files.index_stamp()
    with pytest.raises(RegistryFault, match=r"read its index\.json"):
        files.read_index()
