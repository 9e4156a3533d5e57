"""`tarmac check` says whether the account may push, and leaves nothing at the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.__main__ import main
from app.errors import RegistryAuth, RegistryDenied, RegistryError
from app.net.urls import parse_registry_url
from app.registry.auth import CredentialSource
from app.registry.distribution.push_right import OTHER, PROBE, PushRight
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.registry.vendors import VENDORS
from tests.registry.vendors.pushing import Ground, opened
from tests.registry.vendors.vendor import GUEST, Fault, Vendor
from tests.support.archives import entry, image, oci_image, oci_layout
from tests.support.docker_registry import PASSWORD, USER, DockerRegistry, Options
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer
from tests.support.token_server import TokenServer

EVERY_VENDOR = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.__name__)


def kept(vendor: Vendor) -> dict[str, object]:
    """What there is at the registry."""
    return {name: repository for name, repository in vendor.repositories.items() if repository.blobs or repository.tags}


async def right_at(ground: Ground, credentials: CredentialSource | None = None, place: str | None = None) -> PushRight:
    vendor = ground.vendor
    before = kept(vendor)
    async with ground.opened(credentials) as registry:
        try:
            return await registry.find_push_right(f"{place or vendor.home}/{PROBE}")
        finally:
            await registry.close()
            assert kept(vendor) == before
            assert not vendor.sessions


@EVERY_VENDOR
async def test_an_account_with_the_right_to_push_may_push_at_every_vendor(vendor: type[Vendor]) -> None:
    async with opened(vendor()) as ground:
        assert (await right_at(ground)).push is not False
        assert {seen.method for seen in ground.since} <= {"GET", "PUT", "POST", "DELETE"}


@EVERY_VENDOR
async def test_an_account_that_may_pull_alone_may_not_push_at_any_vendor(vendor: type[Vendor]) -> None:
    async with opened(vendor()) as ground:
        with pytest.raises(RegistryDenied, match=OTHER):
            await right_at(ground, ground.vendor.credentials(GUEST))


@EVERY_VENDOR
async def test_a_missing_project_is_no_missing_right_if_the_vendor_says_so(vendor: type[Vendor]) -> None:
    async with opened(vendor()) as ground:
        if Fault.MISSING_PROJECT in vendor.absent:
            assert (await right_at(ground, place=vendor.elsewhere)).push
            return
        found: PushRight | RegistryError
        try:
            found = await right_at(ground, place=vendor.elsewhere)
        except (RegistryDenied, RegistryAuth) as error:
            found = error
        assert OTHER in str(found) if isinstance(found, RegistryError) else (found.push is None and found.remark)


async def test_a_token_service_that_fails_says_nothing_of_the_right() -> None:
    def route(seen: Seen) -> Step:
        if seen.path == "/token":
            return answer(500)
        return answer(401, {"WWW-Authenticate": f'Bearer realm="http://{seen.headers["host"]}/token",service="s"'})

    async with ScriptedRegistry(route=route, ping=True) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings) as registry:
            found = await registry.find_push_right(PROBE)
    assert (found.push, "500" in found.remark) == (None, True)


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    with TokenServer(tmp_path) as server:
        yield server


@pytest.fixture
def registry(tmp_path: Path, tokens: TokenServer) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry", Options(more=(tokens.configuration,))) as server:
        yield server


@pytest.mark.parametrize("granted", [{"pull"}, {"pull", "push"}, {"pull", "push", "delete"}])
def test_docker_registry_says_who_may_push_to_which_repository_and_keeps_nothing(
    granted: set[str],
    tokens: TokenServer,
    registry: DockerRegistry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environ = {
        "URL": f"{registry.url}/team",
        "USERNAME": USER,
        "PASSWORD": PASSWORD,
        "ALLOWED_ORIGINS": tokens.realm[:-6],
    }
    for name, value in environ.items():
        monkeypatch.setenv(f"TARMAC_REGISTRY_{name}", value)
    monkeypatch.setenv("TARMAC_DATA_DIR", str(tmp_path / "data"))
    archive = tmp_path / "app.tar"
    archive.write_bytes(oci_layout([entry(oci_image(image({"x": b"y"})), ref="app:1")]))
    assert main(["push", str(archive)]) == 0
    tokens.granted = frozenset(granted)
    before = sorted(path for path in registry.storage.rglob("*") if path.is_file())
    capsys.readouterr()
    for arguments, repository in (((), f"team/{PROBE}"), (("--repository", "app"), "team/app")):
        status = main(["check", "--json", *arguments])
        (found,) = json.loads(capsys.readouterr().out)
        if "push" in granted:
            assert (status, found["details"]["push"], found["details"]["repository"]) == (0, True, repository)
        else:
            assert (status, found["problem"]["code"]) == (1, "registry_denied"), found
            assert repository in found["problem"]["detail"]
    assert sorted(path for path in registry.storage.rglob("*") if path.is_file()) == before


def test_a_repository_that_is_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--repository", "No Name"]) != 0
    assert "No Name" in capsys.readouterr().err
