"""The parts of the bench in which Tarmac and the peers do the same work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tests.bench.floor import JOBS, floor_way
from tests.bench.inputs import Input, cache_folder, docker_input, fleet_input, oci_input, small_inputs
from tests.bench.processes import Cost, Meter
from tests.bench.race import Row, medians, race, row_of, say
from tests.bench.servers import Registry, empty_registry, scratch, service
from tests.bench.ways import (
    TARMAC,
    TARMAC_ZSTD,
    Way,
    by_path,
    crane,
    crane_each,
    crane_unpacked,
    mindthegap,
    only_here,
    oras,
    regctl,
    skopeo,
    skopeo_calls,
    skopeo_unpacked,
)

SECOND = "bench/second:1"


def _table(archive: Input, rows: list[Row]) -> dict[str, Any]:
    return {"input": {"bytes": archive.size, "images": len(archive.images), "blobs": len(archive.blobs)}, "rows": rows}


def docker(runs: int) -> dict[str, Any]:
    archive = docker_input(cache_folder())
    peers = only_here(
        ("skopeo", skopeo("docker-archive")),
        ("crane", Way("crane push", crane)),
        ("regctl", Way("regctl image import", regctl)),
        ("mindthegap", mindthegap("image-archive")),
    )
    return _table(archive, race(archive, [*TARMAC, TARMAC_ZSTD, *peers], runs))


def oci(runs: int) -> dict[str, Any]:
    archive = oci_input(cache_folder())
    peers = only_here(
        ("skopeo", skopeo("oci-archive")),
        ("crane", Way("crane push, tar x", crane_unpacked)),
        ("regctl", Way("regctl image import", regctl)),
        ("oras", Way("oras cp", oras)),
        ("mindthegap", mindthegap("image-archive")),
    )
    return _table(archive, race(archive, [*TARMAC, *peers, *map(floor_way, JOBS)], runs))


def fleet(runs: int) -> dict[str, Any]:
    archive, singles = fleet_input(cache_folder())
    peers = only_here(
        ("skopeo", skopeo("docker-archive")),
        ("crane", crane_each(singles)),
        ("mindthegap", mindthegap("image-archive")),
    )
    return _table(archive, race(archive, [*TARMAC, *peers], runs))


def small(runs: int) -> dict[str, Any]:
    archive, _ = small_inputs(cache_folder())
    peers = only_here(
        ("skopeo", Way("skopeo copy, tar x", skopeo_unpacked)),
        ("mindthegap", mindthegap("image-archive")),
    )
    return _table(archive, race(archive, [*TARMAC, *peers, *map(floor_way, JOBS)], runs))


def bundle(runs: int) -> dict[str, Any]:
    _, archive = small_inputs(cache_folder())
    return _table(archive, race(archive, [*TARMAC, *only_here(("mindthegap", mindthegap("bundle")))], runs))


def again(runs: int) -> dict[str, Any]:
    """The docker archive is pushed; then measured: the same once more, and to a second repository."""
    archive = docker_input(cache_folder())
    ways: dict[str, Callable[[Registry, Input], list[Row]]] = {"Tarmac, path": _tarmac_again}
    ways |= {
        name: again for name, again in (("skopeo copy", _skopeo_again), ("crane push", _crane_again)) if _is_here(name)
    }
    found: dict[str, list[Row]] = {}
    for _ in range(runs):
        for name, push in ways.items():
            with empty_registry() as registry:
                for kind, row in zip(("again", "second repository"), push(registry, archive), strict=True):
                    found.setdefault(f"{name}: {kind}", []).append(row)
                    say(f"  {name}: {kind:<20} {row['wall']:7.2f} s  {row['requests']} requests")
    return _table(archive, [medians(name, rows) for name, rows in found.items()])


def _is_here(name: str) -> bool:
    return bool(only_here((name.partition(" ")[0], Way(name, crane))))


def _counted(registry: Registry, push: Callable[[], Cost]) -> Row:
    before = registry.taken()
    cost = push()
    return row_of(cost, registry.taken().since(before))


def _tarmac_again(registry: Registry, archive: Input) -> list[Row]:
    with service(registry, archive.path.parent) as running:
        by_path(running, archive)

        def measured(**options: str) -> Callable[[], Cost]:
            def push() -> Cost:
                with Meter(running.process.pid) as meter:
                    by_path(running, archive, **options)
                return meter.cost

            return push

        return [_counted(registry, measured()), _counted(registry, measured(tag=SECOND))]


def _skopeo_again(registry: Registry, archive: Input) -> list[Row]:
    """With the cache that it keeps."""
    name, source = archive.images[0], f"docker-archive:{archive.path}"
    with scratch("skopeo-") as folder:
        skopeo_calls(registry, [(source, name)], folder)
        calls = [partial(skopeo_calls, registry, [(source, to)], folder) for to in (name, SECOND)]
        return [_counted(registry, call) for call in calls]


def _crane_again(registry: Registry, archive: Input) -> list[Row]:
    crane(registry, archive)
    other = replace(archive, images=(SECOND,))
    return [_counted(registry, partial(crane, registry, item)) for item in (archive, other)]
