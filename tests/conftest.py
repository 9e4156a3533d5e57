"""What holds for every test: no setting of the machine reaches one, and a missing program is told plainly."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from tests.support.peers import ASKED, REQUIRED, peer
from tests.support.postgres import Postgres

_FOREIGN = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
if ASKED in os.environ:
    os.environ[REQUIRED] = os.environ[ASKED]
for _name in tuple(os.environ):
    if _name.startswith("TARMAC_") or _name.upper() in _FOREIGN:
        del os.environ[_name]

# Databases, spools and registries of tests write through to the disk; where it is memory, nobody waits for it.
_MEMORY, _ROOM = "/dev/shm", 4 << 30
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)

# Two busy cores make any single example slow; pytest-timeout is what finds a hang.
hypothesis.settings.register_profile("tarmac", deadline=None)
hypothesis.settings.load_profile("tarmac")


# Tests that wait for other programs go first: the others fill the time, and what tests share is started once.
_FIRST = ("tests/browser/", "tests/crash/", "tests/e2e/", "tests/hostile/test_http_requests.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn_of)


def _turn_of(item: pytest.Item) -> int:
    return next((number for number, place in enumerate(_FIRST) if item.nodeid.startswith(place)), len(_FIRST))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the command line learns in tests stays there."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _default_logging() -> Iterator[None]:
    """Undo `configure_logging`, which commands call in this process."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root = logging.getLogger()
        root.setLevel(logging.WARNING)
        for handler in tuple(root.handlers):
            if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
                root.removeHandler(handler)


@pytest.fixture(scope="session")
def skopeo() -> str:
    """The path of skopeo, which reads back what was pushed."""
    return peer("skopeo")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this worker's own: 0.8 s of processor time, where a test asks for it."""
    with Postgres() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what came of the archives that other tools made. Reports bring it here from every worker."""
    rows: dict[str, tuple[str, str, str]] = {}
    for report in (each for reports in terminalreporter.stats.values() for each in reports):
        for name, row in getattr(report, "user_properties", ()):
            if name == "peers" and report.when == "call":
                file, tool, words = row
                rows[file] = (
                    file,
                    tool.partition(" (")[0].partition(":")[0],
                    words if report.passed else f"FAILED {words}",
                )
    if rows:
        terminalreporter.section("archives of other tools, at docker-registry, read back by skopeo")
        widths = [max(len(row[column]) for row in rows.values()) for column in (0, 1)]
        for _, (file, tool, words) in sorted(rows.items()):
            terminalreporter.write_line(f"{file:<{widths[0]}}  {tool:<{widths[1]}}  {words}")
