"""The ways an archive gets to a registry: Tarmac's three, and each peer's own where it is on PATH.

A way takes a registry and an input and gives what it cost. Where a tool takes one image at a time, all its calls
together are the way, as its user would have to do it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.inputs import HOST, Input
from tests.bench.processes import Cost, Meter, run
from tests.bench.servers import JOB_SECONDS, ROOT, Registry, Service, scratch, service, succeeded

PEERS = ("skopeo", "crane", "regctl", "oras", "mindthegap")


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    push: Callable[[Registry, Input], Cost]


def peers_here() -> dict[str, str]:
    """Command -> what it says of its version."""
    return {peer: _version(peer) for peer in PEERS if shutil.which(peer)}


def _version(command: str) -> str:
    asked = "--version" if command == "skopeo" else "version"
    done = subprocess.run([command, asked], check=False, capture_output=True, text=True)
    return done.stdout.strip().replace("\n", " ")[:100]


def only_here(*ways: tuple[str, Way]) -> list[Way]:
    """Those whose command is on PATH."""
    return [way for command, way in ways if shutil.which(command)]


# --- Tarmac ----------------------------------------------------------------------------------------------------------


def tarmac(name: str, submit: Callable[[Service, Input], Cost]) -> Way:
    """A service of its own for each run, started before the clock."""

    def push(registry: Registry, archive: Input) -> Cost:
        with service(registry, archive.path.parent) as running, Meter(running.process.pid) as meter:
            client = submit(running, archive)
        return Cost(meter.cost.wall, meter.cost.cpu + client.cpu, meter.cost.memory)

    return Way(name, push)


def by_path(running: Service, archive: Input, **options: str) -> Cost:
    running.push_paths(archive.path, **options)
    return Cost()


def by_form(running: Service, archive: Input, query: str = "") -> Cost:
    """`curl -F`; its CPU is counted."""
    with scratch("answer-") as folder:
        answer = folder / "job.json"
        url = f"{running.url}/push?wait={JOB_SECONDS}{query}"
        cost = run(["curl", "-sS", "-o", answer, "-F", f"archive=@{archive.path}", url])
        succeeded((0, json.loads(answer.read_text())))
    return cost


def by_command(registry: Registry, archive: Input) -> Cost:
    """`tarmac push`, the start of the interpreter included."""
    with scratch("data-") as data:
        url = f"http://{registry.address}"
        command = [sys.executable, "-m", "app", "push", str(archive.path), "--registry-url", url]
        return run(command, {"TARMAC_DATA_DIR": str(data)}, ROOT)


TARMAC = (
    tarmac("Tarmac, path", by_path),
    tarmac("Tarmac, curl -F", by_form),
    Way("tarmac push", by_command),
)
TARMAC_ZSTD = tarmac("Tarmac, path, zstd", lambda running, archive: by_path(running, archive, layer_compression="zstd"))


# --- peers -----------------------------------------------------------------------------------------------------------


def _environ(folder: Path) -> dict[str, str]:
    """Nothing remembered from earlier runs. The second variable makes skopeo look for its cache below the first."""
    return {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "_CONTAINERS_ROOTLESS_UID": "1000"}


def skopeo(transport: str) -> Way:
    """A call for each image, out of the one archive."""

    def push(registry: Registry, archive: Input) -> Cost:
        with scratch("skopeo-") as folder:
            return skopeo_calls(
                registry, [(f"{transport}:{archive.path}:{HOST}/{i}", i) for i in archive.images], folder
            )

    return Way("skopeo copy", push)


def skopeo_calls(registry: Registry, calls: list[tuple[str, str]], folder: Path) -> Cost:
    cost = Cost()
    for source, image in calls:
        options = ["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
        if source.startswith("docker-archive"):
            options.remove("--preserve-digests")
        cost = cost.then(run(["skopeo", *options, source, f"docker://{registry.address}/{image}"], _environ(folder)))
    return cost


def skopeo_unpacked(registry: Registry, archive: Input) -> Cost:
    """`tar x` once: with oci-archive: every call would unpack it all again."""
    with scratch("skopeo-") as folder:
        cost = run(["tar", "-C", folder, "-xf", archive.path])
        return cost.then(skopeo_calls(registry, [(f"oci:{folder}:{HOST}/{i}", i) for i in archive.images], folder))


def crane(registry: Registry, archive: Input) -> Cost:
    with scratch("crane-") as folder:
        return _crane_push(registry, archive.path, archive.images[0], folder)


def crane_unpacked(registry: Registry, archive: Input) -> Cost:
    """crane reads an OCI layout only as a directory."""
    with scratch("crane-") as folder:
        cost = run(["tar", "-C", folder, "-xf", archive.path])
        return cost.then(_crane_push(registry, folder, archive.images[0], folder))


def crane_each(archives: tuple[Input, ...]) -> Way:
    def push(registry: Registry, _: Input) -> Cost:
        cost = Cost()
        for archive in archives:
            cost = cost.then(crane(registry, archive))
        return cost

    return Way("crane push", push)


def _crane_push(registry: Registry, source: Path, image: str, folder: Path) -> Cost:
    return run(["crane", "push", "--insecure", source, f"{registry.address}/{image}"], _environ(folder))


def regctl(registry: Registry, archive: Input) -> Cost:
    with scratch("regctl-") as folder:
        host = f"reg={registry.address},tls=disabled"
        image = f"{registry.address}/{archive.images[0]}"
        return run(["regctl", "--host", host, "image", "import", image, archive.path], _environ(folder))


def oras(registry: Registry, archive: Input) -> Cost:
    """By its digest: a name with a host in the layout is no tag to oras."""
    with scratch("oras-") as folder:
        source, target = f"{archive.path}@{archive.digest}", f"{registry.address}/{archive.images[0]}"
        return run(["oras", "cp", "--from-oci-layout", "--to-plain-http", source, target], _environ(folder))


def mindthegap(command: str) -> Way:
    """`command` is `image-archive` or `bundle`, which is its flag's name too."""

    def push(registry: Registry, archive: Input) -> Cost:
        with scratch("mindthegap-") as folder:
            to = f"--to-registry=http://{registry.address}"
            return run(["mindthegap", "push", command, f"--{command}", archive.path, to], _environ(folder))

    return Way(f"mindthegap push {command}", push)
