"""The docker package from PyPI, as it is, against a service in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import docker  # type: ignore[import-untyped]
import pytest
from docker.errors import APIError, ImageNotFound  # type: ignore[import-untyped]

from app import __version__
from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image, tagged

APP = docker_save([tagged(image({"bin/app": b"one"}), "team/app:1"), tagged(image({"x": b"x"}), "busybox:latest")])
TOKEN = "a token of the test"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("docker")
    tokens = folder / "tokens"
    tokens.write_text(f"ci:{hashlib.sha256(TOKEN.encode()).hexdigest()}:push\n")
    with service(folder / "data", TARMAC_TOKENS_FILE=str(tokens)) as started:
        yield started


@pytest.fixture
def client(running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    """Configured as Docker's clients are: the token stands in the headers of config.json."""
    (tmp_path / "config.json").write_text(json.dumps({"HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    client = docker.DockerClient(base_url=f"tcp://{running.address}")
    yield client
    client.close()


def test_a_client_finds_its_version_and_pings(client: docker.DockerClient) -> None:
    assert client.ping()
    assert client.version()["Version"] == __version__
    assert client.api.api_version == "1.43"


@pytest.mark.parametrize("as_file", [True, False])
def test_images_are_loaded_and_shown(client: docker.DockerClient, as_file: bool) -> None:
    app, busybox = client.images.load(io.BytesIO(APP) if as_file else APP)
    assert app.id == client.images.get("team/app:1").id
    assert [tag.rpartition("/")[2] for tag in app.tags + busybox.tags] == ["app:1", "busybox:latest"]


def test_a_push_streams_where_the_image_is(client: docker.DockerClient, running: Service) -> None:
    (app, _) = client.images.load(APP)
    auth = {"username": "someone", "password": "correct horse"}
    lines = list(client.images.push("team/app", tag="1", stream=True, decode=True, auth_config=auth))
    assert {"status": f"already at {running.address}/team/app:1", "id": "1", "progressDetail": {}} in lines
    assert lines[-1]["aux"]["Digest"] == app.id
    assert app.id in client.images.push("team/app:1")


def test_what_has_not_landed_is_not_found(client: docker.DockerClient) -> None:
    with pytest.raises(ImageNotFound, match="No such image: team/other:1"):
        client.images.push("team/other", tag="1")
    with pytest.raises(ImageNotFound, match="has not landed"):
        client.images.get("team/other")


def test_a_bad_archive_is_an_error_of_the_client(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match=r"422 .*gzip, zstd, xz or bzip2"):
        client.images.load(b"no archive" * 100)


def test_a_client_without_the_token_is_refused_in_words(
    running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    client = docker.DockerClient(base_url=f"tcp://{running.address}", version="1.43")
    with pytest.raises(APIError, match="send a token"):
        client.images.load(APP)
    client.close()


def test_what_was_loaded_can_be_pulled(client: docker.DockerClient, running: Service) -> None:
    (app, _) = client.images.load(APP)
    login = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    url = f"{running.url}/v2/team/app/manifests/1"
    with urlopen(Request(url, headers={"Authorization": f"Basic {login}"}), timeout=20) as answer:
        assert answer.headers["Docker-Content-Digest"] == app.id
