"""Faults at a registry in memory, and some of them at a real one, Debian's docker-registry. `make faults` has all
of them at a real one, with the service as a process of its own and all waits as long as they are."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator

import pytest

from tests.registry.faults.push import check_outcome, push_against, resolving
from tests.registry.faults.script import Fault
from tests.registry.faults.table import BY_NAME, FAULTS, GENERATED
from tests.support.docker_registry import DockerRegistry
from tests.support.fronted_registry import FrontedRegistry
from tests.support.memory_registry import MemoryRegistry

pytestmark = pytest.mark.leaping
SOME = [*BY_NAME, *GENERATED[::4]]
REAL = [fault for fault in FAULTS if fault.is_for_real_ones][::9]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("faults")) as registry:
        yield registry


@pytest.fixture(autouse=True)
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving)


@pytest.mark.parametrize("fault", SOME, ids=lambda fault: fault.name)
async def test_after_any_fault_the_image_is_right_or_the_error_is(fault: Fault) -> None:
    registry = MemoryRegistry(fault.manners)
    await check_outcome(fault, registry, *await push_against(fault, registry))


@pytest.mark.parametrize("fault", REAL, ids=lambda fault: fault.name)
async def test_after_a_fault_before_a_real_registry_the_image_is_right_or_the_error_is(
    fault: Fault, behind: DockerRegistry
) -> None:
    shutil.rmtree(behind.storage, ignore_errors=True)
    async with FrontedRegistry(behind, fault.manners) as registry:
        await check_outcome(fault, registry, *await push_against(fault, registry))


def test_there_are_many_faults_each_with_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 80
