"""What `GET /registries` and `tarmac check` say of registries of every kind: the same, with the reason in words."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.registry.distribution.hints import BY_STATUS
from tests.api.conftest import serving
from tests.support.certificates import Certificates
from tests.support.docker_registry import free_port
from tests.support.memory_registry import PASSWORD, USER, Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, close, raw, served

_resolve = socket.getaddrinfo
RIGHT = {"username": USER, "password": PASSWORD}
WRONG = {"username": USER, "password": "wrong-password"}
EXPECTED = {
    "open": (None, "authentication none, anonymously"),
    "basic": (None, "authentication basic, with credentials"),
    "bearer": (None, "authentication bearer, with credentials"),
    "basic-wrong": ("registry_auth", "Check the user name and password"),
    "bearer-wrong": ("registry_auth", "token service"),
    "bearer-anonymous": ("registry_auth", "token service"),
    "tls": (None, "is ready at https://"),
    "tls-unknown": ("registry_tls", "ca_file"),
    "tls-plain": ("registry_unreachable", "cannot be reached"),
    "absent": ("registry_unreachable", "cannot be reached"),
    "no-name": ("registry_unreachable", "cannot be reached"),
    "rude": ("registry_unreachable", "cannot be reached"),
    "web-page": ("registry_rejected", "answers 404 to /v2/"),
    "failing": ("registry_error", "500"),
    "limited": ("registry_rate_limited", "429"),
    "page": ("registry_rejected", "with a web page"),
    "login": ("registry_rejected", "redirects /v2/ to"),
    "upgrading": ("registry_rejected", "write https://"),
    "unasked": ("registry_auth", "did not ask for the configured credentials"),
    "token-page": ("registry_error", "check that address, and the proxy"),
    "token-nothing": ("registry_auth", "no usable token"),
    "token-elsewhere": ("registry_rejected", "TARMAC_REGISTRY_ALLOWED_ORIGINS=http://127.0.0.2:1"),
    "no-http": ("registry_error", "HTTP/1.1"),
    "portal": ("registry_error", BY_STATUS[511]),
    "side-question-fails": (None, "is ready at http://"),
}


def token_of(seen: Seen, body: bytes) -> Step:
    """A registry whose own token service answers with `body`."""
    realm = f"http://{seen.headers['host']}/token"
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}
    return answer(200, body=body) if seen.path == "/token" else answer(401, challenge)


async def all_kinds(stack: AsyncExitStack, certificates: Certificates) -> dict[str, dict[str, Any]]:
    """Their settings by name; each runs until `stack` is closed."""

    async def behaving(auth: str) -> str:
        memory = MemoryRegistry(Manners(auth=auth))
        return (await stack.enter_async_context(ScriptedRegistry(route=lambda seen: served(memory)))).url

    async def routed(route: Callable[[Seen], Step]) -> str:
        return (await stack.enter_async_context(ScriptedRegistry(route=route))).url

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    memory = MemoryRegistry()
    secure = await stack.enter_async_context(ScriptedRegistry(route=lambda seen: served(memory), tls=context))
    odd = {
        name: (await stack.enter_async_context(ScriptedRegistry(route=lambda seen, step=step: step))).url  # type: ignore[misc]
        for name, step in {
            "rude": close(),
            "web-page": answer(404, body=b"<html><body>Welcome</body></html>"),
            "failing": answer(500, body=b"no disk"),
            "limited": answer(429, {"Retry-After": "1"}),
            "page": answer(200, {"Content-Type": "text/html"}, b"<html><body>Welcome</body></html>"),
            "upgrading": answer(308, {"Location": "https://127.0.0.1/v2/"}),
            "token-elsewhere": answer(401, {"WWW-Authenticate": 'Bearer realm="http://127.0.0.2:1/t",service="s"'}),
            "no-http": raw(b"220 smtp ready\r\n\r\n"),
            "portal": answer(511, body=b"<html><body>Log in</body></html>"),
        }.items()
    }
    odd["login"] = await routed(
        lambda seen: answer(302, {"Location": "/login"}) if seen.path == "/v2/" else answer(200)
    )
    odd["unasked"] = await routed(lambda seen: answer(401))
    odd["token-page"] = await routed(lambda seen: token_of(seen, b"<html>"))
    odd["token-nothing"] = await routed(lambda seen: token_of(seen, b"{}"))
    odd["side-question-fails"] = await routed(lambda seen: answer(200 if seen.path == "/v2/" else 500))
    plain, basic, bearer = [await behaving(auth) for auth in ("none", "basic", "bearer")]
    return {
        "open": {"url": plain, **RIGHT},
        "basic": {"url": basic, **RIGHT},
        "bearer": {"url": bearer, **RIGHT},
        "basic-wrong": {"url": basic, **WRONG},
        "bearer-wrong": {"url": bearer, **WRONG},
        "bearer-anonymous": {"url": bearer},
        "tls": {"url": secure.address, "ca_file": str(certificates.ca)},
        "tls-unknown": {"url": secure.url},
        "tls-plain": {"url": plain.replace("http:", "https:")},
        "absent": {"url": f"http://127.0.0.1:{free_port()}"},
        "no-name": {"url": "http://nowhere.invalid"},
        **{name: {"url": url, **(RIGHT if name == "unasked" else {})} for name, url in odd.items()},
    }


def toml(registries: dict[str, dict[str, Any]]) -> str:
    """JSON's strings are TOML's."""
    lines = []
    for name, members in registries.items():
        lines += [f"[registries.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in members.items())]
    return "\n".join(lines)


def resolving(host: str, *more: Any, **named: Any) -> Any:
    """No name server is asked: how long one takes to say that it knows nothing is nobody's promise."""
    if host == "nowhere.invalid":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve(host, *more, **named)


async def test_every_kind_of_registry_is_told_with_its_reason_by_the_service_and_by_the_command(
    tmp_path: Path, certificates: Certificates, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where no docker has logged in
    monkeypatch.chdir(tmp_path)
    # the system's authorities have signed nothing here, and to read them for each registry took most of the time
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    async with AsyncExitStack() as stack:
        registries = await all_kinds(stack, certificates)
        config = tmp_path / "tarmac.toml"
        config.write_text(toml(registries))
        service = await stack.enter_async_context(serving(tmp_path / "data", registries=registries))
        listed = (await service.client.get("/registries")).json()["registries"]

        async def check(*arguments: str) -> tuple[int, str]:
            status = await asyncio.to_thread(main, ["check", "--config", str(config), *arguments])
            return status, capsys.readouterr().out

        failed, documents = await check("--json")
        _, lines = await check()
        assert (await check("basic"))[0] == 0
        assert (await check("basic-wrong"))[0] == 1
    assert failed == 1
    for found in (listed, json.loads(documents)):
        assert {found_item["name"]: (found_item["problem"] or {}).get("code") for found_item in found} == {
            name: code for name, (code, _) in EXPECTED.items()
        }
    told = dict(line.split(": ", 1) for line in lines.splitlines())
    for name, (_, words) in EXPECTED.items():
        assert words in told[name], told[name]
    for secret in (PASSWORD, WRONG["password"]):
        assert secret not in documents + lines + json.dumps(listed)


def test_a_name_that_is_not_configured_is_told_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "elsewhere"]) != 0
    captured = capsys.readouterr()
    assert "elsewhere" in captured.out + captured.err
    assert "default" in captured.out + captured.err
