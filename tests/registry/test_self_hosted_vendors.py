"""What one self-hosted registry does and the others do not: Harbor, GitLab, Nexus, Gitea."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import RegistryDenied
from app.push import ImageState
from tests.registry.vendors.gitea import Gitea
from tests.registry.vendors.gitlab import GitLab
from tests.registry.vendors.harbor import Harbor
from tests.registry.vendors.kinds import app, content
from tests.registry.vendors.nexus import Nexus
from tests.registry.vendors.pushing import opened
from tests.registry.vendors.quay import Quay
from tests.registry.vendors.vendor import Access, Fault, Vendor
from tests.support.archives import entry, oci_image, oci_layout
from tests.support.blob_content import BytesContent
from tests.support.memory_registry import Refused

IMAGE = oci_layout([entry(oci_image(app("one")), ref="example.com/app:1")])
OTHER = oci_layout([entry(oci_image(app("other")), ref="example.com/other:1")])


async def test_a_refused_clean_up_does_not_change_how_harbor_is_spoken_to() -> None:
    """Ending a session needs the right to delete; the refusal has a Basic challenge."""
    async with opened(Harbor()) as ground, ground.opened() as http:
        registry = ground.wrapped(http)
        ground.vendor.impose(Fault.QUOTA)
        with pytest.raises(RegistryDenied):
            await registry.push_blob("team/app", BytesContent(content("large", 20_000)))
        await http.finish()
        assert ground.counted()["DELETE", "upload"] >= 2, "refused, and again as the challenge has it"
        ground.vendor.quota = None
        ground.mark()
        await registry.push_blob("team/app", BytesContent(content("small")))
        pushed = (seen for seen in ground.since if seen.method != "DELETE")
        schemes = {seen.headers["authorization"].partition(" ")[0] for seen in pushed}
    assert schemes == {"Bearer"}


async def test_a_project_that_is_gone_is_no_source_of_a_mount() -> None:
    """Harbor refuses the request that opens a session with 401 and without a challenge."""
    async with opened(Harbor()) as ground:
        ground.vendor.homes |= {"gone"}
        await ground.push(IMAGE, home="gone")
        ground.vendor.homes -= {"gone"}
        ground.mark()
        assert (await ground.push(IMAGE)).states == [ImageState.PUSHED]
        assert ground.vendor.sessions == {}
        assert len(ground.since) <= 30


async def test_a_blob_that_another_push_stores_first_is_there() -> None:
    """Nexus refuses the second of two uploads at once if nothing may be deployed again."""
    async with opened(Nexus()) as ground:
        ground.vendor.impose(Fault.IMMUTABLE)
        async with asyncio.TaskGroup() as group:
            pushes = [group.create_task(ground.push(tar)) for tar in (IMAGE, OTHER)]
        assert [push.result().states for push in pushes] == [[ImageState.PUSHED]] * 2


@pytest.mark.parametrize("vendor", [Quay, Gitea])
async def test_a_session_that_states_one_byte_too_many_is_learnt_from_the_first(vendor: type[Vendor]) -> None:
    async with opened(vendor()) as ground, ground.client() as registry:
        payloads = []
        for number in range(2):
            ground.cut = 300_000
            ground.mark()
            blob = BytesContent(content(f"blob {number}", 500_000))
            assert (await registry.push_blob("team/app", blob))[1] == 500_000
            payloads.append(ground.payload())
    assert payloads[1] < payloads[0]


class Troubled(GitLab):
    """`troubles`: refusals still to come of what writes."""

    def __init__(self, *troubles: tuple[int, str, str]) -> None:
        super().__init__()
        self.troubles = list(troubles)

    def writable(self, access: Access) -> None:
        if self.troubles and access.request.method == "PUT":
            raise Refused(*self.troubles.pop())


@pytest.mark.parametrize(
    "trouble",
    [
        (400, "CONNECTIONRESET", "connection reset by peer"),
        (400, "REQUESTCANCELED", "request canceled"),
        (503, "UNAVAILABLE", "service unavailable"),
    ],
)
async def test_a_transfer_that_broke_inside_the_registry_is_made_again(trouble: tuple[int, str, str]) -> None:
    """GitLab's registry says so with 400, when its storage broke the connection."""
    async with opened(Troubled(trouble, trouble)) as ground:
        assert (await ground.push(IMAGE)).states == [ImageState.PUSHED]


async def test_a_project_that_is_being_renamed_can_be_pushed_to_later() -> None:
    async with opened(Troubled(*[(409, "RENAME_IN_PROGRESS", "the base path is undergoing a rename")] * 99)) as ground:
        run = await ground.push(IMAGE)
        assert run.states == [ImageState.FAILED]
        assert run.problem().retryable
        assert "RENAME_IN_PROGRESS" in run.problem().detail
