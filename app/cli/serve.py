"""`tarmac serve`."""

from __future__ import annotations

import argparse

from app.cli.options import settings_of


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    from app.main import serve

    serve(settings)
    return 0
