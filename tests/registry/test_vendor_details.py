"""What one vendor does and the others do not: answers that look like another fault than they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.net.urls import RegistryUrl
from app.oci import strict_json
from app.push import ImageState
from app.registry.auth import Credentials, FixedCredentials
from tests.registry.vendors.acr import REFRESH_TOKEN, Acr
from tests.registry.vendors.docker_hub import DockerHub
from tests.registry.vendors.ecr import STALE, Ecr
from tests.registry.vendors.gar import Gar
from tests.registry.vendors.ghcr import Ghcr
from tests.registry.vendors.kinds import app, kinds
from tests.registry.vendors.pushing import opened
from tests.registry.vendors.vendor import Access, Fault, Refusal, Vendor
from tests.registry.vendors.zot import Zot
from tests.support.archives import docker_save, entry, oci_image, oci_index, oci_layout, tagged
from tests.support.memory_registry import PASSWORD, Answer, Request

IMAGE = oci_layout([entry(oci_image(app("one")), ref="example.com/app:1")])
INDEX = oci_layout(
    [entry(oci_index([oci_image(app("two", "linux/arm64"), platform="linux/arm64")]), ref="e.com/app:1")]
)
REFERRERS = next(kind for kind in kinds() if kind.name == "with-referrers")


async def test_an_expired_password_of_ecr_is_no_lack_of_rights() -> None:
    async with opened(Ecr()) as ground:
        run = await ground.push(IMAGE, credentials=FixedCredentials(Credentials("AWS", STALE)))
    assert (run.problem().code, run.problem().retryable) == ("registry_auth", False)
    assert "authorization token has expired" in run.problem().detail


class Renewing:
    """As a credential helper, or a file of docker that somebody keeps fresh."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = list(passwords)

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials:
        return Credentials("AWS", self.passwords.pop(0) if len(self.passwords) > 1 else self.passwords[0])


async def test_a_password_of_ecr_that_expires_is_looked_up_again() -> None:
    async with opened(Ecr()) as ground:
        run = await ground.push(IMAGE, credentials=Renewing(STALE, PASSWORD))
        assert run.states == [ImageState.PUSHED]
        assert ground.lapse.waits == []


class Closing(Ecr):
    """It closes the connection in place of an answer to who opens an upload at a repository that is missing
    (aws/containers-roadmap#1970)."""

    closed = 0
    dies = False  # and nobody is answered afterwards

    def check_name(self, access: Access) -> None:
        if access.kind == "blobs/uploads" and not self.is_home(access.name):
            self.closed += 1
            raise ConnectionResetError

    async def page(self, request: Request) -> Answer | None:
        if self.dies and self.closed:
            raise ConnectionResetError
        return None


@pytest.mark.parametrize("dies", [False, True])
async def test_a_connection_that_is_closed_in_place_of_an_answer_is_a_refusal_while_others_are_answered(
    dies: bool,
) -> None:
    vendor = Closing()
    vendor.dies = dies
    async with opened(vendor) as ground:
        problem = (await ground.push(IMAGE, home=vendor.elsewhere)).problem()
        assert (problem.code, problem.retryable, problem.outage) == ("registry_unreachable", True, dies)
        assert ground.lapse.now <= 90


@pytest.mark.parametrize("vendor", [Acr, Ecr])
async def test_a_blob_that_there_is_no_room_for_is_sent_once(vendor: type[Vendor]) -> None:
    """A 405 with a code of its own is not about how the blob is sent."""
    async with opened(vendor()) as ground:
        ground.vendor.impose(Fault.QUOTA)
        run = await ground.push(IMAGE)
        assert run.states == [ImageState.FAILED]
        assert ground.payload() <= run.progress.bytes_total


class Strict(Zot):
    """As versions of 2025 have it (knative/func#2721), with `compat: ["docker2s2"]`."""

    def check_manifest(self, access: Access, media_type: str, document: Mapping[str, Any]) -> None:
        had = self.types.get((access.name, access.rest), media_type)
        if had != media_type:
            reason = f'changing manifest media-type from "{had}" to "{media_type}" is disallowed'
            error = {"code": "MANIFEST_INVALID", "message": "manifest invalid", "detail": {"reason": reason}}
            raise Refusal(400, body=json.dumps({"errors": [error]}).encode())


async def test_a_tag_of_another_kind_does_not_make_tarmac_change_media_types() -> None:
    """The other images of the archive keep Docker's."""
    async with opened(Strict()) as ground:
        await ground.push(INDEX)
        names = ("example.com/app:1", "example.com/other:1")
        run = await ground.push(docker_save([tagged(app(name), name) for name in names]))
        assert run.states == [ImageState.FAILED, ImageState.PUSHED]
        assert run.notices == []
        assert run.problem().code == "registry_rejected"
        assert "delete it at the registry" in run.problem().detail


async def test_a_content_type_that_is_not_the_manifest_s_own_is_merged_with_all_the_same() -> None:
    async with opened(Zot()) as ground:
        await ground.push(IMAGE)
        await ground.push(INDEX)
        assert (await ground.push(INDEX)).states == [ImageState.ALREADY_PRESENT]
        assert (await ground.push(IMAGE, {"on_existing_tag": "merge-with-overwrite"})).states == [ImageState.PUSHED]
        kept = ground.vendor.repository("team/app")
        _, raw = kept.manifests[kept.tags["1"]]
    members = strict_json(raw, what="the index", limit=len(raw))
    assert {child["platform"]["architecture"] for child in members["manifests"]} == {"amd64", "arm64"}


@pytest.mark.parametrize("vendor", [Gar, Ghcr])
async def test_the_referrers_of_an_image_are_listed_by_one_request(vendor: type[Vendor]) -> None:
    """Whether the repository lets a tag be moved or not."""
    async with opened(vendor()) as ground:
        ground.vendor.impose(Fault.IMMUTABLE)
        run = await ground.push(REFERRERS.tar)
        assert (run.states, run.notices) == ([ImageState.PUSHED], [])
        subject = REFERRERS.digests["app:1"]
        assert subject is not None
        tag = subject.replace(":", "-")
        assert [seen.method for seen in ground.since if seen.path.endswith(f"/manifests/{tag}")].count("PUT") == 1
        kept = ground.vendor.repository(f"{ground.vendor.home}/app")
        listed = json.loads(kept.manifests[kept.tags[tag]][1])["manifests"]
    assert {child["digest"] for child in listed} == set(REFERRERS.referrers)


async def test_a_source_that_may_not_be_read_is_no_source_of_a_mount() -> None:
    async with opened(DockerHub()) as ground:
        await ground.push(IMAGE)
        ground.vendor.homes.discard(ground.vendor.home)
        ground.mark()
        assert (await ground.push(IMAGE, home=ground.vendor.second)).states == [ImageState.PUSHED]
        assert ground.vendor.sessions == {}
        tokens = [seen for seen in ground.servers[1].requests if seen.path == ground.vendor.token_path]
        assert len(tokens) <= 6


async def test_the_login_of_azure_s_command_line_is_taken() -> None:
    """`az acr login` leaves a refresh token, which Docker's configuration calls an identity token."""
    login = Credentials("00000000-0000-0000-0000-000000000000", "", identity_token=REFRESH_TOKEN)
    async with opened(Acr()) as ground:
        assert (await ground.push(IMAGE, credentials=FixedCredentials(login))).states == [ImageState.PUSHED]
        asked = ground.vendor.token_requests[0]
    assert (asked["grant_type"], asked["service"]) == (["refresh_token"], [Acr.service])


@pytest.mark.parametrize("vendor", [Acr, DockerHub, Gar, Ghcr])
async def test_a_token_service_that_wants_fewer_requests_is_waited_for(vendor: type[Vendor]) -> None:
    limited: Vendor = type("Limited", (vendor,), {"limits_tokens": True})()
    async with opened(limited) as ground:
        limited.impose(Fault.RATE_LIMIT)
        assert (await ground.push(IMAGE)).states == [ImageState.PUSHED]
        assert ground.lapse.now >= ground.vendor.retry_after


async def test_a_name_that_google_finds_too_short_is_explained() -> None:
    """Of a HEAD only the status is known, so the reason is asked for by GET."""
    async with opened(Gar()) as ground:
        run = await ground.push(IMAGE, home="project")
    assert run.problem().code == "registry_rejected"
    assert "HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE" in run.problem().detail


async def test_a_limit_of_what_may_be_stored_is_no_rate_limit() -> None:
    async with opened(Zot()) as ground:
        ground.vendor.impose(Fault.QUOTA)
        await ground.push(IMAGE)
        assert ground.lapse.waits == []
