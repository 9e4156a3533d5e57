from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import InvalidRequest, RegistryRejected
from app.net.egress import check_target
from app.net.urls import (
    Origin,
    RegistryUrl,
    parse_range_header,
    parse_registry_url,
    parse_retry_after,
    resolve_location,
    with_digest,
)
from app.oci import Digest

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected", "origins"),
    [
        ("registry.local", RegistryUrl("registry.local"), ["https://registry.local"]),
        ("Registry.Local:5000", RegistryUrl("registry.local", 5000), ["https://registry.local:5000"]),
        ("r.local:5000/team/a/", RegistryUrl("r.local", 5000, "team/a"), ["https://r.local:5000"]),
        ("http://10.0.0.1", RegistryUrl("10.0.0.1", scheme="http"), ["http://10.0.0.1"]),
        ("HTTPS://r:443/x", RegistryUrl("r", 443, "x", "https"), ["https://r"]),
        ("localhost:5000", RegistryUrl("localhost", 5000), ["https://localhost:5000", "http://localhost:5000"]),
        ("127.9.9.9", RegistryUrl("127.9.9.9"), ["https://127.9.9.9", "http://127.9.9.9"]),
        ("[::1]:5000", RegistryUrl("::1", 5000), ["https://[::1]:5000", "http://[::1]:5000"]),
        ("https://localhost:5000", RegistryUrl("localhost", 5000, scheme="https"), ["https://localhost:5000"]),
        ("192.168.1.1:5000", RegistryUrl("192.168.1.1", 5000), ["https://192.168.1.1:5000"]),
        ("docker.io/team", RegistryUrl("docker.io", None, "team"), ["https://registry-1.docker.io"]),
        (" r.local ", RegistryUrl("r.local"), ["https://r.local"]),
    ],
)
def test_every_form_of_a_registry_address_is_read(text: str, expected: RegistryUrl, origins: list[str]) -> None:
    url = parse_registry_url(text, "registry")
    assert url == expected
    assert [str(origin) for origin in url.origins()] == origins


def test_a_registry_address_is_shown_as_it_was_written() -> None:
    for text in ("http://r.local:80/team", "r.local", "[::1]:5000/a"):
        assert str(parse_registry_url(text, "registry")) == text
    assert parse_registry_url("[::1]:5000/a", "registry").name == "[::1]:5000"


@pytest.mark.parametrize(
    "text",
    ["", "ftp://r", "oci://r", "/team", "http://", "r:port", "r:99999", "r_\n.local", "r?x=1", "r/team#x", "r/Team",
     "r/a//b", "-r", "r .local", "[::1", "https://[x]:1", "r/../b"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_and_the_setting_is_named(text: str) -> None:
    with pytest.raises(InvalidRequest, match="TARMAC_REGISTRY_URL"):
        parse_registry_url(text, "TARMAC_REGISTRY_URL")


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    for text in ("https://user:geheim@r.local", "user:geheim@r.local/team", "user:geheim@r:port"):
        with pytest.raises(InvalidRequest) as refused:
            parse_registry_url(text, "registry")
        assert "geheim" not in str(refused.value)


HTTPS = Origin("https", "r.local", 5000)
HTTP = Origin("http", "r.local", 5000)
BASE = "https://r.local:5000/v2/a/blobs/uploads/"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/v2/a/blobs/uploads/1?_state=a%2Fb%3D&x", "https://r.local:5000/v2/a/blobs/uploads/1?_state=a%2Fb%3D&x"),
        ("1?s=2", "https://r.local:5000/v2/a/blobs/uploads/1?s=2"),
        ("https://storage.example/x?sig=1", "https://storage.example/x?sig=1"),
        ("//storage.example/x", "https://storage.example/x"),
        ("https://r.local:5000/x", "https://r.local:5000/x"),
        ("http://r.local/x?y=1", "https://r.local:5000/x?y=1"),
        ("http://r.local:5000/x", "https://r.local:5000/x"),
        ("http://other.local/x", "http://other.local/x"),
    ],
)
def test_a_location_is_resolved_and_keeps_its_query(location: str, expected: str) -> None:
    assert resolve_location(BASE, location, HTTPS) == expected


@pytest.mark.parametrize(
    "location", ["ftp://r/x", "http://u:p@r/x", "http:///x", "/x y", "/x\r\nHost: y", "http://r:x/", "/" + "a" * 20_000]
)
def test_a_location_that_is_no_plain_web_address_is_refused(location: str) -> None:
    with pytest.raises(RegistryRejected):
        resolve_location(BASE, location, HTTPS)


def test_the_digest_is_added_to_whatever_query_the_session_has() -> None:
    digest = Digest.of(b"")
    assert with_digest("https://r/u/1", digest) == f"https://r/u/1?digest=sha256%3A{digest.encoded}"
    assert (
        with_digest("https://r/u/1?_state=a%3D", digest)
        == f"https://r/u/1?_state=a%3D&digest=sha256%3A{digest.encoded}"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0-1299", 1300), ("bytes=0-99", 100), ("0-0", 0), (None, None), ("", None), ("5-9", None), ("0--1", None)],
)
def test_a_range_tells_how_much_a_session_holds(value: str | None, expected: int | None) -> None:
    assert parse_range_header(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 30, None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, NOW) == expected


def test_an_origin_folds_the_default_port_and_case() -> None:
    assert Origin.of("https://R.Local/x", "it") == Origin.of("https://r.local:443/y", "it")
    assert Origin.of("http://[::1]:8/x", "it").authority == "[::1]:8"


@pytest.mark.parametrize(
    ("target", "registry"),
    [
        ("https://auth.example.com/token", "https://r.local"),
        ("https://10.162.182.23:5000/token", "https://10.162.182.23:5000"),
        ("http://127.0.0.1:5000/token", "http://127.0.0.1:5000"),
        ("https://10.0.0.1/token", "https://10.0.0.1:443"),
        ("http://auth.example.com/token", "http://r.local"),
        ("https://8.8.8.8/token", "https://r.local"),
        ("https://R.LOCAL/token", "https://r.local"),
    ],
)
def test_a_target_at_the_registry_itself_or_in_public_is_followed(target: str, registry: str) -> None:
    check_target(Origin.of(target, "it"), Origin.of(registry, "it"), "the realm")


@pytest.mark.parametrize(
    ("target", "registry"),
    [
        ("http://auth.example.com/token", "https://r.local"),
        ("http://r.local:443/token", "https://r.local"),
        ("https://169.254.169.254/latest", "https://r.local"),
        ("https://10.0.0.2/", "https://10.0.0.1"),
        ("https://127.0.0.1:9/", "https://127.0.0.1:5000"),
        ("https://localhost/", "https://r.local"),
        ("https://x.localhost/", "https://r.local"),
        ("https://[::1]/", "https://r.local"),
        ("https://[fe80::1]/", "https://r.local"),
        ("https://[fd00::1]/", "https://r.local"),
        ("https://[::ffff:127.0.0.1]/", "https://r.local"),
        ("https://0.0.0.0/", "https://r.local"),
    ],
)
def test_a_target_that_is_a_downgrade_or_an_inner_address_is_refused(target: str, registry: str) -> None:
    with pytest.raises(RegistryRejected, match="the realm of"):
        check_target(Origin.of(target, "it"), Origin.of(registry, "it"), "the realm")
