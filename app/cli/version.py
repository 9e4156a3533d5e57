"""`tarmac version`."""

from __future__ import annotations

import argparse

from app import __version__


def run(_: argparse.Namespace) -> int:
    print(f"tarmac {__version__}")
    return 0
