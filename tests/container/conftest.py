"""The images are made once, for all tests; containers and their volumes go after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.container.engine import Engine
from tests.container.services import COMPOSE, ROOT
from tests.container.stand_ins import BASE, make_base, make_from, make_tools, package_index

IMAGE = "localhost/tarmac"
REGISTRY = COMPOSE["services"]["registry"]["image"]
DATABASE = COMPOSE["services"]["database"]["image"]
MEASURED = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def storage() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def engine(storage: Engine) -> Iterator[Engine]:
    yield storage
    storage.podman("rm", "--all", "--force", "--volumes", "--time", "0")
    storage.podman("volume", "rm", "--all", "--force")


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> dict[str, str]:
    """What the end of the run tells."""
    return pytestconfig.stash.setdefault(MEASURED, {})


@pytest.fixture(scope="session")
def image(storage: Engine, measured: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """deploy/Containerfile, built as behind the gap: its base under its own name, packages from a mirror."""
    make_base(storage)
    with package_index(tmp_path_factory.mktemp("index"), ROOT / "deploy/requirements.lock") as index:
        storage.build(
            *("--network=host", "--http-proxy=false", "--build-arg", f"PIP_INDEX_URL={index}"),
            *("--file", ROOT / "deploy/Containerfile", "--tag", IMAGE, ROOT),
        )
    whole, base = (storage.inspect("image", name)["Size"] / 1e6 for name in (IMAGE, BASE))
    measured["size"] = f"{whole - base:.0f} MB on a base of {base:.0f} MB"
    return IMAGE


@pytest.fixture(scope="session")
def tools(storage: Engine) -> None:
    """Under the names that docker-compose.yml has: a registry and a PostgreSQL."""
    make_tools(storage)
    make_from(storage, "registry", REGISTRY)
    make_from(storage, "postgres", DATABASE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, value in config.stash.get(MEASURED, {}).items():
        terminalreporter.write_line(f"{name}: {value}")
