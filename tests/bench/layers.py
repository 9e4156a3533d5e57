"""Plain layers of what a system is made of, the same bytes on every run: programs, libraries and scripts of this
machine in sorted order, without times and owners. And the same layers in gzip, as an OCI archive has them."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

SOURCES = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/python3.11",
    "/usr/lib/python3",
    "/usr/bin",
)
MORE_SOURCES = ("/usr/share/perl", "/usr/lib/git-core", "/usr/sbin", "/usr/lib/gcc", "/usr/share")
LARGEST_FILE = 24 << 20  # one giant among the programs would be half a layer
LAYER_SIZES = tuple(size * 1_000_000 for size in (180, 150, 110, 80, 50, 30))  # as images are: a large base, small tops
PIECE = 1 << 20
GZIP = 31  # zlib's word for its format with gzip's header


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of the cache and what it is called at a registry."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Layer:
    plain: Blob
    gzip: Blob


def system_layers(folder: Path, sizes: Sequence[int] = LAYER_SIZES) -> tuple[Layer, ...]:
    """One layer for each of `sizes` (bytes) or fewer where the system has not enough, in `folder`; made once."""
    files = system_files()
    found = []
    for number, size in enumerate(sizes):
        plain = folder / f"layer-{number}.tar"
        chosen = list(_taken(files, size))
        if not chosen:
            break
        if not plain.exists():
            write_layer(plain, chosen)
        found.append(Layer(blob_of(plain), blob_of(gzipped(plain))))
    return tuple(found)


def system_files(roots: Sequence[str] = (*SOURCES, *MORE_SOURCES)) -> Iterator[Path]:
    for root in roots:
        for folder, names, files in os.walk(root):
            names.sort()
            paths = (Path(folder, name) for name in sorted(files))
            yield from (path for path in paths if _is_suitable(path))


def _is_suitable(path: Path) -> bool:
    return not path.is_symlink() and path.is_file() and os.access(path, os.R_OK) and path.stat().st_size <= LARGEST_FILE


def _taken(files: Iterator[Path], size: int) -> Iterator[Path]:
    while size > 0 and (path := next(files, None)) is not None:
        size -= path.stat().st_size
        yield path


def write_layer(target: Path, files: Sequence[Path]) -> None:
    part = target.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in files:
            info = tarfile.TarInfo(str(path).lstrip("/"))
            info.size, info.mode = path.stat().st_size, 0o755
            with path.open("rb") as content:
                tar.addfile(info, content)
    part.replace(target)


def gzipped(plain: Path) -> Path:
    """`plain` in gzip beside it. ISA-L's level 3 gives about the size that builders give."""
    target = plain.with_suffix(".tar.gz")
    if not target.exists():
        part = target.with_suffix(".part")
        packer = isal_zlib.compressobj(3, isal_zlib.DEFLATED, GZIP)
        with plain.open("rb") as source, part.open("wb") as packed:
            while piece := source.read(PIECE):
                packed.write(packer.compress(piece))
            packed.write(packer.flush())
        part.replace(target)
    return target


def blob_of(path: Path) -> Blob:
    """Raises OSError. The digest is kept in a file beside `path`: to hash it all on every run costs seconds."""
    note = path.with_name(f"{path.name}.sha256")
    if not note.exists():
        with path.open("rb") as source:
            note.write_text(f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}")
    return Blob(path, note.read_text(), path.stat().st_size)
