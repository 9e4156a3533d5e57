"""A registry that leads to a host which accepts connections and never answers: the image ends within 90 seconds."""

from __future__ import annotations

import asyncio
import re

import pytest

from app.errors import RegistryUnreachable
from app.net.urls import Origin, parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.retry import RetryingRegistry
from tests.support.blob_content import BytesContent
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, hang

pytestmark = pytest.mark.leaping

REFUSAL_SECONDS = 90.0
LARGE = 3 << 20  # goes as a stream


async def _answers() -> bool:
    return True


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("by", ["redirect", "location"])
async def test_an_image_ends_in_time_if_its_blob_goes_to_a_host_that_is_silent(by: str, size: int) -> None:
    async with ScriptedRegistry(route=lambda seen: hang()) as silent:
        elsewhere = {"Location": f"{silent.url}/upload?x=1"}

        def leads(seen: Seen) -> Step:
            if seen.path == "/v2/":
                return answer(200)
            if seen.method == "POST":
                return answer(202, {"Location": "/v2/a/blobs/uploads/1"} if by == "redirect" else elsewhere)
            return answer(307, elsewhere)

        async with ScriptedRegistry(route=leads, ping=True) as server:
            settings = HttpRegistrySettings(
                parse_registry_url(server.url, "url"), allowed_origins=frozenset({Origin.of(silent.url, "url")})
            )
            async with HttpRegistry(settings) as http:
                registry = RetryingRegistry(http, is_answering=_answers)
                began = asyncio.get_running_loop().time()
                with pytest.raises(RegistryUnreachable, match=re.escape(server.url)) as caught:
                    await registry.push_blob("a", BytesContent(bytes(size)))
                took = asyncio.get_running_loop().time() - began
    assert not caught.value.outage
    assert took <= REFUSAL_SECONDS
