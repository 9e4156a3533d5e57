"""The table of rights in the guide, cell by cell. With PostgreSQL there is no image store, so six combinations of
database, spool and destination are possible. Five of them have every pair that the sixth has."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.docs import pages
from tests.api.conftest import serving
from tests.support.docker_registry import DockerRegistry
from tests.support.postgres import Postgres
from tests.tenancy.cells import CELLS
from tests.tenancy.scene import CALLERS, Scene, tokens_file


class Combination(NamedTuple):
    database: str
    spool: str
    destination: str


COMBINATIONS = (
    Combination("sqlite", "disk", "store"),
    Combination("sqlite", "s3", "store"),
    Combination("sqlite", "s3", "registry"),
    Combination("postgres", "disk", "registry"),
    Combination("postgres", "s3", "registry"),
)


class Row(NamedTuple):
    resource: str
    action: str
    at: str
    rights: dict[str, str]


def table() -> list[Row]:
    rows = []
    for line in pages()["tenancy"].text.splitlines():
        parts = [part.strip().strip("`") for part in line.strip("|").split("|")]
        if len(parts) == 3 + len(CALLERS) and set(parts[0]) != {"-"} and parts[0] != "resource":
            resource, action, at, *rights = parts
            rows.append(Row(resource, action, at, dict(zip(CALLERS, rights, strict=True))))
    return rows


TABLE = table()


def test_the_table_has_a_row_for_each_cell_that_is_tried_and_no_other() -> None:
    assert len(TABLE) == len(CELLS)
    assert {(row.resource, row.action) for row in TABLE} == CELLS.keys()
    assert {row.at for row in TABLE} == {"any", "store", "registry"}


def test_every_pair_of_settings_is_tried() -> None:
    seen = {pair for combination in COMBINATIONS for pair in combinations(enumerate(combination), 2)}
    left_out = combinations(enumerate(("sqlite", "disk", "registry")), 2)
    assert seen.issuperset(left_out)


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """The environment of a store with a bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("PUT", "/spool")
        connection.getresponse().read()
        connection.close()
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.stop()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
async def test_every_cell(
    combination: Combination, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").write_text(tokens_file())
    (tmp_path / "inside").mkdir()
    settings: dict[str, Any] = {"tokens_file": tmp_path / "tokens", "path_roots": str(tmp_path / "inside")}
    if combination.database == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        settings["database_url"] = server.create()
    if combination.spool == "s3":
        for name, value in request.getfixturevalue("bucket").items():
            monkeypatch.setenv(name, value)
        settings["spool_url"] = f"s3://spool/{'-'.join(combination)}"
    url = None
    if combination.destination == "registry":
        url = request.getfixturevalue("registry").url
        settings["registries"] = {"default": {"url": url, "staging_repository": "stage"}}
    async with serving(tmp_path / "data", **settings) as served:
        scene = Scene(served, tmp_path, url)
        found = [row for row in TABLE if row.at in ("any", combination.destination)]
        differing = []
        for row in found:
            for caller in CALLERS:
                came = await CELLS[row.resource, row.action](scene, caller)
                if came != row.rights[caller]:
                    differing.append((row.resource, row.action, caller, row.rights[caller], came))
        assert not differing
