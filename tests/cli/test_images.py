"""`tarmac images`, and `tarmac push` of the image store's directory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.registry.oci_layout.registry import LayoutRegistry
from tests.registry.oci_layout.landing import land
from tests.support.archives import image, oci_artifact, oci_image, oci_index
from tests.support.docker_registry import DockerRegistry

ONE = oci_image(image({"base": b"base"}, {"bin/app": b"one"}))
TWO = oci_image(image({"base": b"base"}, {"bin/app": b"two"}))
PINNED = oci_image(image({"pinned": b"by its digest"}))
MOVED = oci_image(image({"moved": b"the tag was moved"}))
MULTI = oci_index([ONE, TWO])
SIGNATURE = oci_artifact(b"a signature", subject=ONE)

Images = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TARMAC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def fill() -> None:
        layout = LayoutRegistry(tmp_path / "data" / "images")
        await land(layout, "app", MULTI, "1")
        await land(layout, "team/app", ONE, "1", "latest")
        await land(layout, "team/app", SIGNATURE)
        await land(layout, "team/app", PINNED)
        await layout.keep([("team/app", PINNED.digest)])
        await land(layout, "team/moved", MOVED, "1")
        await land(layout, "team/moved", TWO, "1")

    (tmp_path / "data").mkdir()
    asyncio.run(fill())
    return tmp_path / "data" / "images"


@pytest.fixture
def images(store: Path, capsys: pytest.CaptureFixture[str]) -> Images:
    """Runs `tarmac images … --json` and returns the document."""

    def run(*arguments: str) -> Any:
        assert main(["images", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path / "registry") as server:
        yield server


def names(document: Any) -> set[str]:
    return {f"{found['name']}:{shown['tag']}" for found in document["repositories"] for shown in found["images"]}


def test_the_list_has_every_image(images: Images, capsys: pytest.CaptureFixture[str]) -> None:
    everything = {"app:1", "team/app:1", "team/app:latest", "team/app:None", "team/moved:1", "team/moved:None"}
    assert names(images("list")) == everything
    assert names(images("list", "team/moved", "latest")) == {"team/app:latest", "team/moved:1", "team/moved:None"}
    assert main(["images", "list"]) == 0
    assert "team/app:latest" in capsys.readouterr().out


def test_show_has_one_repository_or_image(images: Images, capsys: pytest.CaptureFixture[str]) -> None:
    assert {shown["tag"] for shown in images("show", "team/app")["images"]} == {"1", "latest", None}
    assert [shown["digest"] for shown in images("show", "team/app:1")["images"]] == [ONE.digest]
    assert [shown["tag"] for shown in images("show", f"team/app@{PINNED.digest}")["images"]] == [None]
    assert main(["images", "show", "app"]) == 0
    assert MULTI.digest in capsys.readouterr().out


def test_delete_and_prune_free_space(images: Images, store: Path) -> None:
    planned = images("prune", "--dry-run")
    assert [found["digest"] for found in planned["deleted"]] == [MOVED.digest]
    assert images("prune") == planned | {"dry_run": False}
    assert images("delete", "team/moved:1", f"team/app@{PINNED.digest}")["tags"] == 1
    assert images("delete", "team/app", "--all")["tags"] == 2
    assert names(images("list")) == {"app:1"}
    assert images("prune", "--keep-tags", "0")["tags"] == 1
    assert not [path for path in (store / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["delete", "team/app"], 2, "invalid_request"),
        (["delete", "team/app:1", "--all"], 2, "invalid_request"),
        (["delete", "team/app:9"], 2, "not_found"),
        (["delete"], 2, "invalid_request"),
        (["delete", "team/app@sha256:x"], 2, "invalid_request"),
        (["show", "team/none"], 2, "not_found"),
        (["show", "team/app:9"], 2, "not_found"),
        (["show"], 2, "invalid_request"),
        (["prune", "--older-than", "soon"], 2, "invalid_request"),
        (["prune", "--keep-tags", "-1"], 2, "invalid_request"),
        (["copy"], 2, "invalid_request"),
        (["copy", "--to", "nowhere"], 2, "unknown_registry"),
        (["list", "--data-dir", "nowhere"], 2, "not_found"),
    ],
)
def test_what_cannot_be_done_has_a_code(
    store: Path, arguments: list[str], status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["images", *arguments]) == status
    assert f"tarmac: {code}: " in capsys.readouterr().err


@pytest.mark.parametrize("way", ["copy", "push"])
def test_the_store_moves_to_a_registry_with_its_names(
    store: Path, registry: DockerRegistry, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["images", "copy"] if way == "copy" else ["push", str(store)]
    status = main([*command, "--registry-url", f"http://{registry.address}", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (status, document["state"]) == (0, "succeeded"), document["problem"]
    for name, reference, node in (
        ("app", "1", MULTI),
        ("team/app", "1", ONE),
        ("team/app", "latest", ONE),
        ("team/app", PINNED.digest, PINNED),
        ("team/moved", "1", TWO),
    ):
        assert registry.manifest(name, reference) == node.raw
    assert registry.manifest("team/app", SIGNATURE.digest) == SIGNATURE.raw
    assert registry.manifest("team/moved", MOVED.digest) is None
    assert not [text for text in document["notices"] if "refers to" in text and way == "copy"]


def test_a_copy_takes_globs_and_a_prefix(
    store: Path, registry: DockerRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://{registry.address}"
    assert main(["images", "copy", "team/app:l*", "--registry-url", url, "--prefix", "mirror"]) == 0
    assert registry.manifest("mirror/team/app", "latest") == ONE.raw
    assert registry.manifest("mirror/team/app", "1") is None
    assert registry.manifest("mirror/app", "1") is None
