"""Which token services a registry may name without a setting: those of its own site, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.net.same_site import PRIVATE_SUFFIXES, Reached, Site, are_siblings, site_of
from app.net.urls import Origin
from tests.net.site_scripts import ADDRESSES, CASES, NAMES, PORT
from tests.support.namespace import run_in_namespace

HTTPS, HTTP = Origin("https", "registry.corp.example", 5050), Origin("http", "registry.corp.example", 5050)


def test_only_the_token_services_of_a_registrys_own_site_are_asked(tmp_path: Path) -> None:
    told = json.loads(run_in_namespace("tests.net.site_scripts", tmp_path, ADDRESSES, NAMES))
    assert len(told["found"]) == len(CASES)
    for registry, realm, asked, said, done in told["found"]:
        expected = CASES[registry, realm]
        assert asked == ([] if expected is None else [expected]), (registry, realm, said)
        assert (said == "") is (expected is not None), (registry, realm, said)
        assert done == [0, 0], "neither a redirect nor an upload follows to where tokens come from"
        if expected is None:
            assert f"add http://{realm}:{PORT} to the setting allowed_origins" in said
    assert told["redirected"] == [], "a token service of the site leads nowhere else"
    assert told["said"].startswith("registry_auth"), told["said"]


@pytest.mark.parametrize(
    ("one", "other", "beside"),
    [
        ("registry.corp.example", "gitlab.corp.example", True),
        ("registry.corp.example", "corp.example", True),
        ("corp.example", "auth.corp.example", True),
        ("registry.a.corp.example", "sso.b.corp.example", True),
        ("registry.example", "gitlab.example", False),
        ("registry.corp.example", "registry.corp.example.evil.test", False),
        ("registry.corp.example", "notcorp.example", False),
        ("registry", "gitlab", False),
        ("registry", "registry", False),
        ("registry.home.arpa", "gitlab.home.arpa", True),
        ("registry.arpa", "gitlab.arpa", False),
        ("a.co.uk", "b.co.uk", False),
        ("a.firm.co.uk", "b.firm.co.uk", True),
        ("a.com.au", "b.com.au", False),
        ("a.firm.de", "b.firm.de", True),
        ("10.0.0.5", "10.1.0.5", False),
        ("10.0.5", "1.0.5", False),
        ("0x0a.0.0.5", "0x0b.0.0.5", False),
        ("a.1.2", "b.1.2", False),
        ("fd00::1", "fd01::1", False),
        *((f"registry.{suffix}", f"gitlab.{suffix}", True) for suffix in sorted(PRIVATE_SUFFIXES)),
    ],
)
def test_names_are_beside_each_other_if_they_share_a_domain(one: str, other: str, beside: bool) -> None:
    assert are_siblings(one, other) is beside
    assert are_siblings(other, one) is beside


@pytest.mark.parametrize(
    ("registry", "realm", "of_it"),
    [
        (HTTPS, "https://gitlab.corp.example", True),
        (HTTPS, "http://gitlab.corp.example", False),
        (HTTPS, "https://registry.corp.example", True),
        (HTTPS, "http://registry.corp.example", False),
        (HTTP, "http://gitlab.corp.example", True),
        (HTTP, "https://gitlab.corp.example", True),
    ],
)
def test_https_is_kept(registry: Origin, realm: str, of_it: bool) -> None:
    assert Site(registry, Reached.PRIVATE).has(Origin.of(realm, "it")) is of_it


@pytest.mark.parametrize(
    ("peer", "reached"),
    [
        ("10.1.2.3", Reached.PRIVATE),
        ("172.31.0.1", Reached.PRIVATE),
        ("192.168.0.1", Reached.PRIVATE),
        ("fd12:3456::1", Reached.PRIVATE),
        ("::ffff:10.0.0.1", Reached.PRIVATE),
        ("127.0.0.1", Reached.LOOPBACK),
        ("::1", Reached.LOOPBACK),
        ("172.32.0.1", None),
        ("8.8.8.8", None),
        ("169.254.1.1", None),
        ("fe80::1%eth0", None),
        ("100.64.0.1", None),
        ("fd00:ec2::254", None),
        (None, None),
        ("", None),
    ],
)
def test_a_registry_has_a_site_only_at_a_private_address(peer: str | None, reached: Reached | None) -> None:
    site = site_of(HTTPS, peer)
    assert (site and site.reached) is reached


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("10.9.9.9", True),
        ("fd12::1", True),
        ("8.8.8.8", True),
        ("127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::a42:1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_a_name_of_the_site_may_mean_private_addresses_and_no_other_inner_ones(address: str, permitted: bool) -> None:
    assert Site(HTTPS, Reached.PRIVATE).permits("gitlab.corp.example", address) is permitted
