"""An upload of ours that was cut off is no blob, whatever the registry says: after another try, after the process was
killed, for another replica and for another job."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.errors import RegistryError, RegistryLost
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest
from app.registry import Registry
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.unverified_blobs import Doubt, UnprovenBlobs
from app.registry.wrappers.retry import RetryingRegistry
from tests.registry.keeping_registry import Keeping, KeepingRegistry
from tests.support.blob_content import BytesContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import Answer
from tests.support.scripted_registry import Connection, ScriptedRegistry, Seen, Step, answer_early

DATA = random.Random(1).randbytes(700_000)
DIGEST = str(Digest.of(DATA))
CUT = 300_000
KINDS = [
    Keeping(asked, states_sizes, keeps_first)
    for asked in (201, 202, 404)
    for states_sizes in (True, False)
    for keeps_first in (True, False)
]
EVERY_KIND = pytest.mark.parametrize("how", KINDS, ids=lambda how: f"{how.asked}-{how.states_sizes}-{how.keeps_first}")


class Blob(BytesContent):
    """`asked`: the registry is to look before it takes it."""

    def __init__(self, data: bytes, *, asked: bool = True) -> None:
        super().__init__(data, cut=70_001)
        self.asked, self.was_there = asked, False

    @property
    def might_exist(self) -> bool:
        return self.asked

    def mark_existing(self) -> None:
        self.was_there = True


@asynccontextmanager
async def registry_at(url: str, folder: Path | None) -> AsyncIterator[Registry]:
    """As a process has it that uses the directory."""
    lapse = Lapse()
    settings = HttpRegistrySettings(parse_registry_url(url, "url"), unproven_dir=folder)
    async with HttpRegistry(settings, pause=lapse.pause) as http:
        yield RetryingRegistry(http, pause=lapse.pause)


def cuts_once(memory: KeepingRegistry, how: Callable[[Seen], Step]) -> Callable[[Seen], Step]:
    """The first PUT with a body meets `how`."""
    left = [how]

    def route(seen: Seen) -> Step:
        is_whole = seen.method == "PUT" and seen.headers.get("content-length") != "0" and "/uploads/" in seen.path
        return left.pop()(seen) if is_whole and left else memory.step(seen)

    return route


async def outcome(pushing: Awaitable[object], memory: KeepingRegistry) -> str:
    """What became of it. A push that succeeds leaves the right bytes."""
    try:
        await pushing
    except RegistryError as error:
        return error.code
    assert memory.repository("a").blobs[DIGEST] == DATA
    assert memory.sessions == {}
    return "pushed"


def ends(how: Keeping) -> str:
    return "registry_lost" if how.keeps_first else "pushed"


@EVERY_KIND
@pytest.mark.parametrize("asked", [True, False])
async def test_a_cut_is_no_blob_for_the_next_try(how: Keeping, asked: bool) -> None:
    memory = KeepingRegistry(how)
    async with (
        ScriptedRegistry(route=cuts_once(memory, lambda seen: memory.step(seen, CUT))) as server,
        registry_at(server.url, None) as registry,
    ):
        assert await outcome(registry.push_blob("a", Blob(DATA, asked=asked)), memory) == ends(how)
        # nor for the next job
        assert await outcome(registry.push_blob("a", Blob(DATA)), memory) == ends(how)


async def test_a_part_is_told_with_both_sizes_and_what_to_do() -> None:
    memory = KeepingRegistry(Keeping())
    async with (
        ScriptedRegistry(route=cuts_once(memory, lambda seen: memory.step(seen, CUT))) as server,
        registry_at(server.url, None) as registry,
    ):
        with pytest.raises(RegistryLost, match=f"has {CUT} of {len(DATA)} bytes under {DIGEST}; delete it") as lost:
            await registry.push_blob("a", Blob(DATA))
    assert lost.value.blobs == (DIGEST,)


@pytest.mark.parametrize("status", [408, 500, 502, 504])
async def test_a_proxy_that_answers_for_the_registry_may_have_sent_it_a_part(status: int) -> None:
    memory = KeepingRegistry(Keeping(asked=202, states_sizes=False, keeps_first=False))

    def streams(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            memory._keep("a", DIGEST, DATA[:CUT])
            await answer_early(status, after=CUT)(connection, seen)

        return step

    async with (
        ScriptedRegistry(route=cuts_once(memory, streams)) as server,
        registry_at(server.url, None) as registry,
    ):
        assert await outcome(registry.push_blob("a", Blob(DATA)), memory) == "pushed"


async def test_after_a_cut_the_blob_goes_by_patch_and_an_empty_put_and_is_looked_at() -> None:
    memory = KeepingRegistry(Keeping(keeps_first=False))
    async with (
        ScriptedRegistry(route=cuts_once(memory, lambda seen: memory.step(seen, CUT))) as server,
        registry_at(server.url, None) as registry,
    ):
        await registry.push_blob("a", Blob(DATA, asked=False))
        await registry.push_blob("a", Blob(DATA + b"another"))
    sent = [f"{seen.method} {seen.headers.get('content-length', '')}" for seen in server.requests[1:]]
    sent.remove("DELETE ")  # comes at any time
    assert sent[:8] == ["POST 0", f"PUT {len(DATA)}", "GET ", "HEAD ", "POST 0", f"PATCH {len(DATA)}", "PUT 0", "HEAD "]
    assert [line.partition(" ")[0] for line in sent[-2:]] == ["POST", "PUT"], "it is about this blob alone"


# Another process


PUSH = """
import asyncio, sys
from pathlib import Path
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.distribution.registry import HttpRegistry
from app.net.urls import parse_registry_url
from tests.registry.uploads.test_unverified_blobs import DATA, Blob

async def push():
    settings = HttpRegistrySettings(parse_registry_url(sys.argv[1], "url"), unproven_dir=Path(sys.argv[2]))
    async with HttpRegistry(settings) as registry:
        await registry.push_blob("a", Blob(DATA, asked=False))

asyncio.run(push())
"""


def kills(memory: KeepingRegistry, process: list[subprocess.Popen[bytes]]) -> Callable[[Seen], Step]:
    """A part of the body arrives; then the process that sends it is killed."""

    def dying(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            memory._keep("a", DIGEST, DATA[:CUT])
            memory.sessions.clear()
            process[0].send_signal(signal.SIGKILL)
            connection.reset()

        return step

    return dying


@EVERY_KIND
async def test_a_cut_is_no_blob_for_another_job_after_the_process_was_killed(how: Keeping, tmp_path: Path) -> None:
    memory, process = KeepingRegistry(how), list[subprocess.Popen[bytes]]()
    async with ScriptedRegistry(route=cuts_once(memory, kills(memory, process))) as server:
        command = [sys.executable, "-c", PUSH, server.url, str(tmp_path / "unproven")]
        process.append(subprocess.Popen(command, cwd=Path(__file__).parents[3], env={**os.environ}))
        assert await asyncio.to_thread(process[0].wait, 60) == -signal.SIGKILL
        for _ in range(2):  # the job that goes on, here or at another replica; and another job
            async with registry_at(server.url, tmp_path / "unproven") as registry:
                assert await outcome(registry.push_blob("a", Blob(DATA)), memory) == ends(how)
    left = [file.name for file in (tmp_path / "unproven").iterdir()]
    assert bool(left) is how.keeps_first, left


async def test_a_push_that_is_cancelled_in_the_middle_is_a_cut(tmp_path: Path) -> None:
    memory, arrived = KeepingRegistry(Keeping(states_sizes=False, keeps_first=False)), asyncio.Event()

    def hangs(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            memory._keep("a", DIGEST, DATA[:CUT])
            arrived.set()
            await connection.read_body(seen)

        return step

    async with ScriptedRegistry(route=cuts_once(memory, hangs)) as server:
        async with registry_at(server.url, tmp_path) as registry:
            pushing = asyncio.ensure_future(registry.push_blob("a", Blob(DATA)))
            await arrived.wait()
            pushing.cancel()
            await asyncio.wait([pushing])
        async with registry_at(server.url, tmp_path) as registry:
            assert await outcome(registry.push_blob("a", Blob(DATA)), memory) == "pushed"


# What is there is believed, if nothing speaks against it


@pytest.mark.parametrize("states_sizes", [True, False])
@pytest.mark.parametrize("asked", [201, 404])
async def test_a_blob_that_nobody_cut_off_is_not_sent_again(states_sizes: bool, asked: int, tmp_path: Path) -> None:
    memory = KeepingRegistry(Keeping(asked, states_sizes))
    async with ScriptedRegistry(route=memory.step) as server:
        async with registry_at(server.url, tmp_path) as registry:
            await registry.push_blob("a", Blob(DATA))
        async with registry_at(server.url, tmp_path) as registry:
            again = Blob(DATA)
            await registry.push_blob("a", again)
            assert again.was_there
            assert await registry.blob_exists("a", Digest.of(DATA), len(DATA))


async def test_a_part_that_somebody_else_left_is_no_blob_either() -> None:
    for how in (Keeping(keeps_first=False), Keeping(404, keeps_first=False)):
        memory = KeepingRegistry(how)
        memory.repository("a").blobs[DIGEST] = DATA[:CUT]
        async with ScriptedRegistry(route=memory.step) as server:
            async with registry_at(server.url, None) as registry:
                assert not await registry.blob_exists("a", Digest.of(DATA), len(DATA))
            async with registry_at(server.url, None) as registry:
                assert await outcome(registry.push_blob("a", Blob(DATA)), memory) == "pushed"


async def test_a_part_is_not_mounted() -> None:
    memory = KeepingRegistry(Keeping())
    memory.repository("b").blobs[DIGEST] = DATA[:CUT]
    async with ScriptedRegistry(route=memory.step) as server, registry_at(server.url, None) as registry:
        assert not await registry.mount_blob("a", Digest.of(DATA), "b", len(DATA))


async def test_a_blob_that_this_process_has_sent_is_mounted_by_one_request() -> None:
    memory = KeepingRegistry(Keeping())
    async with ScriptedRegistry(route=memory.step) as server, registry_at(server.url, None) as registry:
        await registry.push_blob("b", Blob(DATA))
        before = len(server.requests)
        assert await registry.mount_blob("a", Digest.of(DATA), "b", len(DATA))
    assert len(server.requests) == before + 1


async def test_what_was_found_lost_is_sent_by_every_later_job_until_it_was_read_back(tmp_path: Path) -> None:
    memory = KeepingRegistry(Keeping(keeps_first=False))
    memory.repository("a").blobs[DIGEST] = DATA[::-1]
    blob = Descriptor("application/octet-stream", Digest.of(DATA), len(DATA))
    async with ScriptedRegistry(route=memory.step) as server:
        async with registry_at(server.url, tmp_path) as registry:
            assert await registry.blob_exists("a", blob.digest, blob.size)
            with pytest.raises(RegistryLost) as lost:
                await registry.verify_blob("a", blob, read=True)
            assert lost.value.blobs == (str(blob.digest),)
        async with registry_at(server.url, tmp_path) as registry:
            assert not await registry.blob_exists("a", blob.digest, blob.size)
            assert await outcome(registry.push_blob("a", Blob(DATA)), memory) == "pushed"
            assert server.requests[-1].method == "GET", "it is read back"
        async with registry_at(server.url, tmp_path) as registry:
            assert await registry.blob_exists("a", blob.digest, blob.size)


def as_pulp(memory: KeepingRegistry) -> Callable[[Seen], Step]:
    """With the header that Pulp has in every answer."""

    def route(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            plain = connection.answer

            async def signed(status: int, headers: dict[str, str], body: bytes, *, head: bool = False) -> None:
                await plain(status, {**headers, "X-Registry-Supports-Signatures": "1"}, body, head=head)

            connection.answer = signed  # type: ignore[method-assign,assignment]
            try:
                await memory.step(seen)(connection, seen)
            finally:
                connection.answer = plain  # type: ignore[method-assign]

        return step

    return route


class OneForAll(KeepingRegistry):
    """Has one blob of a digest for all repositories, which becomes visible where it has been sent."""

    def _finish(self, name: str, session: str, digest: str) -> Answer:
        answer = super()._finish(name, session, digest)
        first = self.repository("first").blobs.get(digest)
        if first is not None:
            self.repository(name).blobs[digest] = first
        return answer


async def test_a_registry_that_says_what_pulp_says_is_not_given_a_blob_in_one_request_and_is_asked_for_it() -> None:
    memory = KeepingRegistry(Keeping())
    async with ScriptedRegistry(route=as_pulp(memory)) as server, registry_at(server.url, None) as registry:
        await registry.push_blob("a", Blob(DATA))
        await registry.push_blob("a", Blob(b"small"))
    assert [seen.method for seen in server.requests[1:]] == ["POST", "PATCH", "PUT", "HEAD", "POST", "PATCH", "PUT"]


@pytest.mark.parametrize("asked", [201, 202, 404])
async def test_a_part_that_somebody_left_in_another_repository_is_found_before_anything_is_tagged(asked: int) -> None:
    memory = OneForAll(Keeping(asked))
    memory.repository("first").blobs[DIGEST] = DATA[:CUT]
    async with ScriptedRegistry(route=as_pulp(memory)) as server:
        for _ in range(2):
            async with registry_at(server.url, None) as registry:
                with pytest.raises(RegistryLost, match=f"has {CUT} of {len(DATA)} bytes under {DIGEST}; delete it"):
                    await registry.push_blob("a", Blob(DATA))


# The marks


async def test_marks_of_other_processes_are_seen_within_a_second_and_those_of_our_own_uploads_are_none(
    tmp_path: Path,
) -> None:
    lapse, one, two = Lapse(), Digest.of(b"1"), Digest.of(b"2")
    ours, others = (UnprovenBlobs(tmp_path, "r:5000", lapse.pause) for _ in range(2))
    assert await ours.doubt_of(one) is None
    await others.begin(one, 1 << 20)
    await ours.begin(two, 1 << 20)
    assert [await ours.doubt_of(digest) for digest in (one, two)] == [None, None]
    await lapse.pause.sleep(1)
    assert [await ours.doubt_of(digest) for digest in (one, two)] == [Doubt.CUT, None]
    others.end(one, 1 << 20, is_cut=False)
    await others.finish()
    ours.end(two, 1 << 20, is_cut=True)
    await ours.finish()
    await lapse.pause.sleep(1)
    assert [await ours.doubt_of(digest) for digest in (one, two)] == [None, Doubt.CUT]
    assert await UnprovenBlobs(tmp_path, "other:5000").doubt_of(two) is None
    ours.add(two, Doubt.LOST)
    await ours.finish()
    assert await UnprovenBlobs(tmp_path, "r:5000").doubt_of(two) is Doubt.LOST
    ours.remove(two)
    await ours.finish()
    assert [*tmp_path.iterdir()] == []


async def test_small_blobs_are_marked_by_no_file_while_they_are_sent(tmp_path: Path) -> None:
    marks = UnprovenBlobs(tmp_path / "unproven", "r")
    await marks.begin(Digest.of(b""), 1000)
    marks.end(Digest.of(b""), 1000, is_cut=False)
    await marks.finish()
    assert not (tmp_path / "unproven").exists()


async def test_two_uploads_of_one_blob_at_once_are_marked_until_both_have_ended(tmp_path: Path) -> None:
    marks, digest = UnprovenBlobs(tmp_path, "r"), Digest.of(b"")
    for _ in range(2):
        await marks.begin(digest, 1 << 20)
    marks.end(digest, 1 << 20, is_cut=False)
    await marks.finish()
    assert len([*tmp_path.iterdir()]) == 1
    marks.end(digest, 1 << 20, is_cut=False)
    await marks.finish()
    assert [*tmp_path.iterdir()] == []


async def test_old_marks_and_other_files_are_no_marks(tmp_path: Path) -> None:
    digest = Digest.of(b"")
    marks = UnprovenBlobs(tmp_path, "r")
    marks.add(digest, Doubt.CUT)
    await marks.finish()
    (tmp_path / "README").write_text("")
    (file,) = tmp_path.glob("*.cut")
    (tmp_path / file.name.replace(".cut", ".odd")).write_text("")
    later = UnprovenBlobs(tmp_path, "r", now=lambda: file.stat().st_mtime + 31 * 86_400)
    assert await later.doubt_of(digest) is None
    assert not file.exists()


async def test_a_directory_that_cannot_be_used_fails_no_push(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    marks, digest = UnprovenBlobs(tmp_path / "file" / "unproven", "r"), Digest.of(b"")
    with capture_logs() as logs:
        await marks.begin(digest, 1 << 20)
        marks.end(digest, 1 << 20, is_cut=True)
        await marks.finish()
    assert await marks.doubt_of(digest) is Doubt.CUT
    assert "registry.upload_not_marked" in {line["event"] for line in logs}
