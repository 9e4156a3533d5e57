"""S3Spool: an archive is in the storage whole, or not at all; the storage is moto's server."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.__main__ import main
from app.errors import InvalidSettings, SourceChanged, SourceUnreadable, TruncatedArchive, Unavailable
from app.jobs import Job, JobState
from app.jobs.model import ArchiveSource, JobArchive
from app.jobs.store.sql import ReplicaIdentity
from app.spool import SpooledFile
from app.spool.disk import DiskSpool
from app.spool.s3 import BLOCK_BYTES, S3Spool, is_stored, open_store
from tests.api.conftest import APP, OTHER, serving
from tests.spool.test_disk import Plain, pieces

OBJECT = 1 << 20
URL = "s3://spool/below"
SECRET = "canary-of-a-secret-key"


@pytest.fixture(scope="module")
def storage() -> Iterator[int]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


def ask(port: int, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    content = connection.getresponse().read()
    connection.close()
    return content


@pytest.fixture(autouse=True)
def environ(storage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{storage}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    ask(storage, "POST", "/moto-api/reset")
    ask(storage, "PUT", "/spool")


@pytest.fixture
def spool(tmp_path: Path, environ: None) -> S3Spool:
    return S3Spool(open_store(URL), DiskSpool(tmp_path / "spool"), OBJECT)


def keys(storage: int) -> list[str]:
    text = ask(storage, "GET", "/spool?list-type=2").decode()
    return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]


async def saved(spool: S3Spool, size: int = 2 * OBJECT + 5, name: str = "x-0") -> tuple[SpooledFile, bytes]:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    step = 300_007
    chunks = [content[start : start + step] for start in range(0, size, step)]
    return await spool.save(name, pieces(*chunks), Plain()), content


async def test_what_is_saved_is_read_back_by_another_replica(spool: S3Spool, tmp_path: Path, storage: int) -> None:
    file, content = await saved(spool)
    assert keys(storage) == [f"below/x-0/{name}" for name in ("00000001", "00000002", "00000003", "complete")]
    assert (file.size, file.owned, is_stored(file)) == (len(content), True, True)
    other = S3Spool(open_store(URL), DiskSpool(tmp_path / "other"))  # that writes objects of another size
    opened = other.open(file)
    assert opened.size == len(content)
    for start, size in ((0, len(content)), (OBJECT - 3, 6), (len(content) - 2, 2), (5, 0), (BLOCK_BYTES, BLOCK_BYTES)):
        assert opened.read_at(start, size) == content[start : start + size]
    with pytest.raises(TruncatedArchive):
        opened.read_at(len(content) - 1, 2)
    opened.close()
    opened.close()
    with pytest.raises(SourceChanged):
        opened.read_at(0, 1)


async def test_blocks_are_read_once_and_only_a_few_are_kept(
    spool: S3Spool, storage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.spool.s3.BLOCK_BYTES", 1000)
    file, content = await saved(spool, 20_000)
    opened = spool.open(file)
    assert [opened.read_at(start, 10) for start in (0, 500, 990)] == [content[n : n + 10] for n in (0, 500, 990)]
    await spool.discard(file)
    assert opened.read_at(100, 800) == content[100:900], "it is in memory"
    with pytest.raises(SourceChanged):
        opened.read_at(995, 10)


async def test_nothing_at_all_is_an_archive_too(spool: S3Spool, storage: int) -> None:
    file = await spool.save("x-0", pieces(), Plain())
    assert (file.size, spool.open(file).read_at(0, 0)) == (0, b"")
    assert keys(storage) == ["below/x-0/complete"]


@pytest.mark.parametrize("end", [True, False])
async def test_an_upload_that_breaks_leaves_nothing(spool: S3Spool, storage: int, end: bool) -> None:
    tap = Plain(fault=ConnectionError("gone") if end else None)
    source = pieces(bytes(3 * OBJECT), error=None if end else ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await spool.save("x-0", source, tap)
    assert keys(storage) == []


async def test_what_is_discarded_is_gone_and_so_is_its_job_s_archive(spool: S3Spool, storage: int) -> None:
    file, _ = await saved(spool)
    await spool.discard(file)
    await spool.discard(file)
    assert keys(storage) == []
    with pytest.raises(SourceChanged):
        spool.open(file)


async def test_archives_are_known_and_removed_by_their_names(spool: S3Spool, storage: int) -> None:
    for name in ("kept-0", "lost-0", "part-0"):
        await saved(spool, name=name)
    open_store(URL).delete("part-0/complete")
    assert await spool.names() == {"kept-0", "lost-0", "part-0"}
    await spool.remove({"lost-0", "part-0", "never-0"})
    assert {item.split("/")[1] for item in keys(storage)} == {"kept-0"}


async def test_what_no_job_knows_and_what_is_not_complete_is_swept(spool: S3Spool, storage: int) -> None:
    kept, content = await saved(spool, name="kept-0")
    await saved(spool, name="lost-0")
    await saved(spool, name="part-0")
    open_store(URL).delete("part-0/complete")
    known = {"s3:kept-0", "s3:part-0"}
    assert await spool.sweep(known) == 2
    assert {item.split("/")[1] for item in keys(storage)} == {"kept-0"}
    assert spool.open(kept).read_at(0, 9) == content[:9]


async def test_an_archive_that_was_replaced_is_not_read(spool: S3Spool) -> None:
    file, _ = await saved(spool)
    await saved(spool, size=7)
    with pytest.raises(SourceChanged):
        spool.open(file)


async def test_files_of_others_are_read_where_they_stand(spool: S3Spool, tmp_path: Path, storage: int) -> None:
    (tmp_path / "x.tar").write_bytes(b"content")
    file = await spool.reference_file(str(tmp_path / "x.tar"))
    assert spool.open(file).read_at(0, 7) == b"content"
    await spool.discard(file)
    spool.check_space(1 << 60)
    assert ((tmp_path / "x.tar").exists(), keys(storage)) == (True, [])


async def test_a_storage_that_fails_is_told_without_its_secrets(
    spool: S3Spool, storage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = await saved(spool)
    open_store(URL).delete("x-0/00000001")
    with pytest.raises(SourceChanged):
        spool.open(file).read_at(0, 1)
    monkeypatch.setattr("app.spool.s3._RETRY", {"max_retries": 0})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable) as told:
        open_store(URL)
    assert "TARMAC_SPOOL_URL" in str(told.value)
    assert SECRET not in str(told.value)
    away = S3Spool(
        spool._store.from_url(URL, client_options={"allow_http": True}, retry_config={"max_retries": 0}), spool
    )
    with pytest.raises(SourceUnreadable):
        away.open(file)
    with pytest.raises(Unavailable):
        await saved(away)


def test_a_bucket_that_is_not_there_stops_the_start(storage: int) -> None:
    with pytest.raises(Unavailable):
        open_store("s3://nobody/has-it")


def test_the_doctor_asks_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TARMAC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TARMAC_SPOOL_URL", URL)
    assert main(["doctor"]) == 0
    assert f"ok       storage: {URL} answers" in capsys.readouterr().out
    monkeypatch.setenv("TARMAC_SPOOL_URL", "s3://nobody-made-this")
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "problem  storage: " in told
    assert "bucket" in told
    assert SECRET not in told


def test_without_the_extra_the_message_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(InvalidSettings, match=r"tarmac\[s3\]"):
        open_store(URL)


async def test_a_push_waits_in_the_storage_and_is_pushed_from_there(tmp_path: Path, storage: int) -> None:
    async with serving(tmp_path, spool_url=URL) as served:
        kept = await served.client.post("/push?wait=20&format=mindthegap-bundle", content=APP)
        assert kept.json()["code"] == "format_mismatch"
        pushed = await served.client.post("/push?wait=20", content=APP)
        assert pushed.json()["state"] == "succeeded", pushed.text
        tus = {
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(OTHER)),
            "Content-Type": "application/offset+octet-stream",
        }
        begun = await served.client.post("/uploads", headers=tus, content=OTHER)
        assert begun.status_code == 201, begun.text
        jobs: list[object] = []
        while len(jobs) < 2 or served.spooled():  # an archive goes when the end of its job is stored
            jobs = (await served.client.get("/jobs?state=succeeded")).json()["jobs"]
        assert keys(storage) == []


def test_every_replica_takes_what_lies_in_the_storage_and_none_what_lies_on_anothers_disk() -> None:
    marks = ReplicaIdentity(home="home", place="disk", storage="bucket")
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def job(*paths: str, owned: bool = True) -> Job:
        files = [SpooledFile(path, 1, owned, (0, 0, 1, 0)) for path in paths]
        archives = tuple(JobArchive("x.tar", ArchiveSource.UPLOAD, file=file) for file in files)
        return replace(Job.new(JobState.QUEUED, moment), archives=archives)

    assert marks.location_of(job("s3:x-0", "s3:x-1")) == "bucket"
    assert (
        marks.location_of(job("/data/spool/x-0.tar"))
        == marks.location_of(job("s3:x-0", "/data/spool/x-1.tar"))
        == "disk"
    )
    assert marks.location_of(job("/in/x.tar", owned=False)) == ""
