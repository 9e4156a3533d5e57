"""The page behind nginx, below a path and with a Host header that lacks its port."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watched, watch
from tests.browser.test_page import archive, chosen, state
from tests.e2e.test_proxies import FRONTS, before


@pytest.mark.parametrize("name", [name for name, (prefix, _, _) in FRONTS.items() if prefix])
def test_an_archive_that_is_chosen_lands_through_a_prefix(browser: Browser, tmp_path: Path, name: str) -> None:
    with before(tmp_path, name) as front:
        context = browser.new_context(base_url=f"{front.url}/")
        tab = watch(context, front)
        tab.page.goto(f"{front.url}/")
        chosen(tab.page, ("x.tar", archive("app:1", 3 << 20)))
        state(tab.page, "succeeded")
        tab.page.reload()
        state(tab.page, "succeeded")
        faults(tab)
        tab.page.goto(f"{front.url}/docs")
        expect(tab.page.locator(".swagger-ui .info .title")).to_contain_text("Tarmac")
        faults(tab)
        context.close()


def faults(tab: Watched) -> None:
    assert tab.faults() == []
