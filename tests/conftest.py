"""What holds for every test: no setting of the machine reaches one, and a missing program is told plainly."""

from __future__ import annotations

import os

import hypothesis
import pytest

from tests.support.peers import REQUIRED, peer

_FOREIGN = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
for _name in tuple(os.environ):
    if (_name.startswith("TARMAC_") and _name != REQUIRED) or _name.upper() in _FOREIGN:
        del os.environ[_name]

# Two busy cores make any single example slow; pytest-timeout is what finds a hang.
hypothesis.settings.register_profile("tarmac", deadline=None)
hypothesis.settings.load_profile("tarmac")


@pytest.fixture(scope="session")
def skopeo() -> str:
    """The path of skopeo, which reads back what was pushed."""
    return peer("skopeo")
