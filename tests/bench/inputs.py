"""The archives that are pushed, made once below the cache folder: deterministic for one machine's files.

docker   one image of plain layers, about 600 MB, as `podman save` writes it; and of one layer
oci      the same layers in gzip, as an OCI layout
fleet    24 images on one base, one docker archive; and each of them as an archive of its own for tools of one image
small    300 images of three small layers, one of them shared: OCI archive and mindthegap bundle
"""

from __future__ import annotations

import io
import os
import random
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.layers import LAYER_SIZES, Blob, Layer, system_layers
from tests.support.archives import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    REF_NAME,
    Node,
    entry,
    image,
    oci_image,
    oci_index,
    oci_layout,
    sha256,
    to_json,
)
from tests.support.storage_tree import bundle

VERSION = "v1"  # another one where the content changes, so that no old archive is taken for a new one
HOST = "bench.example.com"
FLEET, BASE_LAYERS = 24, 3
SMALL = 300


@dataclass(frozen=True, slots=True)
class Input:
    """`images` are repository:tag without host. `blobs`: what a registry has to be sent, where that is known before;
    `digest`: of the one manifest, likewise."""

    path: Path
    images: tuple[str, ...]
    blobs: tuple[Blob, ...] = ()
    digest: str = ""

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def cache_folder() -> Path:
    chosen = os.environ.get("TARMAC_BENCH_CACHE")
    folder = Path(chosen or Path(tempfile.gettempdir(), f"tarmac-bench-{os.getuid()}")) / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def docker_input(folder: Path, sizes: Sequence[int] = LAYER_SIZES) -> Input:
    layers = system_layers(folder, sizes)
    return docker_archive(folder / "docker.tar", {"bench/docker:1": layers})


def one_layer_input(folder: Path) -> Input:
    """The same as one layer: nothing of it is whole before all of it is."""
    (folder / "one").mkdir(exist_ok=True)
    return docker_input(folder / "one", (sum(LAYER_SIZES),))


def docker_archive(target: Path, images: Mapping[str, Sequence[Layer]]) -> Input:
    """`images`: repository:tag -> its layers. A layer that several images have is one member."""
    if not target.exists():
        members: dict[str, bytes | Path] = {}
        listed = []
        for name, layers in images.items():
            config = _config(name, layers)
            config_name = f"{sha256(config).removeprefix('sha256:')}.json"
            names = [f"{layer.plain.digest.removeprefix('sha256:')}.tar" for layer in layers]
            members |= {member: layer.plain.path for member, layer in zip(names, layers, strict=True)}
            members[config_name] = config
            listed.append({"Config": config_name, "RepoTags": [f"{HOST}/{name}"], "Layers": names})
        write_tar(target, {**members, "manifest.json": to_json(listed)}.items())
    return Input(target, tuple(images))


def _config(name: str, layers: Sequence[Layer]) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [layer.plain.digest for layer in layers]}
    return to_json({"architecture": "amd64", "os": "linux", "config": {"Labels": {"name": name}}, "rootfs": rootfs})


def write_tar(target: Path, members: Iterable[tuple[str, bytes | Path]]) -> None:
    part = target.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
                continue
            info.size = content.stat().st_size
            with content.open("rb") as source:
                tar.addfile(info, source)
    part.replace(target)


def oci_input(folder: Path, sizes: Sequence[int] = LAYER_SIZES) -> Input:
    layers, target, name = system_layers(folder, sizes), folder / "oci.tar", "bench/oci:1"
    config = _config(name, layers)
    manifest = to_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
            "layers": [
                {"mediaType": f"{OCI_LAYER}+gzip", "digest": layer.gzip.digest, "size": layer.gzip.size}
                for layer in layers
            ],
        }
    )
    if not target.exists():
        described = {"mediaType": OCI_MANIFEST, "digest": sha256(manifest), "size": len(manifest)}
        named = {**described, "annotations": {REF_NAME: f"{HOST}/{name}"}}
        members: dict[str, bytes | Path] = {
            "oci-layout": to_json({"imageLayoutVersion": "1.0.0"}),
            "index.json": to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named]}),
            **{_place(layer.gzip.digest): layer.gzip.path for layer in layers},
            _place(sha256(config)): config,
            _place(sha256(manifest)): manifest,
        }
        write_tar(target, members.items())
    return Input(target, (name,), tuple(layer.gzip for layer in layers), sha256(manifest))


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def fleet_input(folder: Path, count: int = FLEET) -> tuple[Input, tuple[Input, ...]]:
    """The fleet in one archive, and one archive for each image."""
    base = system_layers(folder, LAYER_SIZES)[-BASE_LAYERS:]
    tops = system_layers(_below(folder, "tops"), (2_000_000,) * count)
    images = {f"bench/fleet{number}:1": (*base, top) for number, top in enumerate(tops)}
    single = _below(folder, "fleet")
    singles = [docker_archive(single / f"{n}.tar", {name: images[name]}) for n, name in enumerate(images)]
    return docker_archive(folder / "fleet.tar", images), tuple(singles)


def _below(folder: Path, name: str) -> Path:
    (folder / name).mkdir(exist_ok=True)
    return folder / name


def small_nodes(count: int) -> dict[str, Node]:
    """repository:tag -> image: a base that all have, and two layers of about 50 kB that do not compress."""
    source, nodes = random.Random(count), dict[str, Node]()
    shared = {"base": source.randbytes(400_000)}
    for number in range(count):
        own = [{f"app{layer}": source.randbytes(50_000)} for layer in range(2)]
        nodes[f"bench/small{number}:1"] = oci_image(image(shared, *own), platform="linux/amd64")
    return nodes


def small_inputs(folder: Path, count: int = SMALL) -> tuple[Input, Input]:
    """OCI archive and bundle of the same images."""
    archive, packed, blobs = (
        folder / f"small-{count}.tar",
        folder / f"bundle-{count}.tar",
        _below(folder, f"blobs-{count}"),
    )
    if not (archive.exists() and packed.exists()):
        nodes = small_nodes(count)
        for digest, content in {d: c for node in nodes.values() for d, c in node.blobs.items()}.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(content)
        _put(archive, oci_layout([entry(node, ref=f"{HOST}/{name}") for name, node in nodes.items()]))
        stored = {name.partition(":")[0]: {"1": oci_index([node])} for name, node in nodes.items()}
        _put(packed, bundle(stored, images={HOST: {name: ["1"] for name in stored}}))
    images = tuple(f"bench/small{number}:1" for number in range(count))
    found = tuple(Blob(path, f"sha256:{path.name}", path.stat().st_size) for path in sorted(blobs.iterdir()))
    return Input(archive, images, found), Input(packed, images)


def _put(target: Path, content: bytes) -> None:
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.replace(target)


def room_left(folder: Path) -> int:
    """Bytes."""
    return shutil.disk_usage(folder).free
