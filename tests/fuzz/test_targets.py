"""The targets of `make fuzz` work: a few inputs of each, the same every time, in the usual run of tests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS, bent, resummed
from tests.hostile.samples import DOCKER

FEW = settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_a_few_inputs(name: str) -> None:
    FEW(given(TARGETS[name].inputs)(TARGETS[name].check))()


def test_a_bent_archive_has_true_checksums_again() -> None:
    assert resummed(DOCKER) == DOCKER
    changed = bent(DOCKER, [("over", 0, 0, b"x")])
    assert changed != DOCKER
    assert resummed(changed) != changed
