"""Large archives for measuring, written straight to disk: docker-save layout, plain layers, half of it random."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

BLOCK = 1 << 20
LAYER = 256 << 20


class _Blocks(io.RawIOBase):
    """`size` bytes that compress to about half, the same for the same seed, never held in memory."""

    def __init__(self, size: int, seed: int) -> None:
        self._pieces = self._generate(size, seed)
        self._rest = b""

    @staticmethod
    def _generate(size: int, seed: int) -> Iterator[bytes]:
        source = random.Random(seed)
        while size > 0:
            piece = source.randbytes(BLOCK // 2) + bytes(BLOCK // 2)
            yield piece[:size]
            size -= BLOCK

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Hashed:
    """A write-only file that passes on and hashes."""

    def __init__(self, target: io.BufferedIOBase) -> None:
        self._target, self.hash, self.size = target, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._target.write(data)


def write_docker_save(path: Path, size: int, name: str) -> None:
    """An image called `name` of about `size` bytes of plain layers, at most LAYER each."""
    layers = [min(LAYER, size - start) for start in range(0, size, LAYER)]
    entries: list[tuple[str, Path, str]] = []
    for number, length in enumerate(layers):
        part = path.with_suffix(f".layer{number}")
        with part.open("wb") as raw:
            hashed = _Hashed(raw)
            with tarfile.open(fileobj=hashed, mode="w|", bufsize=BLOCK) as tar:  # type: ignore[call-overload]
                info = tarfile.TarInfo(f"data-{number}")
                info.size = length
                tar.addfile(info, _Blocks(length, number))
        entries.append((f"{number}/layer.tar", part, f"sha256:{hashed.hash.hexdigest()}"))
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, _, diff_id in entries]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps(
        [{"Config": config_name, "RepoTags": [name], "Layers": [member for member, _, _ in entries]}]
    ).encode()
    with tarfile.open(path, "w") as tar:
        for member, part, _ in entries:
            tar.add(part, member)
            part.unlink()
        for member, content in ((config_name, config), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
