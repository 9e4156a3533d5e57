"""Who may do what at Pulp, with a token service, by Basic and with domains, and what `tarmac check` says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from tests.interop.conftest import Migrated, Site, opened
from tests.interop.pulp import PASSWORD
from tests.interop.reader import PulpReader
from tests.peers.corpus import CORPUS

GUEST = "guest"
ARCHIVE = CORPUS / "buildx-oci-multi.tar"
PLACE = "bk/multi:oci"

Run = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def basic(migrated: Migrated) -> Iterator[Site]:
    with opened(migrated, "basic", tokens=False) as opened_site:
        opened_site.pulp.add_user(GUEST, PASSWORD)
        yield opened_site


@pytest.fixture(scope="module")
def tokens(site: Site) -> Site:
    site.pulp.add_user(GUEST, PASSWORD)
    return site


@pytest.fixture(scope="module")
def domains(migrated: Migrated) -> Iterator[Site]:
    with opened(migrated, "domains", domains=True) as opened_site:
        yield opened_site


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The status and the document of a command that runs with `environ` and a cache of its own."""

    def run_command(environ: dict[str, str], *arguments: str) -> tuple[int, Any]:
        for name, value in {**environ, "XDG_CACHE_HOME": str(tmp_path), "TARMAC_DATA_DIR": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        status = main([*arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run_command


def problem_of(job: Any) -> dict[str, Any]:
    """Of the first image, or of the job if it ended before it had any."""
    problems = [image["problem"] for image in job["images"]] or [job["problem"]]
    assert problems[0] is not None, job
    return dict(problems[0])


@pytest.mark.parametrize("kind", ["tokens", "basic"])
def test_a_user_with_rights_is_ready_and_lands(
    kind: str, run: Run, skopeo: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(kind)
    status, (found,) = run(site.environ(site.nginx.url), "check")
    assert (status, found["reachable"]) == (0, True), found
    assert found["details"]["authentication"] == {"tokens": "bearer", "basic": "basic"}[kind]
    status, job = run(site.environ(site.nginx.url), "push", str(ARCHIVE), "--prefix", "right")
    assert (status, job["state"]) == (0, "succeeded"), job
    reader = PulpReader(skopeo, site.nginx.url.removeprefix("http://"), "right", tmp_path)
    assert json.loads(reader.raw(PLACE))["manifests"]


@pytest.mark.parametrize("kind", ["tokens", "basic"])
def test_a_wrong_password_is_named(kind: str, run: Run, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(kind)
    environ = site.environ(site.nginx.url, password="wrong")
    status, (found,) = run(environ, "check")
    assert (status, found["problem"]["code"]) == (1, "registry_auth")
    status, job = run(environ, "push", str(ARCHIVE), "--prefix", "wrong")
    assert (status, problem_of(job)["code"]) == (1, "registry_auth")


@pytest.mark.parametrize("kind", ["tokens", "basic"])
def test_a_user_without_rights_is_denied_and_not_told_of_a_wrong_password(
    kind: str, run: Run, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(kind)
    status, job = run(site.environ(site.nginx.url, GUEST), "push", str(ARCHIVE), "--prefix", "closed")
    problem = problem_of(job)
    assert (status, job["state"], problem["code"]) == (1, "failed", "registry_denied"), problem
    assert "closed/bk/multi" in problem["detail"]
    assert "password" not in problem["detail"]


@pytest.mark.parametrize("below", ["", "/default"])
def test_a_pulp_with_domains_is_ready_and_lands(
    below: str, domains: Site, run: Run, skopeo: str, tmp_path: Path
) -> None:
    """Its token service answers 500 for a repository without a slash."""
    environ = domains.environ(f"{domains.nginx.url}{below}")
    status, (found,) = run(environ, "check")
    assert (status, found["reachable"]) == (0, True), found
    prefix = "team" if below else "default/team"
    status, job = run(environ, "push", str(ARCHIVE), "--prefix", prefix)
    assert (status, job["state"]) == (0, "succeeded"), job
    reader = PulpReader(skopeo, domains.nginx.url.removeprefix("http://"), "default/team", tmp_path)
    assert json.loads(reader.raw(PLACE))["manifests"]
