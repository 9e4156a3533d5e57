"""Fixtures that the tests of app.net and of app.registry share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.certificates import Certificates, make_certificates
from tests.support.leaping_loop import LeapingLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loop of a test. Tests marked `leaping` use no other process or thread, and time limits end at once."""
    if item.get_closest_marker("leaping"):
        return {"leaping": LeapingLoop}
    return {"usual": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))
