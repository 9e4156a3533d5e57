"""A registry's storage as a tar, as mindthegap, oc-mirror and a plain tar of registry:2's directory have it.

stored = {"library/app": {"1.0": node}}                         repository -> tag -> manifest
bundle(stored, images={"docker.io": {"library/app": ["1.0"]}})  with images.yaml, the bundle of mindthegap
tar(tree(stored))                                               the storage alone
oc_mirror(stored)                                               the members of oc-mirror's single file
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from tests.support.archives import (
    OCI_MANIFEST,
    Compress,
    Member,
    Node,
    descriptor,
    image,
    oci_image,
    oci_index,
    sha256,
    tar,
    to_json,
    wrap,
)

ROOT = "docker/registry/v2"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
Stored = Mapping[str, Mapping[str, Node]]


def blob_place(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"{ROOT}/blobs/{algorithm}/{encoded[:2]}/{encoded}/data"


def tag_place(repository: str, tag: str) -> str:
    return f"{ROOT}/repositories/{repository}/_manifests/tags/{tag}/current/link"


def revision_place(repository: str, digest: str) -> str:
    return f"{ROOT}/repositories/{repository}/_manifests/revisions/{digest.replace(':', '/')}/link"


def tree(stored: Stored, *, without: Iterable[str] = ()) -> list[Member]:
    """repositories/ and then blobs/, without directories. `without`: digests whose bytes are left out."""
    left_out = set(without)
    members: dict[str, bytes] = {}
    for repository, tags in stored.items():
        for tag, node in tags.items():
            members |= dict(_links(repository, tag, node))
    for node in (node for tags in stored.values() for node in tags.values()):
        members |= {blob_place(digest): data for digest, data in node.content.items() if digest not in left_out}
    return [Member(name, data) for name, data in members.items()]


def _links(repository: str, tag: str, node: Node) -> Iterator[tuple[str, bytes]]:
    link = node.digest.encode()
    path = f"{ROOT}/repositories/{repository}"
    manifests = [node, *node.children]
    for manifest in manifests:
        yield revision_place(repository, manifest.digest), manifest.digest.encode()
        for digest in manifest.blobs:
            yield f"{path}/_layers/{digest.replace(':', '/')}/link", digest.encode()
    yield tag_place(repository, tag), link
    yield f"{path}/_manifests/tags/{tag}/index/{node.digest.replace(':', '/')}/link", link


def directories(members: Sequence[Member]) -> list[Member]:
    """The members with a directory before everything that lies in it, as mindthegap writes them."""
    found: dict[str, Member] = {}
    for member in members:
        parts = member.name.split("/")
        for end in range(1, len(parts)):
            name = "/".join(parts[:end])
            found.setdefault(name, Member(name, directory=True))
        found[member.name] = member
    return list(found.values())


def images_yaml(images: Mapping[str, Mapping[str, Sequence[str]]]) -> bytes:
    """As Go's yaml.v3 writes it with two spaces: a tag that looks like a number is quoted."""
    lines = []
    for registry, repositories in images.items():
        lines += [f"{registry}:", "  images:"]
        for repository, tags in repositories.items():
            lines += [f"    {repository}:", *(f"      - {json.dumps(tag)}" for tag in tags)]
    return "\n".join([*lines, ""]).encode()


def charts_yaml(charts: Mapping[str, Mapping[str, Sequence[str]]]) -> bytes:
    lines = ["repositories:"]
    for repository, listed in charts.items():
        lines += [f"  {repository}:", "    repoURL: https://charts.example.com/stable", "    charts:"]
        for chart, versions in listed.items():
            lines += [f"      {chart}:", *(f"        - {version}" for version in versions)]
    return "\n".join([*lines, ""]).encode()


def bundle(
    stored: Stored,
    *,
    images: Mapping[str, Mapping[str, Sequence[str]]] | bytes | None = None,
    charts: Mapping[str, Mapping[str, Sequence[str]]] | bytes | None = None,
    config_first: bool = False,
    outer: Compress = "none",
) -> bytes:
    """A mindthegap bundle. `images` and `charts` as mappings, or as the bytes of the file; None: no such file."""
    configs = []
    if images is not None:
        configs.append(Member("images.yaml", images if isinstance(images, bytes) else images_yaml(images)))
    if charts is not None:
        configs.append(Member("charts.yaml", charts if isinstance(charts, bytes) else charts_yaml(charts)))
    members = directories(tree(stored))
    return wrap(tar([*configs, *members] if config_first else [*members, *configs]), outer)


def oc_mirror(stored: Stored, *, without: Iterable[str] = ()) -> list[Member]:
    """What oc-mirror v2 writes where one file is enough, in its order."""
    return [
        *tree(stored, without=without),
        Member("working-dir/.history/.history-2026-11-23T17:05:00Z", b""),
        Member("working-dir/cluster-resources/idms-oc-mirror.yaml", b"---\n"),
        Member("isc_2026-11-23T17:05:00Z", b"kind: ImageSetConfiguration\n"),
    ]


def helm_chart(name: str, version: str) -> Node:
    """As `helm push` stores it: a manifest without mediaType, whose config tells what it is."""
    content = wrap(tar([Member(f"{name}/Chart.yaml", f"name: {name}\nversion: {version}\n".encode())]), "gzip")
    config = to_json({"name": name, "version": version, "apiVersion": "v2"})
    members = {
        "schemaVersion": 2,
        "config": descriptor(HELM_CONFIG, config),
        "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", content)],
    }
    return Node(to_json(members), OCI_MANIFEST, {sha256(config): config, sha256(content): content})


def many(count: int) -> bytes:
    """A bundle of `count` small images, each wrapped in an index as the maker of bundles does, on one base."""
    base = {"base": b"x" * 4000}
    stored: dict[str, dict[str, Node]] = {}
    for number in range(count):
        one = oci_image(image(base, {"app": b"%d" % number}), platform="linux/amd64")
        stored[f"team/app{number}"] = {"1.0": oci_index([one])}
    return bundle(stored, images={"registry.example.com": {name: ["1.0"] for name in stored}})


def oc_mirror_parts(stored: Stored, count: int) -> list[bytes]:
    """What oc-mirror writes where one file would be too large: the same members in order, over `count` files."""
    members = oc_mirror(stored)
    ends = [len(members) * number // count for number in range(count + 1)]
    return [tar(members[start:end]) for start, end in pairwise(ends)]
