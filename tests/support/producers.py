"""One small archive of each producer that app/docs/formats.md lists: by a real tool, or as its source writes it.

PRODUCERS   first cell of the table "Producers" -> what to build, and what the images are called
INSTALLERS  first cell of the table "Installers and bundles" -> what to build, and the members that hold images
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import uds
from tests.support.archives import (
    OCI_MANIFEST,
    Image,
    Member,
    Node,
    descriptor,
    docker_save,
    entry,
    files,
    image,
    oci_artifact,
    oci_image,
    oci_members,
    sha256,
    tagged,
    tar,
    to_json,
    wrap,
)
from tests.support.hauler import Held, haul
from tests.support.helm import packaged
from tests.support.mirrors import docker_model, kots_registry, kubekey, oc_mirror_files, oc_mirror_v1
from tests.support.nested import deckhouse, layout_in, zot
from tests.support.storage_tree import bundle, oc_mirror, tree
from tests.support.zarf import zarf_package

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
APP = image({"bin/app": b"one"}, {"etc/app": b"two"})
OTHER = image({"bin/other": b"three"}, label="other")
NAME = "registry.example.com/team/app:1.0"


@dataclass(frozen=True, slots=True)
class Producer:
    """`names`: all that the archive calls its images."""

    build: Callable[[], bytes]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installer:
    """`holds`: members that hold images; none if there is nothing to push."""

    build: Callable[[], bytes]
    holds: tuple[str, ...]


def corpus(file: str, *names: str) -> Producer:
    return Producer((CORPUS / file).read_bytes, names)


def built(members: Callable[[], Sequence[Member]], *names: str) -> Producer:
    return Producer(lambda: tar(members()), names)


def hybrid(images: Sequence[Image]) -> list[Member]:
    """`docker save` of docker 25 and newer (overlay2)."""
    nodes = [oci_image(one, compression="none") for one in images]
    listed = [entry(node, name=(one.tags or ("",))[0]) for node, one in zip(nodes, images, strict=True)]
    return oci_members(listed, hybrid=images)


def rke2() -> bytes:
    """rke2, scripts/package-images: docker save, then bsdtar puts manifest.json first and appends the rest."""
    members = hybrid(
        [tagged(APP, "docker.io/rancher/hardened-etcd:v3.6"), tagged(OTHER, "docker.io/rancher/pause:3.6")]
    )
    return wrap(tar(sorted(members, key=lambda member: member.name != "manifest.json")), "zstd")


def images_of_rancher() -> bytes:
    """k3s, scripts/package-airgap, and rancher-save-images.sh: docker save of every image."""
    return tar(hybrid([tagged(APP, "rancher/klipper-lb:v0.4"), tagged(OTHER, "rancher/mirrored-pause:3.6")]))


def jib() -> list[Member]:
    """jib, ImageTarball.java: compressed layers by their digest, and a config that is always called the same."""
    layers = {f"{hashlib.sha256(data).hexdigest()}.tar.gz": data for data in (wrap(one, "gzip") for one in APP.layers)}
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": list(layers)}]
    return files({**layers, "config.json": APP.config, "manifest.json": to_json(manifest)})


def rules_oci() -> list[Member]:
    """rules_oci, oci/private/tarball.sh.tpl: the blobs of an image layout, without the layout."""
    layers = {_blob(data) + ".tar.gz": data for data in (wrap(one, "gzip") for one in APP.layers)}
    manifest = [{"Config": _blob(APP.config), "RepoTags": [NAME], "Layers": list(layers)}]
    return files({"manifest.json": to_json(manifest), _blob(APP.config): APP.config, **layers})


def _blob(data: bytes) -> str:
    return f"blobs/{sha256(data).replace(':', '/')}"


def dotnet_docker() -> list[Member]:
    """dotnet/sdk, DockerCli.cs: `layer.tar` in a directory of its own, which is compressed all the same."""
    layers = {f"{hashlib.sha256(one).hexdigest()}/layer.tar": wrap(one, "gzip") for one in APP.layers}
    config = APP.config_digest.removeprefix("sha256:") + ".json"
    manifest = [{"Config": config, "RepoTags": ["team/app:1.0"], "Layers": list(layers)}]
    return files({**layers, config: APP.config, "manifest.json": to_json(manifest)})


def flux() -> Node:
    """fluxcd/pkg, oci/push.go: config and layer have Flux's types, the annotations say where it comes from."""
    content = wrap(tar([Member("deployment.yaml", b"kind: Deployment\n")]), "gzip")
    annotations = {
        "org.opencontainers.image.source": "https://git.example.com/app",
        "org.opencontainers.image.revision": "main@sha1:1",
    }
    members = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.cncf.flux.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.cncf.flux.content.v1.tar+gzip", content)],
        "annotations": annotations,
    }
    return Node(to_json(members), OCI_MANIFEST, {sha256(data): data for data in (b"{}", content)})


def tekton() -> Node:
    """tektoncd/cli, pkg/bundle/builder.go: each object is a layer, and its annotations say which."""
    node = oci_image(image({"hello": b"kind: Task\n"}))
    members = json.loads(node.raw)
    for layer in members["layers"]:
        layer["annotations"] = {
            "dev.tekton.image.apiVersion": "v1",
            "dev.tekton.image.kind": "task",
            "dev.tekton.image.name": "hello",
        }
    return replace(node, raw=to_json(members))


def artifacts() -> list[Member]:
    return oci_members([entry(flux(), ref="ghcr.io/team/manifests:v1"), entry(tekton(), ref="ghcr.io/team/tasks:v1")])


def model_kit() -> Node:
    return oci_artifact(
        b"weights",
        artifact_type="application/vnd.kitops.modelkit.config.v1+json",
        media_type="application/vnd.kitops.modelkit.model.v1.tar",
    )


def kitops(kits: Mapping[str, Mapping[str, Node]], untagged: Sequence[Node] = ()) -> list[Member]:
    """kitops, pkg/lib/repo/local/registry.go: by repository and tag. An entry of index.json has no tag."""
    nodes = {node.digest: node for tags in kits.values() for node in tags.values()}
    members = oci_members([entry(node) for node in (*nodes.values(), *untagged)])
    for repository, tags in kits.items():
        encoded = base64.urlsafe_b64encode(repository.encode()).decode()
        index = {"schemaVersion": 2, "manifests": [node.descriptor for node in tags.values()]}
        members += files(
            {
                f"{encoded}-index.json": to_json(index),
                f"{encoded}-tags.json": to_json({tag: node.descriptor for tag, node in tags.items()}),
            }
        )
    return members


def repository_of_charts() -> list[Member]:
    return [
        Member("index.yaml", b"apiVersion: v1\nentries: {}\n"),
        Member("podinfo-6.0.0.tgz", packaged()),
        Member("podinfo-6.0.0.tgz.prov", b"-----BEGIN PGP SIGNED MESSAGE-----\n"),
    ]


WHOLE = oci_image(APP)
STORED = {"team/app": {"1.0": WHOLE}}
PRODUCERS: Mapping[str, Producer] = {
    "`docker save` before 25": corpus("d20-save-one.tar", "bench.local/tiny/app:1.0"),
    "`docker save` 25 and newer, overlay2": corpus("d29g-save-one.tar", "bench.local/tiny/app:1.0"),
    "`docker save` 25 and newer, containerd store": corpus("d29c-save-multiarch.tar", "bench.local/bk/multi:1"),
    "`docker buildx build -o type=oci`": corpus("buildx-oci.tar", "bench.local/bk/app:oci"),
    "`docker buildx build -o type=docker`": corpus("buildx-docker.tar", "bench.local/bk/app:dk"),
    "`ctr images export`, `nerdctl save`": corpus("ctr-export.tar", "bench.local/tiny/app:1.0"),
    "`podman save` (docker-archive, also `-m`)": corpus("podman-docker-archive.tar", "bench.local/bah/app:docker"),
    "`podman save --format oci-archive`, `buildah push oci-archive:`": corpus(
        "podman-oci-archive.tar", "bench.local/bah/app:oci"
    ),
    "`buildah manifest push --all oci-archive:`": corpus("buildah-manifest-all.tar", "bench.local/bah/multi:1"),
    "`skopeo copy … docker-archive:FILE:NAME`": corpus("skopeo193-docker-archive.tar", "bench.local/sk/app:1.0"),
    "`skopeo copy [--all] … oci-archive:FILE:NAME`": corpus("skopeo193-oci-archive.tar", "bench.local/sk/oci:1"),
    "`crane pull`": corpus("crane-tarball.tar", "127.0.0.1:5559/bench/app:1.0"),
    "`crane pull --format=oci`, then `tar`": corpus("crane-oci.tar"),
    "`regctl image export`": corpus("regctl-export.tar", "127.0.0.1:5559/bench/oci:1"),
    "`oras backup`, `oras copy --to-oci-layout`, then `tar`": corpus("oras-backup-referrers.tar", "1"),
    "`umoci` layouts, then `tar`": corpus("umoci-oci.tar", "v1", "v2"),
    "`ko build --tarball`, kaniko's `--tar-path`": Producer(
        lambda: docker_save([tagged(APP, NAME)], style="crane"), (NAME,)
    ),
    "Jib (`jib:buildTar`, `jibBuildTar`)": built(jib, NAME),
    "Bazel's `rules_oci` (`oci_load`)": built(rules_oci, NAME),
    "`dotnet publish -p ContainerArchiveOutputPath=`": built(dotnet_docker, "team/app:1.0"),
    "the same with `ContainerImageFormat=OCI`": built(
        lambda: oci_members([entry(WHOLE, ref="team/app:1.0")]), "team/app:1.0"
    ),
    "`k3s-airgap-images-ARCH`, `rancher-images` (`rancher-save-images.sh`)": Producer(
        lambda: wrap(images_of_rancher(), "gzip"), ("rancher/klipper-lb:v0.4", "rancher/mirrored-pause:3.6")
    ),
    "`rke2-images.linux-ARCH`": Producer(rke2, ("docker.io/rancher/hardened-etcd:v3.6", "docker.io/rancher/pause:3.6")),
    "GitLab's `Secure-Binaries` template": Producer(
        lambda: docker_save([tagged(APP, "registry.gitlab.com/security-products/semgrep:5")], outer="xz"),
        ("registry.gitlab.com/security-products/semgrep:5",),
    ),
    "Flux artifacts, Tekton bundles in an image layout": built(
        artifacts, "ghcr.io/team/manifests:v1", "ghcr.io/team/tasks:v1"
    ),
    "`kit pack` of KitOps, then `tar` of its `storage`": built(
        lambda: kitops({"ghcr.io/team/model": {"v1": model_kit()}}), "ghcr.io/team/model:v1"
    ),
    "`modctl build` (ModelPack), then `tar` of its `content.v1`": built(
        lambda: tree({"registry.example.com/team/model": {"v1": model_kit()}}), "registry.example.com/team/model:v1"
    ),
    "`mindthegap create bundle`, `create image-bundle`": corpus(
        "mindthegap-bundle.tar", *(f"127.0.0.1:5559/bench/{name}" for name in ("app:1.0", "app:2.0", "multi:1"))
    ),
    "`hauler store save`": Producer(lambda: haul([Held(WHOLE, NAME)]), (NAME,)),
    "`zarf package create`": Producer(lambda: zarf_package({NAME: WHOLE}), (NAME,)),
    "`uds create` (bundle)": built(
        lambda: oci_members([entry(uds.bundle(uds.zarf_package("app")), ref="0.1.0")]), "0.1.0"
    ),
    "`imgpkg copy --to-tar`": corpus("imgpkg-image.tar", "127.0.0.1:5559/bench/oci:1"),
    "`helm package`": Producer(packaged, ("podinfo:6.0.0_build.1",)),
    "`helm package --sign`, `helm repo index`, then `tar`": built(repository_of_charts, "podinfo:6.0.0_build.1"),
    "oc-mirror v2": built(lambda: oc_mirror(STORED), "team/app:1.0"),
    "`oc image mirror … file://…`, `oc adm release mirror --to-dir`, then `tar`": built(
        lambda: oc_mirror_files(STORED), "team/app:1.0"
    ),
    "oc-mirror v1": built(lambda: oc_mirror_v1(STORED), "team/app:1.0"),
    "KOTS `.airgap` (Replicated)": built(
        lambda: kots_registry({"app": {"1.0": WHOLE}}, ["registry.example.com/team/app:1.0"]), NAME
    ),
    "`docker model package`": built(lambda: docker_model(model_kit())),
    "`tar` of the directory of `registry:2`, `registry:3`, or of one above it": built(
        lambda: tree(STORED), "team/app:1.0"
    ),
    "`d8 mirror pull` of Deckhouse": built(
        lambda: deckhouse({"": {"v1": WHOLE}, "install": {"v1": WHOLE}}),
        "registry.example.com/deck/ee:v1",
        "registry.example.com/deck/ee/install:v1",
    ),
    "KubeKey 3 artifact (`images/`)": built(lambda: layout_in("images", [entry(WHOLE, ref=NAME)]), NAME),
    "KubeKey 4 artifact": built(lambda: kubekey({NAME.rpartition(":")[0]: {NAME.rpartition(":")[2]: WHOLE}}), NAME),
    "`tar` of the root directory of zot": built(lambda: zot(STORED), "team/app:1.0"),
}


def bundle_of_eks() -> list[Member]:
    """eks-anywhere, cmd/downloadimages.go: two docker archives, the charts and the manifests of the bundle."""
    return files(
        {
            "eks-anywhere-packages-0.4.tgz": packaged(),
            "eks-anywhere-manifest.yaml": b"kind: Release\n",
            "images.tar": docker_save(
                [tagged(APP, "public.ecr.aws/eks/app:1"), tagged(OTHER, "public.ecr.aws/eks/b:1")]
            ),
            "tools-image.tar": docker_save([tagged(OTHER, "public.ecr.aws/eks/tools:1")]),
        }
    )


def installer_of_harbor() -> bytes:
    """harbor, Makefile, package_offline."""
    inner = docker_save([tagged(APP, "goharbor/harbor-core:v2.14.0")], outer="gzip")
    names = ("prepare", "LICENSE", "install.sh", "common.sh", "harbor.yml.tmpl")
    members = {"harbor/harbor.v2.14.0.tar.gz": inner} | {f"harbor/{name}": b"#!/bin/sh\n" for name in names}
    return wrap(tar(files(members)), "gzip")


def installer_of_quay() -> bytes:
    """mirror-registry, Dockerfile: tars of file systems, which its program imports. There is no image in it."""
    system = tar([Member(f"./{name}/x", b"x") for name in ("bin", "etc", "lib", "usr", "var")])
    archive = tar(files({"quay.tar": system, "redis.tar": system, "pause.tar": system}))
    return wrap(
        tar(
            files(
                {
                    "image-archive.tar": archive,
                    "execution-environment.tar": system,
                    "mirror-registry": b"\x7fELF",
                    "sqlite3.tar": system,
                }
            )
        ),
        "gzip",
    )


def bundle_of_nkp() -> bytes:
    """NKP's air-gapped bundle: bundles of mindthegap in `container-images`, a docker archive, programs."""
    inner = bundle(STORED, images={"docker.io": {"team/app": ["1.0"]}})
    members = {
        "nkp-v2.16.0/cli/nkp": b"\x7fELF",
        "nkp-v2.16.0/container-images/konvoy-image-bundle-v2.16.0.tar": inner,
        "nkp-v2.16.0/container-images/kommander-image-bundle-v2.16.0.tar": inner,
        "nkp-v2.16.0/konvoy-bootstrap-image-v2.16.0.tar": docker_save([tagged(APP, "mesosphere/konvoy:1")]),
    }
    return wrap(tar(files(members)), "gzip")


INSTALLERS: Mapping[str, Installer] = {
    "`eksctl anywhere download images`": Installer(lambda: tar(bundle_of_eks()), ("images.tar", "tools-image.tar")),
    "Harbor's offline installer": Installer(installer_of_harbor, ("harbor/harbor.v2.14.0.tar.gz",)),
    "NKP's and Konvoy's air-gapped bundle": Installer(
        bundle_of_nkp,
        (
            "nkp-v2.16.0/container-images/konvoy-image-bundle-v2.16.0.tar",
            "nkp-v2.16.0/container-images/kommander-image-bundle-v2.16.0.tar",
            "nkp-v2.16.0/konvoy-bootstrap-image-v2.16.0.tar",
        ),
    ),
    "`mirror-registry` of Quay": Installer(installer_of_quay, ()),
}
