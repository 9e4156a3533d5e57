"""One small archive of every kind, and what it is to become at a registry."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tests.support.archives import (
    Image,
    Node,
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    tagged,
)
from tests.support.helm import packaged
from tests.support.storage_tree import bundle, helm_chart


@dataclass(frozen=True, slots=True)
class Kind:
    """An archive. `digests`: by `repository:tag`, what a tag has in the end; None where Tarmac makes the manifest (of a
    docker archive, of a chart). `referrers`: digests of the artifacts that are to be there beside."""

    name: str
    tar: bytes
    digests: Mapping[str, str | None]
    referrers: tuple[str, ...] = ()


def content(label: str, size: int = 9_000) -> bytes:
    """Bytes that do not compress: more than Tarmac finds worth remembering, the same for the same label."""
    return random.Random(label).randbytes(size)


def app(label: str, platform: str = "linux/amd64") -> Image:
    """Two layers; the first is that of every application."""
    return image({"base": content("base")}, {"bin/app": content(label)}, platform=platform, label=label)


def _docker() -> Kind:
    return Kind("docker-archive", docker_save([tagged(app("docker"), "example.com/app:1")]), {"app:1": None})


def _single() -> Kind:
    node = oci_image(app("single"))
    return Kind("oci-archive", oci_layout([entry(node, ref="example.com/app:1")]), {"app:1": node.digest})


def _index() -> Kind:
    children = [oci_image(app(one, f"linux/{one}"), platform=f"linux/{one}") for one in ("amd64", "arm64")]
    node = oci_index(children)
    return Kind("oci-index", oci_layout([entry(node, ref="example.com/app:1")]), {"app:1": node.digest})


def _several() -> Kind:
    nodes = {f"{name}:1": oci_image(app(name)) for name in ("one", "two", "three")}
    tar = oci_layout([entry(node, ref=f"example.com/{name}") for name, node in nodes.items()])
    return Kind("several-images", tar, {name: node.digest for name, node in nodes.items()})


def _artifact() -> Kind:
    node = oci_artifact(content("artifact"), media_type="application/vnd.example.layer.v1")
    return Kind("artifact", oci_layout([entry(node, ref="example.com/thing:1")]), {"thing:1": node.digest})


def _chart() -> Kind:
    return Kind("helm-chart", packaged(more={"data": content("chart")}), {"podinfo:6.0.0_build.1": None})


def _bundle() -> Kind:
    chart, one = helm_chart("chart", "1.0.0"), oci_index([oci_image(app("bundled"), platform="linux/amd64")])
    stored: dict[str, dict[str, Node]] = {"app": {"1": one}, "charts/chart": {"1.0.0": chart}}
    tar = bundle(stored, images={"example.com": {"app": ["1"]}}, charts={"stable": {"chart": ["1.0.0"]}})
    return Kind("mindthegap-bundle", tar, {"app:1": one.digest, "chart:1.0.0": chart.digest})


def _with_referrers() -> Kind:
    node = oci_image(app("signed"))
    sbom = oci_artifact(content("sbom"), artifact_type="application/vnd.example.sbom", subject=node)
    signature = oci_artifact(b"signature", subject=node)
    tar = oci_layout([entry(node, ref="example.com/app:1"), entry(sbom), entry(signature)])
    return Kind("with-referrers", tar, {"app:1": node.digest}, referrers=(sbom.digest, signature.digest))


MAKERS: tuple[Callable[[], Kind], ...] = (
    _docker,
    _single,
    _index,
    _several,
    _artifact,
    _chart,
    _bundle,
    _with_referrers,
)


@cache
def kinds() -> tuple[Kind, ...]:
    return tuple(make() for make in MAKERS)
