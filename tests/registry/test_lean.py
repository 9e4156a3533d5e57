"""What is never used is never loaded."""

from __future__ import annotations

import sys

from app.registry import client


def test_neither_the_command_line_of_httpx_nor_sniffio_is_loaded() -> None:
    assert client.__name__ in sys.modules
    assert sys.modules.get("httpx._main", "not hidden") is None
    assert sys.modules.get("sniffio", "not hidden") is None
