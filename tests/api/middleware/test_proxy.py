"""What proxies say: believed from trusted ones, and never from whoever asks."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.base_path import address_of
from app.api.middleware.proxy import FORWARDED_HOST, Proxy, TrustedProxies
from app.config.settings import load_settings
from app.errors import InvalidSettings
from tests.api.conftest import APP, Served, serving

PROXIES = TrustedProxies.parse(["10.0.0.0/8", "::1", "2001:db8::/32", "unix"])


async def seen(fields: list[tuple[str, str]], peer: str | None = "10.0.0.1", path: str = "/jobs") -> Scope:
    """The scope of a request as the layers below have it."""
    reached: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    client = None if peer is None else (peer, 4711)
    scope = {"type": "http", "method": "GET", "path": path, "scheme": "http", "headers": headers, "client": client}
    await Proxy(app, PROXIES)(scope, receive, send)
    return reached[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),  # whoever asks is no proxy
        ("11.0.0.1", ["10.0.0.1"], "11.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # the client wrote the first
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.7"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.7, 10.0.0.8"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.5, 10.0.0.7"], "10.0.0.5"),  # a client within the trusted network
        ("10.0.0.1", ["198.51.100.1:1234"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db9::7]:1234"], "2001:db9::7"),
        ("10.0.0.1", ["2001:db9::7"], "2001:db9::7"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::1", ["198.51.100.1"], "198.51.100.1"),
        ("::2", ["198.51.100.1"], "::2"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", ["1.1.1.1, 10.0.0.7<script>"], "10.0.0.1"),
        ("10.0.0.1", [", ,198.51.100.1, ,"], "198.51.100.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.01"], "10.0.0.1"),
        (None, ["198.51.100.1"], "198.51.100.1"),  # by the socket
        (None, [], None),
    ],
)
async def test_the_client_is_the_right_most_address_that_is_not_trusted(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    scope = await seen([("X-Forwarded-For", value) for value in forwarded], peer)
    assert (scope["client"] or (None,))[0] == client


async def test_a_long_list_is_read_from_its_end_only() -> None:
    scope = await seen([("X-Forwarded-For", "1.1.1.1," * 200_000 + "198.51.100.1")])
    assert scope["client"][0] == "198.51.100.1"


@pytest.mark.parametrize(
    ("fields", "scheme", "host"),
    [
        ([], "http", None),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "ingest.example")], "https", "ingest.example"),
        ([("X-Forwarded-Proto", "http, HTTPS"), ("X-Forwarded-Host", "evil.example, a:8443")], "https", "a:8443"),
        ([("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "a")], "http", "a"),
        ([("X-Forwarded-Proto", "javascript")], "http", None),
    ],
)
async def test_scheme_and_host_are_the_last_that_were_said(
    fields: list[tuple[str, str]], scheme: str, host: str | None
) -> None:
    scope = await seen(fields)
    assert (scope["scheme"], scope[FORWARDED_HOST]) == (scheme, host)
    strange = await seen(fields, peer="192.0.2.9")
    assert (strange["scheme"], strange[FORWARDED_HOST]) == ("http", None)


@asynccontextmanager
async def proxied(served: Served, peer: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose connections come from `peer`."""
    transport = httpx.ASGITransport(served.app, raise_app_exceptions=False, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://tarmac.test", timeout=30) as client:
        yield client


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[tuple[Served, httpx.AsyncClient, httpx.AsyncClient]]:
    """A service, a client that comes through its proxy, and a stranger."""
    more: dict[str, Any] = {"trusted_proxies": "10.0.0.0/8", "allowed_hosts": "tarmac.test,ingest.example"}
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(tmp_path, **more))
        proxy = await stack.enter_async_context(proxied(served, "10.0.0.1"))
        yield served, proxy, await stack.enter_async_context(proxied(served, "192.0.2.9"))


Behind = tuple[Served, httpx.AsyncClient, httpx.AsyncClient]


async def test_the_audit_trail_has_the_client_and_no_forged_one(behind: Behind) -> None:
    _, proxy, stranger = behind
    forged = {"X-Forwarded-For": "203.0.113.5"}
    for client, headers in (
        (proxy, {"X-Forwarded-For": "1.2.3.4, 203.0.113.5"}),
        (stranger, forged),
        (proxy, {}),
    ):
        answer = await client.post("/push?wait=30", content=APP, headers=headers)
        assert answer.status_code == 200
    entries = (await proxy.get("/audit")).json()["entries"]
    assert [entry["address"] for entry in entries] == ["203.0.113.5", "192.0.2.9", "10.0.0.1"]


async def test_an_origin_is_compared_with_the_host_that_the_proxy_was_asked_for(behind: Behind) -> None:
    _, proxy, stranger = behind
    headers = {"Origin": "https://ingest.example", "X-Forwarded-Host": "ingest.example", "Host": "tarmac.test"}
    assert (await proxy.post("/push?wait=30", content=APP, headers=headers)).status_code == 200
    assert (await stranger.post("/push?wait=30", content=APP, headers=headers)).status_code == 403
    headers["Origin"] = "http://tarmac.test"
    assert (await proxy.post("/push?wait=30", content=APP, headers=headers)).status_code == 403


@pytest.mark.parametrize(("host", "forwarded"), [("evil.example", "ingest.example"), ("tarmac.test", "evil.example")])
async def test_no_forwarded_host_makes_a_foreign_name_ours(behind: Behind, host: str, forwarded: str) -> None:
    """A page whose name was made to mean us can set X-Forwarded-Host, and a proxy may pass it on."""
    _, proxy, _ = behind
    headers = {"Host": host, "X-Forwarded-Host": forwarded, "Sec-Fetch-Site": "same-origin"}
    for method, path in (("GET", "/jobs"), ("POST", "/push"), ("GET", "/v2/_catalog")):
        assert (await proxy.request(method, path, headers=headers)).status_code == 421


PREFIXED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"base_path": "/tarmac"}, {}, "/tarmac"),
    ({"base_path": "/a/b.c~d_e-F"}, {}, "/a/b.c~d_e-F"),
    ({}, {"X-Forwarded-Prefix": "/tarmac"}, "/tarmac"),
    ({}, {"X-Forwarded-Prefix": "/tarmac/"}, "/tarmac"),
    ({}, {"X-Forwarded-Prefix": "//evil.example, /tarmac"}, "/tarmac"),
    ({"base_path": "/other"}, {"X-Forwarded-Prefix": "/tarmac"}, "/tarmac"),
    ({"base_path": "/tarmac"}, {"X-Forwarded-Prefix": "//evil.example"}, "/tarmac"),
    ({"base_path": "/tarmac"}, {"X-Forwarded-Prefix": "/a/../b"}, "/tarmac"),
    ({"base_path": "/tarmac"}, {"X-Forwarded-Prefix": 'x"/>'}, "/tarmac"),
    ({"base_path": "/tarmac"}, {"X-Forwarded-Prefix": ""}, "/tarmac"),
]


@pytest.mark.parametrize("passed_on", [False, True], ids=["stripped", "passed-on"])
@pytest.mark.parametrize(("settings", "headers", "prefix"), PREFIXED)
async def test_every_address_is_below_the_prefix(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], prefix: str, passed_on: bool
) -> None:
    data = base64.b64encode(b"x.tar").decode()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(APP)), "Upload-Metadata": f"filename {data}"}
    root = prefix if passed_on else ""
    async with serving(tmp_path, trusted_proxies="10.0.0.0/8", **settings) as served:
        async with proxied(served, "10.0.0.1") as client:
            client.headers.update(headers)
            pushed = await client.put(f"{root}/push/x.tar?wait=30", content=APP)
            job = pushed.json()
            refused = await client.post(f"{root}/push", content=b"nonsense" * 100)
            created = await client.post(f"{root}/uploads", headers=tus)
            upload = created.headers["location"].removeprefix(prefix)
            asked = await client.head(f"{root}{upload}", headers={"Tus-Resumable": "1.0.0"})
            cancelled = await client.post(f"{root}{created.headers['tarmac-job'].removeprefix(prefix)}/cancel")
            docs = await client.get(f"{root}/docs/")
            document = (await client.get(f"{root}/openapi.json")).json()
        assert pushed.headers["location"] == f"{prefix}/jobs/{job['id']}"
        assert refused.headers["location"] == f"{prefix}/jobs/{refused.json()['job']['id']}"
        assert created.headers["location"].startswith(f"{prefix}/uploads/")
        assert created.headers["tarmac-job"] == asked.headers["tarmac-job"]
        assert asked.headers["tarmac-job"].startswith(f"{prefix}/jobs/")
        assert cancelled.headers["location"] == created.headers["tarmac-job"]
        assert docs.headers["location"] == f"{prefix}/docs"
        assert document["servers"] == [{"url": prefix}]
        assert document == (served.app.openapi() | {"servers": [{"url": prefix}]})
        # and without it nothing is below it
        bare = await served.client.get("/openapi.json")
        assert bare.json()["servers"] == [{"url": settings.get("base_path", "/")}]


async def test_the_path_of_the_prefix_itself_leads_to_the_page(tmp_path: Path) -> None:
    async with serving(tmp_path, base_path="/tarmac") as served:
        answer = await served.client.get("/tarmac")
        assert (answer.status_code, answer.headers["location"]) == (308, "/tarmac/")
        assert "text/html" in (await served.client.get("/tarmac/")).headers["content-type"]
        assert (await served.client.get("/tarmac/page/station.js")).status_code == 200
        assert (await served.client.get("/tarmacs/jobs")).status_code == 404
        assert (await served.client.get("/Tarmac/jobs")).status_code == 404


async def test_container_tools_find_their_routes_at_the_root_and_only_there(tmp_path: Path) -> None:
    async with serving(tmp_path, base_path="/tarmac") as served:
        for name in ("a", "b"):
            assert (await served.client.post(f"/push?wait=30&tag=team/{name}:1", content=APP)).status_code == 200
        assert (await served.client.get("/v2/team/a/manifests/1", headers={"Accept": "*/*"})).status_code == 200
        page = await served.client.get("/v2/_catalog?n=1")
        assert page.headers["link"].startswith("</v2/_catalog?")
        assert (await served.client.get("/_ping")).status_code == 200
        assert (await served.client.post("/images/load", content=APP)).status_code == 200
        for path in ("/v2/", "/v2/_catalog", "/_ping", "/version", "/v1.43/_ping", "/images/team/app:1/json"):
            assert (await served.client.get(f"/tarmac{path}")).status_code == 404


async def test_rights_are_looked_up_after_the_prefix_was_taken_off_once(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ci:{'0' * 64}\n")
    async with serving(tmp_path / "data", base_path="/tarmac", tokens_file=file) as served:
        expected = {
            "/tarmac/healthz": 200,
            "/tarmac/docs": 200,
            "/tarmac/jobs": 401,
            "/tarmac/registries": 401,
            "/tarmac/tarmac/healthz": 401,  # no open route
            "/tarmac/tarmac/jobs": 401,
            "/tarmac//jobs": 401,
            "/tarmac/v2/": 401,
            "/tarmac/push": 401,
            "/healthz": 200,
            "/jobs": 401,
        }
        assert {path: (await served.client.get(path)).status_code for path in expected} == expected


async def test_a_stranger_s_prefix_is_not_believed(behind: Behind) -> None:
    _, _, stranger = behind
    answer = await stranger.post("/push?wait=30", content=APP, headers={"X-Forwarded-Prefix": "/elsewhere"})
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    assert (await stranger.get("/elsewhere/jobs", headers={"X-Forwarded-Prefix": "/elsewhere"})).status_code == 404


@pytest.mark.parametrize("text", ["", "/a", "/a/b", "/A9._~-", "/..a", "/a..", "/v3", "/imagesx"])
def test_a_base_path_is_taken(text: str) -> None:
    assert load_settings(environ={"TARMAC_BASE_PATH": text}).base_path == text


@pytest.mark.parametrize(
    "text",
    ["a", "/", "/a/", "//a", "/a//b", "/a b", "/a\n", "/ä", "/a?b", "/a#b", "/a%20", "/a:b", "/a/../b", "/.", "/a/..",
     "http://h/a", "/v2", "/v2/a", "/images", "/_ping", "/version", "/v1.43"],
)  # fmt: skip
def test_what_is_no_base_path_stops_the_start(text: str) -> None:
    with pytest.raises(InvalidSettings, match="TARMAC_BASE_PATH"):
        load_settings(environ={"TARMAC_BASE_PATH": text})


@pytest.mark.parametrize("text", ["10.0.0.0/8", "127.0.0.1", "::1,10.1.2.0/24", "fd00::/8", "unix", "0.0.0.0/0"])
def test_networks_are_taken(text: str) -> None:
    found = load_settings(environ={"TARMAC_TRUSTED_PROXIES": text}).trusted_proxies
    assert len(found) == len(text.split(","))


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0", "unix:/run/x"])
def test_what_is_no_network_stops_the_start(text: str) -> None:
    with pytest.raises(InvalidSettings, match="TARMAC_TRUSTED_PROXIES"):
        load_settings(environ={"TARMAC_TRUSTED_PROXIES": text})


def test_without_a_request_an_address_is_its_path() -> None:
    assert address_of("/jobs/1") == "/jobs/1"


async def test_bodies_may_have_addresses_below_the_prefix_too() -> None:
    said: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        said.append(address_of("/jobs/1"))

    async def nothing(*_: Any) -> Any:
        return {}

    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": None}
    await Proxy(app, TrustedProxies(), "/tarmac")(scope, nothing, nothing)
    assert said == ["/tarmac/jobs/1"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/push/?wait=30", 200),
        ("GET", "/jobs/", 200),
        ("GET", "/registries/", 200),
        ("GET", "/healthz/", 200),
        ("GET", "/openapi.json/", 200),
        ("OPTIONS", "/uploads/", 204),
        ("POST", "/uploads/", 201),
        ("GET", "/docs/", 308),
        ("GET", "/jobs//", 404),
        ("POST", "/images/load/", 404),
    ],
)
async def test_a_slash_at_the_end_says_nothing(served: Served, method: str, path: str, status: int) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(APP))} if "uploads" in path else {}
    content = APP if method == "POST" and "uploads" not in path else b""
    answer = await served.client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
