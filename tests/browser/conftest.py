"""One Chromium, one service as users have it and one real registry for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.e2e.service import Service, service
from tests.support.docker_registry import DockerRegistry
from tests.support.peers import peer

WAIT_MILLISECONDS = 20_000
# A script that runs although the policy forbids it, or a policy that had to stop one, is told here.
REFUSED_PORTS = "1719,1720,1723,2049,3659,4045,5060,5061,6000,6566,6665,6666,6667,6668,6669,6697,10080"  # by Chromium
_REPORTS = """
window.reports = [];
document.addEventListener("securitypolicyviolation", (event) => window.reports.push(event.violatedDirective));
window.alert = () => window.reports.push("alert");
"""


@dataclass
class Watched:
    """A tab, and what it must not do."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        return [*self.foreign, *self.errors, *self.page.evaluate("window.reports")]


# Playwright keeps a loop of its own running, in which no asyncio test can run: it ends with the package.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = peer("chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
        ports = f"--explicitly-allowed-ports={REFUSED_PORTS}"  # the kernel may give any port to a service
        started = playwright.chromium.launch(executable_path=program, args=[*arguments, ports])
        yield started
        started.close()


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory, registry: DockerRegistry) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("data"), TARMAC_REGISTRY_URL=registry.address) as started:
        yield started


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """For a person to look at; git leaves it out."""
    place = Path(__file__).parent / "screenshots"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture
def tab(browser: Browser, running: Service) -> Iterator[Watched]:
    """On the page; a request to anywhere else is refused and fails the test, and so does a script that breaks."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, base_url=f"{running.url}/")
    watched = watch(context, running)
    watched.page.goto("/")
    yield watched
    faults = watched.faults()
    context.close()
    assert not faults


class HasAddress(Protocol):
    """A service, or what stands before one."""

    @property
    def url(self) -> str: ...


def watch(context: BrowserContext, running: HasAddress) -> Watched:
    context.set_default_timeout(WAIT_MILLISECONDS)
    expect.set_options(timeout=WAIT_MILLISECONDS)
    context.add_init_script(_REPORTS)
    watched = Watched(context.new_page())

    def guard(route: Route) -> None:
        if route.request.url.startswith((f"{running.url}/", "blob:", "data:")):
            route.continue_()
            return
        watched.foreign.append(route.request.url)
        route.abort()

    context.route("**/*", guard)
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    return watched
