"""The same archive in another form: wrapped, in another order, with other headers. Nothing of what it holds changes."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import lzma
import random
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SEED = 20_250_611
Members = Sequence[tuple[tarfile.TarInfo, bytes]]

# fast levels: the content counts here, not the size
WRAPPED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda plain: gzip.compress(plain, 1, mtime=0),
    "zstd": lambda plain: zstd.compress(plain, 1),
    "xz": lambda plain: lzma.compress(plain, preset=0),
    "bzip2": lambda plain: bz2.compress(plain, 1),
}


def reversed_order(members: Members) -> bytes:
    return _written(members[::-1])


def shuffled(members: Members) -> bytes:
    return _written(random.Random(SEED).sample(members, len(members)))


def dotslashed(members: Members) -> bytes:
    """As `tar -C directory -cf x.tar .` writes it."""
    return _written([(_dotslashed(info), data) for info, data in members])


def pax_headed(members: Members) -> bytes:
    """Every member has a PAX header, which repeats its path and says more."""
    return _written([(_pax_headed(info), data) for info, data in members])


REWRITTEN: Mapping[str, Callable[[Members], bytes]] = {
    "reversed": reversed_order,
    "shuffled": shuffled,
    "./": dotslashed,
    "PAX": pax_headed,
}


def members_of(plain: bytes) -> Members:
    """Every member with its bytes, as the standard library reads them. Raises tarfile.TarError."""
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", errorlevel=1) as reader:
        return [(info, plain[info.offset_data : info.offset_data + info.size]) for info in reader]


def _dotslashed(info: tarfile.TarInfo) -> tarfile.TarInfo:
    changed = _copied(info)
    changed.name = "./" + info.name.removeprefix("./")
    if info.islnk():
        changed.linkname = "./" + info.linkname.removeprefix("./")
    return changed


def _pax_headed(info: tarfile.TarInfo) -> tarfile.TarInfo:
    changed = _copied(info)
    slash = "/" if info.isdir() and not info.name.endswith("/") else ""
    changed.pax_headers = {"path": info.name + slash, "mtime": "1234567890.5", "comment": "moved"}
    if info.issym() or info.islnk():
        changed.pax_headers["linkpath"] = info.linkname
    return changed


def _copied(info: tarfile.TarInfo) -> tarfile.TarInfo:
    changed = copy.copy(info)
    changed.pax_headers = {}
    return changed


def _written(members: Members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for info, data in members:
            writer.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return buffer.getvalue()
