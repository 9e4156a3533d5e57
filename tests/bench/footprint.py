"""What an upload costs besides time: peak memory, bytes written to disk, files that appear.

    .venv/bin/python -m tests.bench.footprint [MEGABYTES …]        default: 20 2048

For each size a service of its own receives one docker-save archive by `curl -F` and pushes it to Debian's
docker-registry; then the figures of the service's process are printed: VmHWM (peak resident memory), write_bytes of
/proc/PID/io against the size of the plain tar, and every name that was seen in the data directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from tests.bench.archives import write_docker_save
from tests.support.docker_registry import DockerRegistry, free_port

START_SECONDS = 30


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [20, 2048]
    print(f"{'archive':>12} {'wall':>8} {'peak memory':>12} {'written':>14} {'written/tar':>12}  files seen")
    for megabytes in sizes:
        with tempfile.TemporaryDirectory(prefix="footprint-") as folder:
            _measure(Path(folder), megabytes)


def _measure(folder: Path, megabytes: int) -> None:
    archive = folder / "image.tar"
    write_docker_save(archive, megabytes << 20, "bench/footprint:1")
    data, url = folder / "data", f"http://127.0.0.1:{(port := free_port())}"
    with DockerRegistry(folder / "registry") as registry:
        environment = os.environ | {
            "TARMAC_PORT": str(port),
            "TARMAC_DATA_DIR": str(data),
            "TARMAC_REGISTRY_URL": registry.url,
        }
        service = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_service(url)
            watch = _Watch(data)
            started = time.monotonic()
            job = _push(archive, url)
            wall = time.monotonic() - started
            names = watch.stop()
            _report(archive, service.pid, wall, names)
            if job["state"] != "succeeded":
                sys.exit(f"the job did not succeed: {json.dumps(job.get('problem') or job)}")
        finally:
            service.terminate()
            service.wait(30)


def _await_service(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except OSError:
            if time.monotonic() > until:
                sys.exit("the service did not start")
            threading.Event().wait(0.05)


def _push(archive: Path, url: str) -> dict[str, object]:
    done = subprocess.run(
        ["curl", "-sS", "-F", f"archive=@{archive}", f"{url}/push?wait=600"], stdout=subprocess.PIPE, check=True
    )
    job: dict[str, object] = json.loads(done.stdout)
    return job


def _report(archive: Path, pid: int, wall: float, names: set[str]) -> None:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    size, written = archive.stat().st_size, int(counters["write_bytes"])
    peak = int(status["VmHWM"].split()[0]) / 1024
    print(
        f"{size / 1e6:>9.1f} MB {wall:>6.1f} s {peak:>8.1f} MiB {written / 1e6:>11.1f} MB {written / size:>12.4f}  "
        f"{', '.join(sorted(names))}"
    )


class _Watch:
    """Collects every file name that is ever seen below a directory, until stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names, self._ended = folder, set[str](), threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while not self._ended.wait(0.01):
            self._names |= {
                str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if not path.is_dir()
            }

    def stop(self) -> set[str]:
        self._ended.set()
        self._thread.join()
        return self._names


if __name__ == "__main__":
    main()
