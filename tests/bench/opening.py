"""How long it takes until an archive of very many images is understood: `python -m tests.bench.opening`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from app.archive import index_file, open_archive
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout, tagged
from tests.support.opening import Memory
from tests.support.storage_tree import many

IMAGES = 300
RUNS = 5
BOUND_SECONDS = 0.5


def _oci(count: int) -> bytes:
    nodes = [oci_image(image({"shared": b"s" * 3000}, {"own": b"%d" % number})) for number in range(count)]
    return oci_layout([entry(node, ref=f"example.com/team/app:{number}") for number, node in enumerate(nodes)])


def _docker(count: int) -> bytes:
    samples = (image({"shared": b"s" * 3000}, {"own": b"%d" % number}) for number in range(count))
    return docker_save([tagged(each, f"example.com/team/app:{number}") for number, each in enumerate(samples)])


SAMPLES: Mapping[str, Callable[[int], bytes]] = {
    "mindthegap-bundle": many,
    "oci-archive": _oci,
    "docker-archive": _docker,
}


class _Counting:
    def __init__(self, data: bytes) -> None:
        self._source = Memory(data)
        self.reads = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads += 1
        return self._source.read_at(offset, size)


def measure(images: int = IMAGES) -> dict[str, dict[str, Any]]:
    """By format: processor seconds (the best of RUNS) to index a file and understand it, members, reads for the headers
    and for what stands in it."""
    return {kind: _measured(build(images)) for kind, build in SAMPLES.items()}


def _measured(data: bytes) -> dict[str, Any]:
    best, found = float("inf"), {}
    for _ in range(RUNS):
        source = _Counting(data)
        began = time.process_time()
        index = index_file(source, len(data))
        indexed, header_reads = time.process_time(), source.reads
        archive = open_archive(index, source)
        seconds = time.process_time() - began
        if seconds < best:
            best = seconds
            found = {
                "seconds": round(seconds, 3),
                "indexing": round(indexed - began, 3),
                "images": len(archive.images),
                "members": sum(map(len, index.members.values())),
                "header_reads": header_reads,
                "document_reads": source.reads - header_reads,
            }
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
