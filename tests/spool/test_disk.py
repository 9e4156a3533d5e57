"""DiskSpool: a file is there whole and durable, or not at all."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from app.errors import Internal, PathNotFound, SourceChanged, SourceUnreadable, SpoolFull, TruncatedArchive, Unavailable
from app.spool import SpooledFile
from app.spool.batches import MAX_BATCH_BYTES
from app.spool.disk import WRITE_BYTES, DiskSpool


class Plain:
    """A tap that lets everything through; `end` is what it still gives at the end."""

    def __init__(self, end: bytes = b"", fault: Exception | None = None) -> None:
        self.end, self.fault = end, fault
        self.threads: set[int] = set()
        self.fed = 0

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        self.threads.add(threading.get_ident())
        self.fed += 1
        return (chunk,)

    def finish(self) -> Iterable[bytes]:
        if self.fault:
            raise self.fault
        return (self.end,)


async def pieces(*chunks: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


@pytest.fixture
def spool(tmp_path: Path) -> DiskSpool:
    return DiskSpool(tmp_path / "spool")


def names(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(tmp_path / "spool"))


async def saved(spool: DiskSpool, content: bytes = b"0123456789") -> SpooledFile:
    return await spool.save("x", pieces(content), Plain())


async def test_what_is_saved_is_read_back(spool: DiskSpool, tmp_path: Path) -> None:
    chunks = [bytes([number % 256]) * 100_003 for number in range(50)]
    file = await spool.save("x", pieces(*chunks), Plain(end=b"the end"))
    opened = spool.open(file)
    assert opened.read_at(0, opened.size) == b"".join(chunks) + b"the end"
    assert opened.read_at(opened.size - 3, 3) == b"end"
    assert opened.read_at(5, 0) == b""
    opened.close()
    assert names(tmp_path) == ["x.tar"]
    assert file.size == os.path.getsize(file.path)


async def test_nothing_at_all_is_a_file_too(spool: DiskSpool) -> None:
    assert (await spool.save("x", pieces(), Plain())).size == 0


async def test_hashing_and_writing_leave_the_event_loop_alone(spool: DiskSpool) -> None:
    tap = Plain()
    await spool.save("x", pieces(bytes(3 << 20), b"x"), tap)
    assert threading.get_ident() not in tap.threads


async def test_small_chunks_are_collected_before_a_thread_is_asked(
    spool: DiskSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    writev = os.writev

    def counted(file: int, buffers: list[bytes]) -> int:
        writes.append(sum(map(len, buffers)))
        return writev(file, buffers)

    monkeypatch.setattr(os, "writev", counted)
    await spool.save("x", pieces(*[bytes(64 << 10)] * 64), Plain())
    assert len(writes) <= 6
    assert max(writes) <= 2 * WRITE_BYTES


async def test_only_one_batch_is_on_its_way_while_the_next_is_collected(spool: DiskSpool) -> None:
    gate, tap = threading.Event(), Plain()
    asked = 0

    class Slow(Plain):
        def feed(self, chunk: bytes) -> Iterable[bytes]:
            gate.wait(30)
            return (chunk,)

    async def source() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(10):
            asked += 1
            yield bytes(MAX_BATCH_BYTES)

    saving = asyncio.create_task(spool.save("x", source(), Slow()))
    while asked < 2:
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert asked == 2
    gate.set()
    assert (await saving).size == 10 * MAX_BATCH_BYTES
    assert tap.fed == 0


async def test_a_chunk_that_unpacks_to_many_pieces_is_written_in_parts(spool: DiskSpool) -> None:
    class Bomb(Plain):
        def feed(self, chunk: bytes) -> Iterable[bytes]:
            for _ in range(5000):
                yield chunk

    assert (await spool.save("x", pieces(b"x" * 1000), Bomb())).size == 5_000_000


async def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = await saved(DiskSpool(tmp_path / "a" / "spool"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "spool").st_mode) == 0o700


# --- what breaks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", b"x", bytes(3 << 20)])
async def test_an_error_of_the_sender_leaves_nothing(spool: DiskSpool, tmp_path: Path, before: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        await spool.save("x", pieces(before, error=ConnectionResetError()), Plain())
    assert names(tmp_path) == []


async def test_an_error_of_the_tap_leaves_nothing(spool: DiskSpool, tmp_path: Path) -> None:
    with pytest.raises(TruncatedArchive):
        await spool.save("x", pieces(b"x"), Plain(fault=TruncatedArchive("too short")))
    assert names(tmp_path) == []


async def test_the_sender_s_error_is_told_even_when_the_disk_fails_too(
    spool: DiskSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "writev", broken(errno.EIO))
    with pytest.raises(ConnectionResetError):
        await spool.save("x", pieces(bytes(MAX_BATCH_BYTES), error=ConnectionResetError()), Plain())


async def test_an_archive_that_others_delete_while_it_is_written_may_be_sent_again(
    spool: DiskSpool, tmp_path: Path
) -> None:
    async def swept() -> AsyncIterator[bytes]:
        yield b"first"
        await spool.remove({"x"})

    with pytest.raises(Unavailable):
        await spool.save("x", swept(), Plain())
    assert names(tmp_path) == []


async def test_a_cancelled_save_leaves_nothing(spool: DiskSpool, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield bytes(MAX_BATCH_BYTES)
        yield bytes(MAX_BATCH_BYTES)
        begun.set()
        await asyncio.Event().wait()

    saving = asyncio.create_task(spool.save("x", stalling(), Plain()))
    await begun.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert names(tmp_path) == []


async def test_a_save_cancelled_in_its_last_moment_leaves_nothing(
    spool: DiskSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(file: int) -> None:
        syncing.set()
        go_on.wait(30)
        fsync(file)

    monkeypatch.setattr(os, "fsync", slow)
    saving = asyncio.create_task(saved(spool))
    await asyncio.to_thread(syncing.wait, 30)
    saving.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert names(tmp_path) == []


def broken(code: int) -> object:
    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("call", ["writev", "fsync"])
@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, SpoolFull), (errno.EDQUOT, SpoolFull), (errno.EIO, Internal)]
)
async def test_a_disk_that_fails_leaves_nothing(
    spool: DiskSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[Exception]
) -> None:
    monkeypatch.setattr(os, call, broken(code))
    with pytest.raises(error):
        await saved(spool)
    assert names(tmp_path) == []


async def test_a_directory_that_cannot_be_synced_leaves_nothing(
    spool: DiskSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fail(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Internal):
        await saved(spool)
    assert names(tmp_path) == []


async def test_a_short_write_is_gone_on_with(spool: DiskSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda file, buffers: os.write(file, buffers[0][:3]))
    file = await saved(spool)
    opened = spool.open(file)
    assert opened.read_at(0, 10) == b"0123456789"
    opened.close()


async def test_a_name_in_use_is_not_written_over(spool: DiskSpool, tmp_path: Path) -> None:
    (tmp_path / "spool" / "x.part").write_bytes(b"another upload")
    with pytest.raises(Internal):
        await saved(spool)
    assert (tmp_path / "spool" / "x.part").read_bytes() == b"another upload"


async def test_the_reserve_is_not_touched(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "spool", reserve_bytes=1 << 60)
    with pytest.raises(SpoolFull, match=rf"7 bytes.* 0 .*\({1 << 60} "):
        spool.check_space(7)
    with pytest.raises(SpoolFull):
        await saved(spool)
    assert names(tmp_path) == []


def test_there_is_room_for_a_little(spool: DiskSpool) -> None:
    spool.check_space(1)


# --- opening ---------------------------------------------------------------------------------------------------------


async def test_reading_beyond_the_end_is_truncation(spool: DiskSpool) -> None:
    opened = spool.open(await saved(spool))
    with pytest.raises(TruncatedArchive):
        opened.read_at(5, 6)
    opened.close()


async def test_an_adopted_file_is_read_where_it_stands(spool: DiskSpool, tmp_path: Path) -> None:
    path = tmp_path / "mine.tar"
    path.write_bytes(b"mine")
    file = await spool.reference_file(str(path))
    assert (file.size, file.owned) == (4, False)
    opened = spool.open(file)
    assert opened.read_at(1, 2) == b"in"
    opened.close()
    await spool.discard(file)
    assert path.exists()
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["missing", "fifo"])
async def test_only_a_regular_file_or_a_directory_is_adopted(spool: DiskSpool, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(PathNotFound, match=kind):
        await spool.reference_file(str(path))


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite"])
async def test_a_file_changed_while_it_is_read_is_told(spool: DiskSpool, tmp_path: Path, change: str) -> None:
    path = tmp_path / "mine.tar"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(1, 1))
    opened = spool.open(await spool.reference_file(str(path)))
    assert opened.read_at(0, 1) == b"0"
    path.write_bytes({"append": b"0123456789+", "truncate": b"0", "rewrite": b"9876543210"}[change])
    with pytest.raises(SourceChanged):
        opened.read_at(5, 5)
    opened.close()


async def test_a_file_removed_while_it_is_read_is_read_on(spool: DiskSpool) -> None:
    file = await saved(spool)
    opened = spool.open(file)
    os.unlink(file.path)
    assert opened.read_at(0, 10) == b"0123456789"
    opened.close()


async def test_a_file_that_is_another_is_not_opened(spool: DiskSpool, tmp_path: Path) -> None:
    path = tmp_path / "mine.tar"
    path.write_bytes(b"0123456789")
    file = await spool.reference_file(str(path))
    other = tmp_path / "other"
    other.write_bytes(b"9876543210")
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(SourceChanged):
        spool.open(file)
    path.unlink()
    with pytest.raises(SourceChanged):
        spool.open(file)


async def test_a_spool_that_moved_to_another_place_is_still_read(spool: DiskSpool, tmp_path: Path) -> None:
    file = await saved(spool)
    (tmp_path / "spool").rename(tmp_path / "moved")
    device, *rest = file.identity
    after_reboot = SpooledFile(file.path, file.size, owned=True, identity=(device + 1, rest[0], rest[1], rest[2]))
    DiskSpool(tmp_path / "moved").open(after_reboot).close()


async def test_what_cannot_be_deleted_breaks_nothing_and_is_swept_later(
    spool: DiskSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", broken(errno.EIO))
        await spool.discard(await saved(spool))
    assert await spool.sweep(frozenset()) == 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
async def test_an_archive_that_cannot_be_opened_now_has_not_changed(
    spool: DiskSpool, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    file = await saved(spool)
    monkeypatch.setattr(os, "open", broken(number))
    with pytest.raises(SourceUnreadable):
        spool.open(file)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
async def test_a_read_error_is_told(spool: DiskSpool, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As one that may pass: nobody has changed the archive."""
    opened = spool.open(await saved(spool))
    monkeypatch.setattr(os, "pread", broken(number))
    with pytest.raises(SourceUnreadable, match="0") as told:
        opened.read_at(0, 1)
    assert told.value.problem.retryable
    opened.close()


@pytest.mark.parametrize("steps", [[3, 3, 4], [3, 0]])
async def test_short_reads_are_put_together_and_never_padded(
    spool: DiskSpool, monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    opened = spool.open(await saved(spool))
    pread, left = os.pread, list(steps)
    monkeypatch.setattr(os, "pread", lambda file, size, offset: pread(file, min(size, left.pop(0)), offset))
    if sum(steps) == 10:
        assert opened.read_at(0, 10) == b"0123456789"
    else:
        with pytest.raises(SourceChanged, match="3"):
            opened.read_at(0, 10)
    opened.close()


async def test_closing_waits_for_readers_and_ends_reading(spool: DiskSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = spool.open(await saved(spool))
    reading, go_on = threading.Event(), threading.Event()
    pread = os.pread

    def slow(file: int, size: int, offset: int) -> bytes:
        reading.set()
        go_on.wait(30)
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", slow)
    read = asyncio.create_task(asyncio.to_thread(opened.read_at, 0, 10))
    await asyncio.to_thread(reading.wait, 30)
    opened.close()
    opened.close()
    go_on.set()
    assert await read == b"0123456789"
    with pytest.raises(SourceChanged):
        opened.read_at(0, 1)


# --- going -----------------------------------------------------------------------------------------------------------


async def test_discarding_twice_is_no_error(spool: DiskSpool, tmp_path: Path) -> None:
    file = await saved(spool)
    await spool.discard(file)
    await spool.discard(file)
    assert names(tmp_path) == []


async def test_a_row_cannot_make_it_delete_elsewhere(spool: DiskSpool, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    await spool.discard(SpooledFile(str(victim), 0, owned=True, identity=(0, 0, 0, 0)))
    assert victim.exists()


async def test_a_sweep_leaves_what_jobs_know(spool: DiskSpool, tmp_path: Path) -> None:
    for name in ("keep.tar", "lost.tar", "keep.part", "half.part"):
        (tmp_path / "spool" / name).write_bytes(b"")
    assert await spool.sweep({"keep"}) == 3
    assert names(tmp_path) == ["keep.tar"]


async def test_files_are_known_and_removed_by_their_names(spool: DiskSpool, tmp_path: Path) -> None:
    for name in ("a-0.tar", "b-0.part", "c-0.tar", "c-0.part"):
        (tmp_path / "spool" / name).write_bytes(b"")
    assert await spool.names() == {"a-0", "b-0", "c-0"}
    await spool.remove({"b-0", "c-0", "never-0"})
    assert names(tmp_path) == ["a-0.tar"]


# --- room ------------------------------------------------------------------------------------------------------------


async def test_what_one_upload_was_promised_is_not_given_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    spool = DiskSpool(tmp_path / "spool", reserve_bytes=100)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        arrived.set()
        await go_on.wait()
        yield b"0123456789"

    saving = asyncio.create_task(spool.save("first", slow(), Plain(), 600))
    await arrived.wait()
    spool.check_space(300)
    with pytest.raises(SpoolFull, match=r"301 bytes.*300.*600"):
        spool.check_space(301)
    with pytest.raises(SpoolFull):
        await spool.save("second", pieces(b"never asked for"), Plain(), 301)
    go_on.set()
    await saving
    spool.check_space(900)
    assert names(tmp_path) == ["first.tar"]


async def test_an_upload_that_grows_beyond_its_promise_needs_room_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    spool = DiskSpool(tmp_path / "spool")
    await spool.save("fits", pieces(bytes(900)), Plain(), 100)
    with pytest.raises(SpoolFull):
        await spool.save("does-not", pieces(bytes(1001)), Plain(), 100)
    spool.check_space(1000)
    assert names(tmp_path) == ["fits.tar"]
