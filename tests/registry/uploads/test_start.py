"""How a blob is asked for by the request that opens its session, over an outage of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Failure, RegistryError, RegistryFault, RegistryRateLimited, RegistryUnreachable
from app.net.response import Response
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.distribution.endpoints import DistributionEndpoints
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.capabilities import UploadCapabilities
from app.registry.uploads.capability_file import CapabilityFile
from app.registry.uploads.start import UploadStarter, Wanted
from app.registry.uploads.stored_blobs import StoredBlobs
from app.registry.uploads.unverified_blobs import UnprovenBlobs
from app.registry.wrappers.retry import RetryingRegistry
from tests.support.blob_content import BytesContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, served

BLOB = (Digest.of(b"blob"), 4)
WANTED = Wanted(BLOB)
NO_QUESTION = UploadCapabilities(ask=False)


class Line(DistributionEndpoints):
    """To a registry that may be away; `asked` holds what its sessions were opened with. `is_deaf`: only to the request
    that opens a session and asks."""

    def __init__(self, *, is_deaf: bool = False) -> None:
        self.is_away, self.is_deaf, self.asked = True, is_deaf, list[Digest | None]()
        self.error: RegistryError = RegistryUnreachable("no route to host")

    async def open_upload(self, repository: str, unless: Digest | None = None) -> Response | None:
        self.asked.append(unless)
        if self.is_away:
            raise self.error
        return None


class Stored(StoredBlobs):
    """All blobs, at a registry that may be away."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, UnprovenBlobs(None, "r"))
        self._line = line

    async def has(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        if self._line.is_away and not self._line.is_deaf:
            raise self._line.error
        return True


async def test_a_registry_that_was_away_is_asked_as_before() -> None:
    line = Line()
    openings = UploadStarter(Stored(line))
    for _ in range(3):
        with pytest.raises(RegistryUnreachable):
            await openings.open("team/app", WANTED, UploadCapabilities())
    line.is_away = False
    assert await openings.open("team/app", WANTED, UploadCapabilities()) == (None, UploadCapabilities())
    assert line.asked == [BLOB[0]] * 3


async def test_a_registry_that_came_back_while_the_question_was_given_up_is_asked_again() -> None:
    line = Line()
    openings = UploadStarter(Stored(line))
    for _ in range(2):
        with pytest.raises(RegistryUnreachable):
            await openings.open("team/app", WANTED, UploadCapabilities())
    line.is_away = False
    for _ in range(3):
        assert await openings.open("team/app", WANTED, UploadCapabilities()) == (None, UploadCapabilities())
    assert line.asked == [BLOB[0]] * 4, "by HEAD once"


@pytest.mark.parametrize(
    "error",
    [
        RegistryUnreachable("it says nothing"),
        RegistryFault("500", failure=Failure.SERVER_ERROR),
        RegistryFault("502", failure=Failure.OVERLOADED),
    ],
)
async def test_a_registry_that_does_not_answer_the_question_is_asked_by_head(error: RegistryError) -> None:
    line = Line(is_deaf=True)
    line.error = error
    openings = UploadStarter(Stored(line))
    for failures in (2, 1):
        for _ in range(failures):
            with pytest.raises(type(error)):
                await openings.open("team/app", WANTED, UploadCapabilities())
        _, learnt = await openings.open("team/app", WANTED, UploadCapabilities())
    assert learnt == NO_QUESTION
    assert line.asked == [BLOB[0]] * 3


async def test_a_rate_limit_says_nothing_about_the_question() -> None:
    line = Line()
    line.error = RegistryRateLimited("slow down", retry_after=1)
    openings = UploadStarter(Stored(line))
    for _ in range(5):
        with pytest.raises(RegistryRateLimited):
            await openings.open("team/app", WANTED, UploadCapabilities())
    assert line.asked == [BLOB[0]] * 5


@pytest.mark.parametrize(
    ("status", "questions"), [(500, 3), (502, 3), (503, 3), (501, 1), (400, 1), (405, 1), (404, 1)]
)
async def test_a_registry_that_fails_at_the_question_gets_its_blobs(
    status: int, questions: int, tmp_path: Path
) -> None:
    memory, lapse = MemoryRegistry(), Lapse()

    def route(seen: Seen) -> Step:
        return answer(status) if "mount=" in seen.target else served(memory)

    blobs = [BytesContent(b"blob %d" % number) for number in range(5)]
    profiles = CapabilityFile(tmp_path / "profiles.json")
    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"), profiles=profiles)
        async with HttpRegistry(settings, pause=lapse.pause) as http:
            registry = RetryingRegistry(http, pause=lapse.pause)
            for blob in blobs:
                await registry.push_blob("a", Asked(blob.data))
        learnt = await profiles.lookup(server.address)
    assert set(memory.repository("a").blobs) == {str(blob.digest) for blob in blobs}
    assert sum("mount=" in seen.target for seen in server.requests) == questions
    assert learnt.ask is False, "it is not asked so after a restart either"


class Asked(BytesContent):
    """The registry is to look before it takes it."""

    @property
    def might_exist(self) -> bool:
        return True
