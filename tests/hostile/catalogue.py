"""Every hostile archive, and the honest ones that look like them, by group."""

from __future__ import annotations

from collections.abc import Mapping

from tests.hostile import (
    bundles,
    descriptors,
    docker_manifests,
    documents,
    extensions,
    graphs,
    members,
    names,
    tar_headers,
    wrappings,
)
from tests.hostile.case import Case

GROUPS: Mapping[str, tuple[Case, ...]] = {
    module.__name__.rpartition(".")[2]: tuple(module.cases())
    for module in (
        tar_headers,
        extensions,
        members,
        wrappings,
        documents,
        descriptors,
        graphs,
        names,
        docker_manifests,
        bundles,
    )
}
CASES: Mapping[str, Case] = {f"{group}: {case.name}": case for group, cases in GROUPS.items() for case in cases}
