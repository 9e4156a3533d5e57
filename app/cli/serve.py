"""`tarmac serve`."""

from __future__ import annotations

import argparse
import signal
import sys


def run(arguments: argparse.Namespace) -> int:
    # The first process of a container receives only signals that it handles: a stop during the start would be
    # ignored, and the engine would kill it later. So this runs before the imports, which take most of the start.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        from app.cli.options import settings_from

        settings = settings_from(arguments)
        from app.main import serve

        serve(settings)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0
