"""Archives of the formats that have a reader of their own, to be damaged: small, and of every kind that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from tests.support import archives
from tests.support.archives import Member, docker_save, entry, oci_artifact, oci_image, oci_index, oci_layout, tar
from tests.support.mirrors import docker_model, kots_archives, kots_registry, kubekey, oc_mirror_files, oc_mirror_v1
from tests.support.nested import deckhouse, layout_in, zot
from tests.support.storage_tree import tree

APP = archives.image({"app": b"app"})
ONE = oci_image(APP)
MULTI = oci_index([oci_image(archives.image({"app": b"amd"}), platform="linux/amd64"), oci_artifact(b"x", subject=ONE)])
STORED = {"team/web": {"1": ONE, "2": MULTI}, "db": {"2": ONE}}
SAVED = ["a.test/team/web:1", f"a.test/db@{ONE.digest}", "db:2"]


def _bundle(media_type: str) -> bytes:
    inner = oci_artifact(b"file", b"other")
    outer = oci_artifact(inner.raw, media_type=media_type)
    return oci_layout(
        [entry(archives.Node(outer.raw, outer.media_type, {**outer.blobs, **inner.content}), ref="a/b:1")]
    )


def _below(directory: str, members: list[Member]) -> list[Member]:
    return [Member(f"{directory}/{member.name}", member.data, member.link) for member in members]


BUILDERS: Mapping[str, Callable[[], tuple[bytes, ...]]] = {
    "nested": lambda: (
        tar(deckhouse({"": {"1": ONE}, "install": {"1": MULTI}, "a/b": {}})),
        tar(zot(STORED, deduplicated=True, untagged={"db": [MULTI]})),
        tar([*layout_in("A b", [entry(ONE, ref="1")]), *layout_in("x", [entry(ONE)])]),
        tar(_below("var/lib/registry", tree(STORED))),
    ),
    "bundles": lambda: (_bundle(archives.OCI_MANIFEST), _bundle("application/vnd.zarf.layer.v1.blob")),
    "mirror": lambda: (
        tar(oc_mirror_files(STORED)),
        tar(oc_mirror_files(STORED, links="copies", windows=True)),
        tar(oc_mirror_v1(STORED)),
    ),
    "kubekey": lambda: (tar(kubekey({"quay.io/team/web": {"1": ONE, "2": MULTI}, "docker.io/db": {}})),),
    "artifact": lambda: (tar(docker_model(oci_artifact(b"model"))), tar(docker_model(ONE))),
    "kots": lambda: (
        tar(kots_registry(STORED, SAVED)),
        tar(kots_archives({"a.test/web/1": APP, f"a.test/b/sha256/{'a' * 64}": APP})),
        tar([*kots_archives({}), Member("images/docker-archive/a/b", oci_layout([entry(ONE)], hybrid=[APP]))]),
    ),
    "unknown": lambda: (
        tar([Member("x/y", docker_save([APP])), Member("z.tgz", archives.wrap(docker_save([APP]), "gzip"))]),
    ),
}


@cache
def samples(name: str) -> tuple[bytes, ...]:
    return BUILDERS[name]()
