"""How time and memory grow: with the number of images, with the size of the archive, with the jobs at once."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.inputs import HOST, Input, cache_folder, room_left, small_inputs
from tests.bench.load import AT_ONCE, several
from tests.bench.picture import Curve, Panel, picture
from tests.bench.processes import Cost, Meter
from tests.bench.race import say
from tests.bench.servers import empty_registry, scratch, service
from tests.bench.ways import by_path
from tests.support.archives import sha256, to_json

IMAGES = (1, 10, 100, 300, 1000)
MEGABYTES = (10, 100, 1000, 5000, 20000)
JOBS = (1, 2, 4, 8)
ROOM = 2 << 30  # what has to be free: 20 GB of nothing take 20 MB, here and at the registry
ZEROS = bytes(1 << 20)
Point = dict[str, float]


def images(runs: int) -> dict[str, Any]:
    """One OCI archive of so many small images, by path. One run each: a curve has its neighbours to be checked by."""
    return {"points": [_pushed(count, [small_inputs(cache_folder(), count)[0]]) for count in IMAGES]}


def sizes(runs: int) -> dict[str, Any]:
    """Docker archives that are holes for the most part: what grows with the bytes, not with the disk."""
    points = []
    for megabytes in MEGABYTES:
        with scratch("sparse-") as folder:
            if room_left(folder) < ROOM:
                say(f"  less than {ROOM >> 30} GiB are free: the larger archives are left out")
                break
            points.append(_pushed(megabytes, [sparse_archive(folder / "sparse.tar", megabytes * 1_000_000)]))
    return {"points": points}


def jobs(runs: int) -> dict[str, Any]:
    """So many jobs at once by path, each of an archive of its own."""
    archives = several()
    return {"points": [_pushed(count, archives[:count]) for count in JOBS]}


def _pushed(x: int, archives: Sequence[Input]) -> Point:
    with (
        empty_registry() as registry,
        service(registry, archives[0].path.parent, TARMAC_MAX_RUNNING_JOBS=str(AT_ONCE)) as running,
        ThreadPoolExecutor(len(archives)) as pool,
    ):
        before = registry.taken()
        with Meter(running.process.pid) as meter:
            for future in [pool.submit(by_path, running, archive) for archive in archives]:
                future.result()
        requests = sum(registry.taken().since(before).requests.values())
    point = _point(x, sum(archive.size for archive in archives), meter.cost, requests)
    say(f"  {x:>6}: {point['wall']:7.2f} s, {point['memory'] / 2**20:6.0f} MiB, {requests} requests")
    return point


def _point(x: int, size: int, cost: Cost, requests: int) -> Point:
    return {"x": x, "bytes": size, "wall": cost.wall, "cpu": cost.cpu, "memory": cost.memory, "requests": requests}


def sparse_archive(target: Path, size: int) -> Input:
    """A docker archive whose one layer has one file of `size` zeros, as a hole."""
    info = tarfile.TarInfo("zeros")
    info.size = size
    head, tail = info.tobuf(tarfile.GNU_FORMAT), bytes(-size % 512 + 1024)
    digest = hashlib.sha256(head)
    for start in range(0, size, len(ZEROS)):
        digest.update(memoryview(ZEROS)[: size - start])
    digest.update(tail)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest.hexdigest()}"]}
    config = to_json({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs})
    name = f"{sha256(config).removeprefix('sha256:')}.json"
    listed = to_json([{"Config": name, "RepoTags": [f"{HOST}/bench/sparse:1"], "Layers": ["layer.tar"]}])
    layer = tarfile.TarInfo("layer.tar")
    layer.size = len(head) + size + len(tail)
    with target.open("wb") as file:
        for member, content in ((name, config), ("manifest.json", listed)):
            each = tarfile.TarInfo(member)
            each.size = len(content)
            file.write(each.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
        file.write(layer.tobuf(tarfile.GNU_FORMAT) + head)
        file.truncate(file.tell() + size + len(tail) + -layer.size % 512 + 1024)
    return Input(target, ("bench/sparse:1",))


def drawn(parts: dict[str, Any]) -> str:
    """The picture of the curves that were measured so far; empty where there is none."""
    shapes: tuple[tuple[str, str, str, Callable[[Point], float]], ...] = (
        ("images", "images in one OCI archive", "images", lambda point: point["x"]),
        ("sizes", "one archive, layer of zeros", "MB", lambda point: point["bytes"] / 1e6),
        ("jobs", "jobs at once, 80 MB each", "jobs", lambda point: point["x"]),
    )
    panels = []
    for name, title, axis, x in shapes:
        points = parts.get(name, {}).get("points", ())
        walls = tuple((x(point), point["wall"]) for point in points)
        memory = tuple((x(point), point["memory"] / 2**20) for point in points)
        if points:
            panels.append(Panel(f"Time: {title}", axis, "seconds", (Curve("Tarmac", walls),)))
            panels.append(Panel(f"Peak memory: {title}", axis, "MiB", (Curve("Tarmac", memory),)))
    return picture(panels) if panels else ""
