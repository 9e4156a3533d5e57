"""What is never used is never loaded."""

from __future__ import annotations

import subprocess
import sys

ASKED = "import sys, app.net.client; print([sys.modules.get(name, 'loaded') for name in ('httpx._main', 'sniffio')])"


def test_neither_the_command_line_of_httpx_nor_sniffio_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["[None,", "None]"]
