"""How a blob is asked for by the request that opens its session, over an outage of the registry."""

from __future__ import annotations

import pytest

from app.errors import RegistryUnreachable
from app.oci import Digest
from app.registry.endpoint import Endpoint
from app.registry.opening import Openings
from app.registry.profile import Profile
from app.registry.reply import Reply

BLOB = Digest.of(b"blob")


class Line(Endpoint):
    """To a registry that may be away; `asked` holds what its sessions were opened with."""

    def __init__(self) -> None:
        self.is_away, self.asked = True, list[Digest | None]()

    async def open_upload(self, repository: str, unless: Digest | None = None) -> Reply | None:
        self.asked.append(unless)
        self._answer()
        return None

    async def blob_exists(self, repository: str, digest: Digest) -> bool:
        self._answer()
        return True

    def _answer(self) -> None:
        if self.is_away:
            raise RegistryUnreachable("no route to host")


async def test_a_registry_that_was_away_is_asked_as_before() -> None:
    line = Line()
    openings = Openings(line)
    for _ in range(3):
        with pytest.raises(RegistryUnreachable):
            await openings.open("team/app", BLOB, Profile())
    line.is_away = False
    assert await openings.open("team/app", BLOB, Profile()) == (None, Profile())
    assert line.asked == [BLOB] * 3


async def test_a_registry_that_does_not_answer_the_question_is_asked_by_head() -> None:
    class Silent(Line):
        async def blob_exists(self, repository: str, digest: Digest) -> bool:
            return True

    line = Silent()
    openings = Openings(line)
    for _ in range(2):
        with pytest.raises(RegistryUnreachable):
            await openings.open("team/app", BLOB, Profile())
    for _ in range(2):
        assert await openings.open("team/app", BLOB, Profile()) == (None, Profile())
    assert line.asked == [BLOB] * 2
