from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.certificates import Certificates, make_certificates
from tests.support.leaping_loop import LeapingLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests that are marked `leaping` have no process or thread of their own beside them, and wait without waiting."""
    if item.get_closest_marker("leaping"):
        return {"leaping": LeapingLoop}
    return {"usual": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))
