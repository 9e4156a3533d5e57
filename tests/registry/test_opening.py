"""How a blob is asked for by the request that opens its session, over an outage of the registry."""

from __future__ import annotations

import pytest

from app.errors import RegistryUnreachable
from app.oci import Digest
from app.registry.endpoint import Endpoint
from app.registry.opening import Openings
from app.registry.profile import Profile
from app.registry.reply import Reply
from app.registry.stored_blobs import StoredBlobs

BLOB = (Digest.of(b"blob"), 4)


class Line(Endpoint):
    """To a registry that may be away; `asked` holds what its sessions were opened with. `is_deaf`: only to the request
    that opens a session."""

    def __init__(self, *, is_deaf: bool = False) -> None:
        self.is_away, self.is_deaf, self.asked = True, is_deaf, list[Digest | None]()

    async def open_upload(self, repository: str, unless: Digest | None = None) -> Reply | None:
        self.asked.append(unless)
        self._answer()
        return None

    def _answer(self) -> None:
        if self.is_away:
            raise RegistryUnreachable("no route to host")


class Stored(StoredBlobs):
    """All blobs, at a registry that may be away."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self._line = line

    async def has(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        if self._line.is_away and not self._line.is_deaf:
            raise RegistryUnreachable("no route to host")
        return True


async def test_a_registry_that_was_away_is_asked_as_before() -> None:
    line = Line()
    openings = Openings(Stored(line))
    for _ in range(3):
        with pytest.raises(RegistryUnreachable):
            await openings.open("team/app", BLOB, Profile())
    line.is_away = False
    assert await openings.open("team/app", BLOB, Profile()) == (None, Profile())
    assert line.asked == [BLOB[0]] * 3


async def test_a_registry_that_does_not_answer_the_question_is_asked_by_head() -> None:
    line = Line(is_deaf=True)
    openings = Openings(Stored(line))
    for _ in range(2):
        with pytest.raises(RegistryUnreachable):
            await openings.open("team/app", BLOB, Profile())
    for _ in range(2):
        assert await openings.open("team/app", BLOB, Profile()) == (None, Profile())
    assert line.asked == [BLOB[0]] * 2
