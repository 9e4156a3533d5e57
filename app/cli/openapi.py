"""`tarmac openapi`: print the document with which openapi/openapi.json is compared."""

from __future__ import annotations

import argparse
import json


def run(_: argparse.Namespace) -> int:
    from app.main import openapi_document

    print(json.dumps(openapi_document(), indent=2, ensure_ascii=False, sort_keys=True))
    return 0
