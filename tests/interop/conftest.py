"""One Pulp for all tests, behind nginx as pulp-container configures it, behind streaming nginx, and behind Apache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.fronts import Apache, Nginx
from tests.interop.pulp import ADMIN, PASSWORD, Ports, Pulp, Ways, migrate
from tests.support.docker_registry import free_port
from tests.support.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Site:
    """A Pulp and what stands before it. Its token service and its content app are named by the URL of `nginx`."""

    pulp: Pulp
    nginx: Nginx
    streaming: Nginx
    apache: Apache

    def environ(self, url: str, user: str = ADMIN, password: str = PASSWORD) -> dict[str, str]:
        """Tarmac's settings for the front, or what is before it, at `url`. Pulp leads from there to `nginx`."""
        return {
            "TARMAC_REGISTRY_URL": url,
            "TARMAC_REGISTRY_ALLOWED_ORIGINS": self.nginx.url,
            "TARMAC_REGISTRY_USERNAME": user,
            "TARMAC_REGISTRY_PASSWORD": password,
        }


@dataclass(frozen=True, slots=True)
class Migrated:
    """Where every Pulp has its files, and the database that each gets a copy of."""

    folder: Path
    postgres: Postgres
    database: str


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> Iterator[Migrated]:
    """Its files are on a disk: layers of many pushes are more than a file system in memory should hold."""
    with tempfile.TemporaryDirectory(prefix="tarmac-pulp-", dir="/var/tmp") as name:
        database = postgres.create()
        migrate(Path(name) / "migrated", database)
        yield Migrated(Path(name), postgres, database.partition("@/")[2].partition("?")[0])


@contextmanager
def opened(migrated: Migrated, name: str, *, tokens: bool = True, domains: bool = False) -> Iterator[Site]:
    """A Pulp of its own kind, with a copy of the database and its fronts."""
    folder, ports = migrated.folder / name, Ports(free_port(), free_port())
    fronts = (
        Nginx(folder / "nginx", free_port(), ports),
        Nginx(folder / "streaming", free_port(), ports, buffering=False),
        Apache(folder / "apache", free_port(), ports),
    )
    ways = Ways(fronts[0].url, tokens=tokens, domains=domains)
    with ExitStack() as stack:
        pulp = stack.enter_context(Pulp(folder / "pulp", migrated.postgres.create(migrated.database), ports, ways))
        for front in fronts:
            stack.enter_context(front)
        yield Site(pulp, *fronts)


@pytest.fixture(scope="session")
def site(migrated: Migrated) -> Iterator[Site]:
    """With a token service."""
    with opened(migrated, "tokens") as opened_site:
        yield opened_site
