from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.errors import RegistryAuth
from app.net.urls import parse_registry_url
from app.registry.auth import Credentials
from app.registry.auth.keychain import Keychain
from tests.support.blob_content import BytesContent
from tests.support.memory_registry import USER, Manners, MemoryRegistry

LOCAL = parse_registry_url("r.local:5000/team", "url")
HUB = parse_registry_url("docker.io", "url")


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def written(file: Path, **members: Any) -> Keychain:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(members))
    return Keychain((file,), os.environ["PATH"])


def with_helper(folder: Path, script: str, seconds: float = 30.0, **members: Any) -> Keychain:
    """A keychain whose helper `docker-credential-test` is this shell script."""
    program = folder / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    file = folder / "config.json"
    file.write_text(json.dumps(members))
    return Keychain((file,), f"{folder}:{os.environ['PATH']}", seconds)


@pytest.mark.parametrize(
    "key",
    ["r.local:5000", "https://r.local:5000", "https://r.local:5000/", "https://r.local:5000/v2/", "http://r.local:5000/v1",
     "r.local:5000/team", "r.local:5000/team/app"],
)  # fmt: skip
async def test_an_entry_is_found_however_its_key_is_written(tmp_path: Path, key: str) -> None:
    keychain = written(tmp_path / "config.json", auths={key: auth("user", "pass:word")})
    assert await keychain.find(LOCAL, "team/app") == Credentials("user", "pass:word")


@pytest.mark.parametrize("key", ["r.local", "r.local:5001", "other/team", "r.local:5000/other", "r.local:5000/team/ap"])
async def test_an_entry_of_another_place_is_not_used(tmp_path: Path, key: str) -> None:
    keychain = written(tmp_path / "config.json", auths={key: auth("user", "password")})
    assert await keychain.find(LOCAL, "team/app") is None


async def test_the_most_specific_entry_wins(tmp_path: Path) -> None:
    entries = {"r.local:5000": auth("host", "1"), "r.local:5000/team/app": auth("app", "2")}
    keychain = written(tmp_path / "auth.json", auths=entries)
    assert await keychain.find(LOCAL, "team/app") == Credentials("app", "2")
    assert await keychain.find(LOCAL, "team/other") == Credentials("host", "1")
    assert await keychain.find(LOCAL, "") == Credentials("host", "1")


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
async def test_docker_hub_has_many_names(tmp_path: Path, key: str) -> None:
    keychain = written(tmp_path / "config.json", auths={key: auth("user", "password")})
    assert await keychain.find(HUB, "team/app") == Credentials("user", "password")


async def test_identity_tokens_and_plain_pairs_are_read(tmp_path: Path) -> None:
    token = written(tmp_path / "1.json", auths={"r.local:5000": {"identitytoken": "abc"}})
    assert await token.find(LOCAL, "a") == Credentials(identity_token="abc")
    pair = written(tmp_path / "2.json", auths={"r.local:5000": {"username": "u", "password": "p"}})
    assert await pair.find(LOCAL, "a") == Credentials("u", "p")


async def test_the_first_file_that_knows_the_registry_decides(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path / "home"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "REGISTRY_AUTH_FILE": str(tmp_path / "explicit.json"),
    }
    files = [
        tmp_path / "home/.config/containers/auth.json",
        tmp_path / "run/containers/auth.json",
        tmp_path / "docker/config.json",
        tmp_path / "explicit.json",
    ]
    assert await Keychain.of(environment).find(LOCAL, "a") is None
    for file in files:
        written(file, auths={"r.local:5000": auth(file.parent.name, "password")})
        found = await Keychain.of(environment).find(LOCAL, "a")
        assert found == Credentials(file.parent.name, "password")


def test_without_an_environment_the_tools_own_places_are_used() -> None:
    files = [str(file) for file in Keychain.of({"HOME": "/home/u"}).files]
    assert files == ["/home/u/.docker/config.json", "/home/u/.config/containers/auth.json"]
    assert Keychain.of({}).files


async def test_a_helper_is_asked_for_its_registry(tmp_path: Path) -> None:
    script = 'read server; printf \'{"Username":"u","Secret":"%s"}\' "$server"'
    keychain = with_helper(tmp_path, script, credHelpers={"r.local:5000": "test"})
    assert await keychain.find(LOCAL, "a") == Credentials("u", "r.local:5000")
    assert await keychain.find(HUB, "a") is None


async def test_a_store_is_asked_where_the_file_holds_no_secret(tmp_path: Path) -> None:
    script = 'read server; printf \'{"Username":"<token>","Secret":"%s"}\' "$server"'
    keychain = with_helper(tmp_path, script, credsStore="test", auths={"https://index.docker.io/v1/": {}})
    assert await keychain.find(HUB, "a") == Credentials(identity_token="https://index.docker.io/v1/")


async def test_a_helper_that_knows_nothing_means_anonymous(tmp_path: Path) -> None:
    script = 'echo "credentials not found in native keychain"; exit 1'
    assert await with_helper(tmp_path, script, credsStore="test").find(LOCAL, "a") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "exit status 3"),
        ("echo nonsense", "no credentials for"),
        ('echo \'{"Username":"u"}\'', "no credentials for"),
        ("exec tail -f /dev/null", "within 0 s"),
    ],
)
async def test_a_helper_that_fails_is_named(tmp_path: Path, script: str, words: str) -> None:
    keychain = with_helper(tmp_path, script, 0.2 if "tail" in script else 30.0, credsStore="test")
    with pytest.raises(RegistryAuth, match=words) as raised:
        await keychain.find(LOCAL, "a")
    assert "docker-credential-test" in str(raised.value)


@pytest.mark.parametrize("name", ["../../bin/sh", "absent-helper"])
async def test_a_helper_that_cannot_be_run_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryAuth, match=name):
        await written(tmp_path / "config.json", credsStore=name).find(LOCAL, "a")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "", '{"auths": 7}', '{"auths": {"r.local:5000": 7}}', '{"auths": {"r.local:5000": {"auth": "%"}}}'],
)
async def test_a_broken_file_is_named_and_an_empty_one_knows_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    keychain = Keychain((file,))
    if text in {"{"} or "%" in text:
        with pytest.raises(RegistryAuth, match=r"config\.json"):
            await keychain.find(LOCAL, "a")
    else:
        assert await keychain.find(LOCAL, "a") is None


async def test_a_directory_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryAuth, match="cannot be read"):
        await Keychain((tmp_path,)).find(LOCAL, "a")


async def test_what_a_helper_answers_by_the_next_push_is_used_without_a_restart(tmp_path: Path) -> None:
    """As a cloud's helper does, whose passwords are good for some hours."""
    secret, asked = tmp_path / "secret", tmp_path / "asked"
    script = f"""echo >> {asked}; echo '{{"Username": "{USER}", "Secret": "'"$(cat {secret})"'"}}'"""
    keychain = with_helper(tmp_path, script, credHelpers={"registry.test": "test"})
    memory = MemoryRegistry(Manners(auth="basic"))
    async with memory.client(keychain) as registry:
        for number, password in enumerate(("first password", "second password", "second password"), 1):
            secret.write_text(password)
            memory.password = password
            await registry.push_blob("team/app", BytesContent(str(number).encode()))
    assert len(memory.repositories["team/app"].blobs) == 3
    assert len(asked.read_text().splitlines()) == 2, "once at first, and once when it was refused"
