"""The registry in memory keeps the promises of the port, or what is tested with it means nothing."""

from __future__ import annotations

import pytest

from tests.contract.test_registry_contract import *  # noqa: F403  every test, with the fixtures below in place of theirs
from tests.contract.test_registry_contract import Traits
from tests.support.fake_registry import FakeRegistry


@pytest.fixture  # type: ignore[no-redef]
async def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture  # type: ignore[no-redef]
def traits() -> Traits:
    return Traits()
