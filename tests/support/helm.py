"""Charts as `helm package` writes them (helm, pkg/chart/v2/util/save.go): gzip with a comment and an extra field, and
Chart.yaml as the first file of the one directory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from tests.support.archives import Member, tar

CHART_YAML = b"""apiVersion: v2
name: podinfo
version: 6.0.0+build.1
appVersion: "6.0"
description: A small web application
home: https://example.com
deprecated: false
keywords:
  - demo
maintainers:
  - name: someone
    email: someone@example.com
dependencies:
  - name: redis
    version: 1.0.0
    enabled: true
    condition:
"""
_EXTRA = b"+aHR0cHM6Ly95b3V0dS5iZS96OVV6MWljandyTQo="


def packaged(chart_yaml: bytes = CHART_YAML, name: str = "podinfo", more: Mapping[str, bytes] | None = None) -> bytes:
    """`more`: further files of the chart."""
    files = {"Chart.yaml": chart_yaml, "values.yaml": b"replicas: 1\n"} | dict(more or {})
    plain = tar([Member(f"{name}/{path}", content) for path, content in files.items()])
    deflate = zlib.compressobj(9, wbits=-15)
    head = b"\x1f\x8b\x08\x14" + bytes(4) + b"\x02\xff" + struct.pack("<H", len(_EXTRA)) + _EXTRA + b"Helm\0"
    tail = struct.pack("<II", zlib.crc32(plain), len(plain))
    return head + deflate.compress(plain) + deflate.flush() + tail
