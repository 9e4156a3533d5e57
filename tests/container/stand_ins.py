"""What takes the place of base images and of a package index: Debian's packages, and what this machine's pip gets."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.container.engine import BUILD_SECONDS, Engine
from tests.support.peers import peer

HERE = Path(__file__).parent
SUITE = "trixie"  # whose python3 is of the version that deploy/Containerfile names
PYTHON = "3.13"
BASE = f"docker.io/library/python:{PYTHON}-slim"
BASE_PACKAGES = ("python3", "python3-venv", "python3-pip", "python-is-python3", "ca-certificates")
TOOLS = "localhost/tools"
TOOL_PACKAGES = ("docker-registry", "postgresql", "wget", "kubernetes-client", "ca-certificates")
GLIBC = 41  # 2.41, of SUITE


def make_base(engine: Engine) -> None:
    _import(engine, BASE, BASE_PACKAGES)


def make_tools(engine: Engine) -> None:
    _import(engine, TOOLS, TOOL_PACKAGES)


def make_from(engine: Engine, recipe: str, name: str) -> None:
    """Build the directory `recipe` beside this file under `name`."""
    engine.build("--network=none", "--tag", name, HERE / recipe)


@contextmanager
def package_index(folder: Path, lock: Path) -> Iterator[str]:
    """The URL of an index on loopback that has the wheels of `lock` and nothing else, as a mirror behind the gap."""
    _download(folder / "wheels", lock)
    for wheel in sorted((folder / "wheels").iterdir()):
        name = re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower()
        (folder / "simple" / name).mkdir(parents=True, exist_ok=True)
        wheel.rename(folder / "simple" / name / wheel.name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """pip tells its requests itself."""


def _download(wheels: Path, lock: Path) -> None:
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, GLIBC + 1)]
    platforms += [f"manylinux{year}_{machine}" for year in (1, 2010, 2014)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--python-version", PYTHON, "--dest", str(wheels)]
    command += [f"--platform={item}" for item in platforms]
    subprocess.run([*command, "-r", str(lock)], check=True, capture_output=True, timeout=BUILD_SECONDS)


def _import(engine: Engine, name: str, packages: tuple[str, ...]) -> None:
    """An image of Debian's smallest system and `packages`."""
    archive = engine.folder / "root.tar"
    made = [peer("nice"), "-n", "10", peer("mmdebstrap"), "--variant=apt", f"--include={','.join(packages)}"]
    done = subprocess.run(
        [*made, SUITE, str(archive)], capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, done.stderr[-4000:]
    engine.podman("import", archive, name, timeout=BUILD_SECONDS)
    archive.unlink()
