"""What oc, oc-mirror v1, KOTS and `docker model package` write, member for member.

oc_mirror_files({"openshift/release": {"4.16": node}})   openshift/oc, pkg/cli/image/imagesource/file.go
oc_mirror_v1(stored)                                      openshift/oc-mirror, v1/pkg/archive/archive.go
kots_registry(stored, saved), kots_archives(images)       replicatedhq/kots, pkg/image/airgap.go
kubekey(stored)                                           kubesphere/kubekey, pkg/modules/image/repository.go
docker_model(node)                                        docker/model-runner, pkg/distribution/tarball/target.go
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from tests.support.archives import Image, Member, Node, docker_save
from tests.support.storage_tree import Stored, tree

Links = Literal["links", "hardlinks", "copies"]


def oc_mirror_files(
    stored: Stored,
    *,
    directory: str = "",
    links: Links = "links",
    windows: bool = False,
    by_digest: Mapping[str, Sequence[Node]] | None = None,
) -> list[Member]:
    """By repository and tag. `links`: a tag is a symbolic link, a manifest a hard link; after copying also a tag is a
    hard link, or both are copies. `by_digest`: what was mirrored without a tag."""
    members: dict[str, Member] = {}
    for repository, tags in stored.items():
        place = f"{directory}v2/{repository}"
        for node in [*tags.values(), *(by_digest or {}).get(repository, ())]:
            for member in _content(place, node, links, windows):
                members.setdefault(member.name, member)
        for tag, node in tags.items():
            name = f"{place}/manifests/{tag}"
            target = f"{place}/manifests/{_file(node.digest, windows)}"
            tagged = Member(name, link=_file(node.digest, windows))
            if links != "links":
                tagged = Member(name, hardlink=target) if links == "hardlinks" else Member(name, node.raw)
            members[name] = tagged
    return list(members.values())


def _content(place: str, node: Node, links: Links, windows: bool) -> Iterator[Member]:
    for digest, data in node.content.items():
        yield Member(f"{place}/blobs/{_file(digest, windows)}", data)
    for manifest in (*node.children, node):
        name = f"{place}/manifests/{_file(manifest.digest, windows)}"
        blob = f"{place}/blobs/{_file(manifest.digest, windows)}"
        yield Member(name, manifest.raw) if links == "copies" else Member(name, hardlink=blob)


def _file(digest: str, windows: bool) -> str:
    return digest.replace(":", "-") if windows else digest


def oc_mirror_v1(stored: Stored) -> list[Member]:
    """Blobs once for all repositories, manifests as files; the metadata first."""
    members = {"publish/.metadata.json": Member("publish/.metadata.json", b'{"kind":"Metadata"}')}
    for member in oc_mirror_files(stored, links="copies"):
        _, kind, digest = member.name.rpartition("/blobs/")
        name = f"blobs/{digest}" if kind else member.name
        members[name] = replace(member, name=name)
    for repository, tags in stored.items():
        for tag, node in tags.items():
            name = f"v2/{repository}/manifests/{tag}"
            members[name] = Member(name, link=node.digest)
    return list(members.values())


AIRGAP = "apiVersion: kots.io/v1beta1\nkind: Airgap\nmetadata:\n  creationTimestamp: null\nspec:\n"
AIRGAP += "  appSlug: field\n  channelID: 1vusIYZLAVxMG6q760OJmRKj5i5\n  releaseNotes: |\n    Notes: *all* of them\n"
AIRGAP += "  signature: c2lnbmVk\n  updateCursor: '7'\n  versionLabel: 1.2.3\n"


def airgap_yaml(format_: str = "", saved: Sequence[str] = (), more: str = "") -> bytes:
    lines = f"  format: {format_}\n" if format_ else ""
    if saved:
        lines += "  savedImages:\n" + "".join(f"  - {name}\n" for name in saved)
    return f"{AIRGAP}{lines}{more}status: {{}}\n".encode()


def kots_registry(stored: Stored, saved: Sequence[str], *, more: str = "") -> list[Member]:
    """The storage has the last part of each name."""
    return [
        Member("airgap.yaml", airgap_yaml("docker-registry", saved, more)),
        Member("app.tar.gz", b"\x1f\x8b application"),
        Member("images", directory=True),
        *(replace(member, name=f"images/{member.name}") for member in tree(stored)),
    ]


def kots_archives(images: Mapping[str, Image], *, format_: str = "docker-archive") -> list[Member]:
    """By path. `format_`: may be absent."""
    return [
        Member("airgap.yaml", airgap_yaml(format_)),
        Member("app.tar.gz", b"\x1f\x8b application"),
        Member("images", directory=True),
        *(Member(f"images/docker-archive/{path}", docker_save([one], style="podman")) for path, one in images.items()),
    ]


def docker_model(node: Node) -> list[Member]:
    members = [Member("blobs", directory=True), Member("blobs/sha256", directory=True)]
    members += [Member(f"blobs/{digest.replace(':', '/')}", data) for digest, data in node.blobs.items()]
    return [*members, Member("manifest.json", node.raw)]


def kubekey(
    stored: Stored, *, directory: str = "kubekey/images/", untagged: Mapping[str, Sequence[Node]] | None = None
) -> list[Member]:
    """By host/repository and tag."""
    members: dict[str, bytes] = {}
    for repository, tags in stored.items():
        place = f"{directory}{repository}/manifests"
        for node in [*tags.values(), *(untagged or {}).get(repository, ())]:
            members |= {f"{place}/{manifest.digest}": manifest.raw for manifest in (*node.children, node)}
            held = {manifest.digest for manifest in (*node.children, node)}
            blobs = {digest: data for digest, data in node.content.items() if digest not in held}
            members |= {f"{directory}blobs/{digest}": data for digest, data in blobs.items()}
        if tags:
            listed = {tag: node.digest for tag, node in tags.items()}
            members[f"{place}/layout"] = json.dumps(listed, indent=2).encode()
    return [Member(name, data) for name, data in members.items()]
