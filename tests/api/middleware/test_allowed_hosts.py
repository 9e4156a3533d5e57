"""The names that the service answers to."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.api.middleware.allowed_hosts import AllowedHosts
from app.config.settings import load_settings
from app.errors import Forbidden, InvalidSettings
from tests.api.conftest import APP, serving

HERE = AllowedHosts(frozenset({"ingest.local"}))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "a.localhost",
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:8080",
        "ingest.local:1",
        "ingest.local.",
    ],
)
def test_an_address_or_a_name_of_ours_is_taken(host: str) -> None:
    HERE.check(host)
    AllowedHosts(frozenset({"*"})).check("anything.example")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "2130706433", "ingest.local.evil", ""]
)
def test_a_name_that_somebody_made_mean_us_is_not(host: str) -> None:
    with pytest.raises(Forbidden, match="TARMAC_ALLOWED_HOSTS"):
        HERE.check(host)


async def test_bound_to_loopback_a_rebound_name_reads_and_pushes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, allowed_hosts=()) as served:
        evil = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
        for answer in (
            await served.client.post("/push", content=APP, headers=evil),
            await served.client.get("/jobs", headers=evil),
        ):
            assert (answer.status_code, answer.json()["code"]) == (421, "forbidden")
        assert (await served.client.get("/v2/_catalog", headers=evil)).status_code == 421
        assert (await served.client.get("/healthz", headers=evil)).status_code == 200
        assert (await served.client.get("/jobs", headers={"Host": "localhost:8080"})).json()["jobs"] == []


@pytest.mark.parametrize(("names", "status"), [((), 421), (("tarmac.test",), 200), (("other.test",), 421)])
async def test_bound_elsewhere_names_count_where_nobody_needs_a_token(
    tmp_path: Path, names: tuple[str, ...], status: int
) -> None:
    more = {"host": "0.0.0.0", "allow_anonymous": True, "allowed_hosts": names}
    async with serving(tmp_path, **more) as served:
        assert (await served.client.get("/jobs")).status_code == status
        for ours in ("10.1.2.3:8080", "[2001:db8::1]:8080", "localhost"):
            assert (await served.client.get("/jobs", headers={"Host": ours})).status_code == 200


@pytest.mark.parametrize(("names", "status"), [((), 401), (("other.test",), 421)])
async def test_bound_elsewhere_with_tokens_names_count_where_they_are_set(
    tmp_path: Path, names: tuple[str, ...], status: int
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ci:{'0' * 64}\n")
    async with serving(tmp_path / "data", host="0.0.0.0", tokens_file=file, allowed_hosts=names) as served:
        assert (await served.client.get("/jobs")).status_code == status


@pytest.mark.parametrize("names", ["a:1", "http://a", "a,b/c", "[::1]"])
def test_what_is_no_name_is_refused(names: str) -> None:
    with pytest.raises(InvalidSettings, match="TARMAC_ALLOWED_HOSTS"):
        load_settings(environ={"TARMAC_ALLOWED_HOSTS": names})
