"""podman with a storage of its own, and a network without a way out in which all of a test's containers run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.peers import peer

TOOLS = ("podman", "runc", "mmdebstrap", "ip", "nsenter", "skopeo", "curl", "openssl")
BUILD_SECONDS = 600
RUN_SECONDS = 120
START_SECONDS = 60
ENOUGH = 4096  # files and processes of a container
_NICE = 10

# runc takes every layout of cgroups. Limits are within this process's own, for not every root may raise them; a build
# does not read them here.
_CONTAINERS = """
[containers]
default_ulimits = {limits}
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


class Engine:
    """Everything that it makes is below `folder` and in the network namespace, and goes when it is left."""

    def __init__(self) -> None:
        for tool in TOOLS:
            peer(tool)
        # on a disk: images are larger than a file system in memory should hold
        self.folder = folder = Path(tempfile.mkdtemp(prefix="tarmac-container-", dir="/var/tmp"))
        self._namespace = f"tarmac-{os.getpid()}"
        limits = {"nofile": _most(resource.RLIMIT_NOFILE), "nproc": _most(resource.RLIMIT_NPROC)}
        self._limits = [f"{name}={most}:{most}" for name, most in limits.items()]
        (folder / "containers.conf").write_text(_CONTAINERS.format(limits=json.dumps(self._limits)))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        self._environ = os.environ | {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __enter__(self) -> Self:
        ip = peer("ip")
        subprocess.run([ip, "netns", "add", self._namespace], check=True)
        subprocess.run([ip, "-n", self._namespace, "link", "set", "lo", "up"], check=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.podman("rm", "--all", "--force", "--volumes", "--time", "0")
        subprocess.run([peer("ip"), "netns", "del", self._namespace], check=True)
        with suppress(subprocess.CalledProcessError):  # the storage is mounted over itself only where it was used
            subprocess.run([peer("umount"), self.folder / "storage/overlay"], check=True, capture_output=True)
        shutil.rmtree(self.folder)

    def podman(self, *arguments: str | Path, timeout: float = RUN_SECONDS) -> str:
        """What podman prints. A command that fails fails the test, in its own words."""
        done = self.tried(*arguments, timeout=timeout)
        assert done.returncode == 0, f"podman {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout.strip()

    def tried(self, *arguments: str | Path, timeout: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        command = [peer("nice"), "-n", str(_NICE), peer("podman"), *map(str, arguments)]
        return subprocess.run(
            command, env=self._environ, capture_output=True, text=True, check=False, timeout=timeout, cwd="/"
        )

    def build(self, *arguments: str | Path) -> None:
        """An image in docker's format, as OCI's knows no health check."""
        limits = [f"--ulimit={limit}" for limit in self._limits]
        self.podman("build", "--pull=never", "--format=docker", *limits, *arguments, timeout=BUILD_SECONDS)

    def inspect(self, kind: str, name: str) -> Any:
        """What the engine knows of an image or a container."""
        return json.loads(self.podman(kind, "inspect", name))[0]

    def inside(self, *command: str | Path, timeout: float = RUN_SECONDS) -> str:
        """What a program of this machine prints that runs in the containers' network."""
        entered = [peer("nsenter"), f"--net=/run/netns/{self._namespace}", "--", *map(str, command)]
        done = subprocess.run(entered, capture_output=True, text=True, check=False, timeout=timeout)
        assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def start(self, name: str, image: str, *flags: str, command: tuple[str, ...] = ()) -> None:
        """In the network of its own. Health is asked for by the tests, not by a timer of the engine."""
        network = f"--network=ns:/run/netns/{self._namespace}"
        self.podman("run", "--detach", "--name", name, network, "--health-interval=disable", *flags, image, *command)

    def run(self, image: str, *flags: str, command: tuple[str, ...] = ()) -> str:
        """What a container prints that ends by itself and has no network."""
        return self.podman("run", "--rm", "--network=none", "--health-interval=disable", *flags, image, *command)

    def await_health(self, name: str) -> float:
        """Seconds until the container's own health check passes."""
        since = time.monotonic()
        wait_until(lambda: self.tried("healthcheck", "run", name).returncode == 0, lambda: self.log(name))
        return time.monotonic() - since

    def log(self, name: str) -> str:
        done = self.tried("logs", name)
        return done.stdout + done.stderr


def wait_until(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    until = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > until:
            pytest.fail(f"not within {START_SECONDS} s:\n{told()[-4000:]}")


def _most(kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
