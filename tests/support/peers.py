"""Programs of other makers that the tests hold Tarmac against."""

from __future__ import annotations

import os
import shutil

import pytest

ASKED = "TARMAC_REQUIRE_PEERS"
REQUIRED = "_REQUIRE_PEERS"  # the same within the tests: Tarmac refuses to start with a TARMAC_… that it does not know


def peer(command: str) -> str:
    """The path of `command`. Without it the test is skipped in plain words; with TARMAC_REQUIRE_PEERS=1 it fails."""
    path = shutil.which(command, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is not None:
        return path
    words = f"{command} is not installed; `make system-packages` as root, or: apt-get install {command}"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{words} ({ASKED}=1: a missing program is a failure)", pytrace=False)
    pytest.skip(words)
