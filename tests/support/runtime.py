"""What a container runtime does with a tag before it starts it: is every layer that of the config?"""

from __future__ import annotations

import json
from typing import Any

from app.oci import Digest
from tests.support.archives import sha256, unwrap
from tests.support.fake_registry import FakeRegistry

_ENDINGS = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def faults_of(registry: FakeRegistry, repository: str, reference: str, platform: str = "") -> list[str]:
    """Return why a runtime does not run it, in words; nothing if it does. `platform`: of an index, all if empty."""
    members = json.loads(registry.manifest(repository, reference))
    if "manifests" not in members:
        return list(_faults(registry, repository, members))
    found = []
    for child in members["manifests"]:
        told = child.get("platform", {})
        name = f"{told.get('os')}/{told.get('architecture')}"
        if name != "unknown/unknown" and platform in {"", name}:
            found += faults_of(registry, repository, child["digest"])
    return found


def _faults(registry: FakeRegistry, repository: str, manifest: dict[str, Any]) -> list[str]:
    config = json.loads(registry.blobs[repository, Digest.parse(manifest["config"]["digest"])])
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest["layers"]):
        return [f"{len(manifest['layers'])} layers and {len(diff_ids)} diff_ids"]
    found = []
    for number, (layer, diff_id) in enumerate(zip(manifest["layers"], diff_ids, strict=True), 1):
        data = registry.blobs[repository, Digest.parse(layer["digest"])]
        stated = next((name for name in _ENDINGS if layer["mediaType"].endswith(name)), "none")
        stored = next((name for name, magic in _ENDINGS.items() if data.startswith(magic)), "none")
        if stated != stored:
            found.append(f"layer {number} is {stored}, {stated} is stated")
        if sha256(unwrap(data)) != diff_id:
            found.append(f"layer {number} is another one")
    return found
