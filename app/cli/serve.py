"""`tarmac serve`."""

from __future__ import annotations

import argparse
import signal
import sys


def run(arguments: argparse.Namespace) -> int:
    # The first process of a container gets no signal that it does not ask for: a stop during the start would be passed
    # over, and the kill come when the engine's patience ends. So before the imports, which are most of the start.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        from app.cli.options import settings_from

        settings = settings_from(arguments)
        from app.main import serve

        serve(settings)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0
