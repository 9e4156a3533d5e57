"""Lists of checksums as `sha256sum` writes them: `SHA256SUMS` and `*.sha256`. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

LIST_NAMES = frozenset({"sha256sums", "sha256sums.txt", "sha256sum.txt"})
SUFFIX = ".sha256"
_GNU = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](.+)")
_BSD = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})")


def is_list(name: str) -> bool:
    return name.lower() in LIST_NAMES or name.endswith(SUFFIX)


def find_checksum(text: str, name: str) -> str | None:
    """Return the checksum that the list has for `name`, a path relative to the list: `sha256:…`.

    A list that names files without directories also lists files of its own directory by any path."""
    listed = dict(_lines(text))
    found = listed.get(posixpath.normpath(name))
    if found is None and "/" not in name:
        named = {posixpath.basename(path): digest for path, digest in listed.items()}
        found = named.get(name)
    return None if found is None else f"sha256:{found}"


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        gnu, bsd = _GNU.fullmatch(line.rstrip()), _BSD.fullmatch(line.strip())
        if gnu is not None:
            yield posixpath.normpath(gnu[2]), gnu[1].lower()
        elif bsd is not None:
            yield posixpath.normpath(bsd[1]), bsd[2].lower()


__all__ = ["LIST_NAMES", "find_checksum", "is_list"]
