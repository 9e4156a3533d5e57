"""The credentials canary: whatever a registry does with what it was sent, the secret is nowhere."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.config.settings import RegistrySettings, Settings
from app.main import create_app
from app.registry.auth import Credentials
from app.registry.wrappers.redact import MAX_TOKENS, SecretScrubber
from tests.support.archives import docker_save, image
from tests.support.migrated import put_database
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer

USER, SECRET, TOKEN = "canary-user", "canary secret/ä+", "canary.token-of-bearer"
PAIR = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()


def echo(status: int, **headers: str) -> Callable[[Seen], Step]:
    """Tells what it was sent, in its words and headers."""

    def step(seen: Seen) -> Step:
        sent = f"you sent {seen.headers.get('authorization')} {seen.target} with {SECRET}"
        body = f'{{"errors": [{{"code": "DENIED", "message": "{sent}"}}]}}'.encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return answer(status, {**told, "Warning": f'299 - "got {PAIR} and {TOKEN}"'}, body)

    return step


def redirect(seen: Seen) -> Step:
    return answer(307, {"Location": f"http://127.0.0.1:1/{PAIR}/{TOKEN}"})


def elsewhere(seen: Seen) -> Step:
    return answer(202, {"Location": f"http://127.0.0.1:1/?{TOKEN}&{PAIR}"})


def cut_off(length: int) -> Callable[[Seen], Step]:
    """So long that a secret is cut where the words that are shown end."""

    def step(seen: Seen) -> Step:
        sent = seen.headers.get("authorization", "").partition(" ")[2]
        return answer(400, {}, b"x" * length + f" {sent} ".encode() + b"x" * 100)

    return step


ANSWERS: dict[str, Callable[[Seen], Step]] = {
    **{f"echo-{status}": echo(status) for status in (400, 401, 403, 404, 413, 415, 500)},
    "redirect": redirect,
    "location": elsewhere,
    "no-url": lambda seen: answer(202, {"Location": f"ftp://{PAIR}.{TOKEN}"}),
    **{f"cut-{length}": cut_off(length) for length in (2010, 2036)},
    "server": lambda seen: answer(400, {"Server": f"{PAIR} {TOKEN}"}),
    "html": lambda seen: answer(400, {}, f"<html>{PAIR} {TOKEN} {SECRET}".encode()),
}


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_no_secret_is_in_documents_logs_or_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], scheme: str, name: str
) -> None:
    caplog.set_level(logging.INFO)  # as the service has it; httpcore's own DEBUG shows every header

    def route(seen: Seen) -> Step:
        given = seen.headers.get("authorization", "")
        if seen.path == "/token":
            return answer(200, body=f'{{"token": "{TOKEN}"}}'.encode())
        if given != (f"Basic {PAIR}" if scheme == "basic" else f"Bearer {TOKEN}"):
            realm = f'Bearer realm="http://{seen.headers["host"]}/token",service="s"'
            return answer(401, {"WWW-Authenticate": realm if scheme == "bearer" else 'Basic realm="r"'})
        return answer(200) if seen.path == "/v2/" else ANSWERS[name](seen)

    async with ScriptedRegistry(route=route, ping=True) as server:
        registries = {"default": RegistrySettings(url=server.url, username=USER, password=SECRET)}
        put_database(tmp_path / "data")
        app = create_app(Settings(data_dir=tmp_path / "data", registries=registries))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            pushed = await client.post("/push?tag=a:1", content=docker_save([image({"a": b"b"})]))
            job = await client.get(pushed.headers["location"])
            for _ in range(30):
                if job.json()["state"] not in ("queued", "running") or job.json()["waiting_for"]:
                    break
                job = await client.get(pushed.headers["location"] + "?wait=0.1")
            if job.json()["state"] == "running":  # it waits before it tries again
                await client.post(pushed.headers["location"] + "/cancel")
            shown = [pushed.text, job.text, (await client.get("/registries")).text, (await client.get("/metrics")).text]
    files = [file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file()]
    written = (*shown, caplog.text, *capsys.readouterr())
    everything = b"\0".join([*files, *(text.encode() for text in written)])
    used = (TOKEN,) if scheme == "bearer" else ()
    begun = (PAIR[:6], TOKEN[:9]) if name.startswith("cut") else ()
    for secret in (SECRET, SECRET.encode("unicode_escape").decode(), PAIR, "canary%20secret", *used, *begun):
        assert secret.encode() not in everything, secret
    assert len(server.requests) > 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x geheim<&> y", "x [hidden] y"),
        ("x geheim&lt;&amp;&gt; y", "x [hidden] y"),
        ("x geheim%3C%26%3E y", "x [hidden] y"),
        ("x geh…", "x [hidden]…"),
        ("x ge…", "x ge…"),
        ("x geheim<&… and gehe… more", "x [hidden]… and [hidden]… more"),
        ("geh x…", "geh x…"),
        ("gehgeheim…", "geh[hidden]…"),
    ],
)
def test_a_secret_is_known_in_every_form_and_by_its_start_where_a_text_was_cut(text: str, shown: str) -> None:
    secrets = SecretScrubber()
    secrets.add(Credentials("", "geheim<&>"))
    assert secrets.scrub(text) == shown


def test_a_secret_that_cannot_be_printed_is_known_as_it_is_shown() -> None:
    secrets = SecretScrubber()
    secrets.add(Credentials("", 'a\tb"c\n'))
    assert secrets.scrub('1 a\\tb"c\\n 2 a\\tb\\"c\\n 3') == "1 [hidden] 2 [hidden] 3"


def test_credentials_are_hidden_however_many_tokens_came_after_them() -> None:
    secrets = SecretScrubber()
    secrets.add(Credentials("anna", "geheim<&>", "identity"))
    for number in range(MAX_TOKENS + 200):
        secrets.add_header(f"Bearer token-{number}")
    secrets.add(Credentials("bert", "other-password"))
    basic = base64.b64encode(b"anna:geheim<&>").decode()
    shown = secrets.scrub(f"{basic} geheim<&> geheim&lt;&amp;&gt; identity token-1199 other-password token-3 end")
    assert shown == " ".join(["[hidden]"] * 6 + ["token-3", "end"])
