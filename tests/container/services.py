"""How docker-compose.yml and the manifests for Kubernetes say that a container is run, as podman's flags."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
# Where the services are that share one network namespace here, each having one of its own there.
ADDRESSES = {
    "tarmac": "127.0.0.1",
    "tarmac-a": "127.0.0.2",
    "tarmac-b": "127.0.0.3",
    "database": "127.0.0.4",
    "registry": "127.0.0.5",
    "registry.local": "127.0.0.5",
}
HOSTS = tuple(f"--add-host={name}:{address}" for name, address in ADDRESSES.items())
_PLACED = {"build", "image", "ports", "networks", "depends_on", "restart", "profiles"}  # by the tests, or not asked for


def compose_flags(name: str) -> tuple[str, ...]:
    """Nothing of the service is passed over that says how it runs."""
    service = dict(COMPOSE["services"][name])
    flags = [*HOSTS]
    if name.startswith("tarmac"):
        flags.append(f"--env=TARMAC_HOST={ADDRESSES[name]}")
    for key, value in service.items():
        if key not in _PLACED:
            flags += _compose_flag(key, value)
    return tuple(flags)


def _compose_flag(key: str, value: Any) -> list[str]:
    match key:
        case "environment":
            return [f"--env={name}={each}" for name, each in value.items()]
        case "volumes":
            return [f"--volume={item}" for item in value]
        case "read_only":
            return ["--read-only", "--read-only-tmpfs=false"]
        case "tmpfs" | "cap_drop" | "security_opt":
            return [f"--{key.replace('_', '-')}={item}" for item in value]
        case "stop_grace_period":
            return [f"--stop-timeout={value.removesuffix('s')}"]
        case "healthcheck":
            kind, *command = value["test"]
            assert kind == "CMD"
            return [f"--health-cmd={json.dumps(command)}"]
    raise AssertionError(f"docker-compose.yml: {key} is not run in any test")


def pod_flags(pod: dict[str, Any], volumes: dict[str, Path]) -> tuple[str, ...]:
    """As the kubelet runs the one container of `pod`; `volumes` by name, prepared with `kept` and `laid_out`."""
    (container,) = pod["containers"]
    own, shared = container["securityContext"], pod["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not own["allowPrivilegeEscalation"]
    flags = [
        *HOSTS,
        f"--user={shared['runAsUser']}:{shared['runAsGroup']}",
        f"--group-add={shared['fsGroup']}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--security-opt=no-new-privileges",
        *(f"--cap-drop={item}" for item in own["capabilities"]["drop"]),
        f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
        f"--stop-timeout={pod['terminationGracePeriodSeconds']}",
    ]
    return (*flags, *_mounts(container["volumeMounts"], pod["volumes"], volumes))


def _mounts(mounts: list[dict[str, Any]], declared: list[dict[str, Any]], volumes: dict[str, Path]) -> Iterator[str]:
    empty = {item["name"]: item["emptyDir"] for item in declared if "emptyDir" in item}
    for mount in mounts:
        name, place = mount["name"], mount["mountPath"]
        if name in empty:
            yield f"--tmpfs={place}:mode=1777,size={empty[name]['sizeLimit'].removesuffix('i').lower()}"
        else:
            yield f"--volume={volumes[name]}:{place}{':ro' if mount.get('readOnly') else ''}"


def kept(folder: Path, group: int) -> Path:
    """A new volume after the kubelet made it the pod's: root's still, and the group may write."""
    folder.mkdir()
    os.chown(folder, 0, group)
    folder.chmod(0o2775)
    return folder


def laid_out(folder: Path, group: int, mode: int, files: dict[str, str]) -> Path:
    """A secret or settings as the kubelet lays them out: root's files, which the group may read."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
        os.chown(folder / name, 0, group)
        (folder / name).chmod(mode)
    return folder
