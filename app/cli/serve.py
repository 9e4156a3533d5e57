"""`tarmac serve`."""

from __future__ import annotations

import argparse

from app.cli.options import settings_checked, settings_of


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    from app.main import serve

    with settings_checked():
        serve(settings)
    return 0
