"""Archives built in code. Everything is deterministic: the same call gives the same bytes.

    app = image({"bin/app": b"one"}, {"etc/app": b"two"})          config + plain layers, with their true digests
    docker_save([tagged(app, "example.com/app:1")], style="podman")  what `docker save` and its kin write
    node = oci_image(app, compression="gzip")                       a manifest with its config and layers
    oci_layout([entry(node, ref="example.com/app:1")])              an OCI image layout as a tar
    oci_layout([entry(oci_index([node, other]))])                   an index; indexes nest
    wrap(archive, "zstd")                                           the whole thing compressed
    tar([Member("a", b"1"), Member("b", link="a")])                 anything else, also hostile things

`Node.raw`, `Node.digest` and `Node.descriptor` tell what a test may expect at the destination.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compress = Literal["none", "gzip", "zstd", "xz", "bzip2"]
Style = Literal["classic", "podman", "crane", "docker25"]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
ONCE_BYTES = 1 << 20  # what is smaller is compressed once
LAYER_SUFFIX = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}


def sha256(data: bytes) -> str:
    """`sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# --- tar -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """A file; with `link` a symlink with that target as written, with `hardlink` a hard link, or a `directory`."""

    name: str
    data: bytes = b""
    link: str | None = None
    hardlink: str | None = None
    directory: bool = False
    pax: Mapping[str, str] = field(default_factory=dict)


def tar(members: Iterable[Member], *, dotslash: bool = False) -> bytes:
    """A plain tar of `members` in order, also of names twice. Every time stamp is 0. `dotslash`: as `tar -C d .`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for member in members:
            info = tarfile.TarInfo(f"./{member.name}" if dotslash else member.name)
            info.pax_headers = dict(member.pax)
            if member.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, member.link
            elif member.hardlink is not None:
                info.type, info.linkname = tarfile.LNKTYPE, f"./{member.hardlink}" if dotslash else member.hardlink
            elif member.directory:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(member.data)
            writer.addfile(info, io.BytesIO(member.data))
    return buffer.getvalue()


def files(contents: Mapping[str, bytes]) -> list[Member]:
    """Members from a mapping: `tar(files({"manifest.json": b"[]"}))`."""
    return [Member(name, data) for name, data in contents.items()]


def layer(contents: Mapping[str, bytes]) -> bytes:
    """The plain tar of one layer."""
    return tar(files(contents))


def wrap(data: bytes, compression: Compress) -> bytes:
    """`data` compressed as a whole (`none`: as it is)."""
    return (_wrap_once if len(data) < ONCE_BYTES else _wrap)(data, compression)


def _wrap(data: bytes, compression: Compress) -> bytes:
    match compression:
        case "gzip":
            return gzip.compress(data, 6, mtime=0)
        case "zstd":
            return zstd.compress(data)
        case "xz":
            return lzma.compress(data)
        case "bzip2":
            return bz2.compress(data)
    return data


_wrap_once = lru_cache(maxsize=64)(_wrap)  # many archives have the same layers


def unwrap(data: bytes) -> bytes:
    """What gzip or zstd made of something, or what is neither as it is."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    return zstd.decompress(data) if data.startswith(b"\x28\xb5\x2f\xfd") else data


# --- images ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Image:
    """Config bytes and plain layers; `tags` are RepoTags as they are to be written (`None` writes null)."""

    config: bytes
    layers: tuple[bytes, ...]
    tags: tuple[str, ...] | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(sha256(plain) for plain in self.layers)

    @property
    def config_digest(self) -> str:
        return sha256(self.config)


def image(*contents: Mapping[str, bytes], platform: str = "linux/amd64", label: str = "") -> Image:
    """An image with one layer per mapping. `label` makes the config (so the image) another one."""
    return image_of([layer(one) for one in contents], platform=platform, label=label)


def image_of(layers: Sequence[bytes], *, platform: str = "linux/amd64", label: str = "") -> Image:
    """An image of ready-made plain layers."""
    os, architecture, *variant = platform.split("/")
    config: dict[str, Any] = {"architecture": architecture, "os": os, "config": {"Labels": {"label": label}}}
    if variant:
        config["variant"] = variant[0]
    config["rootfs"] = {"type": "layers", "diff_ids": [sha256(plain) for plain in layers]}
    config["history"] = [{"created_by": f"layer {number}"} for number in range(len(layers))]
    return Image(to_json(config), tuple(layers))


def tagged(sample: Image, *tags: str) -> Image:
    """The same image with RepoTags."""
    return replace(sample, tags=tags)


# --- docker archives -------------------------------------------------------------------------------------------------


def docker_save(
    images: Sequence[Image],
    *,
    style: Style = "classic",
    compress: Compress = "none",
    links: Literal["none", "symlink", "hardlink"] = "none",
    manifest_first: bool = False,
    dotslash: bool = False,
    outer: Compress = "none",
) -> bytes:
    """A docker archive.

    classic   docker < 25: <id>/layer.tar beside VERSION and json, <hex>.json, manifest.json, repositories
    podman    podman, skopeo, buildah: <diffid>.tar, <hex>.json, legacy symlinks <id>/layer.tar
    crane     <digest>.tar.gz (always gzip), config member named sha256:<hex>
    docker25  blobs/sha256/<hex> and manifest.json, without index.json (`oci_layout(hybrid=...)` for both)

    `compress` wraps every layer member, whatever it is called. `links`: a layer that was written before is written
    again as a link to the first (classic only; elsewhere one name means one member)."""
    members = docker_members(images, style=style, compress=compress, links=links)
    if manifest_first:
        members.sort(key=lambda member: member.name != "manifest.json")
    return wrap(tar(members, dotslash=dotslash), outer)


def docker_members(
    images: Sequence[Image], *, style: Style = "classic", compress: Compress = "none", links: str = "none"
) -> list[Member]:
    """The members of `docker_save`, to be changed before they go to `tar`."""
    members: dict[str, Member] = {}
    manifest = []
    for number, one in enumerate(images):
        names = [_layer_name(style, number, place, plain) for place, plain in enumerate(one.layers)]
        for name, plain in zip(names, one.layers, strict=True):
            for member in _layer_members(style, name, plain, compress):
                members.setdefault(member.name, member)
        config_name = _config_name(style, one)
        members.setdefault(config_name, Member(config_name, one.config))
        tags = None if one.tags is None else list(one.tags)
        manifest.append({"Config": config_name, "RepoTags": tags, "Layers": names})
    linked = list(_linked(members.values(), links))
    return [*linked, Member("manifest.json", to_json(manifest))]


def _config_name(style: Style, one: Image) -> str:
    hexadecimal = one.config_digest.removeprefix("sha256:")
    return {"crane": f"sha256:{hexadecimal}", "docker25": f"blobs/sha256/{hexadecimal}"}.get(
        style, f"{hexadecimal}.json"
    )


def _layer_name(style: Style, number: int, place: int, plain: bytes) -> str:
    match style:
        case "classic":
            return f"{hashlib.sha256(b'%d %d ' % (number, place) + plain).hexdigest()}/layer.tar"
        case "podman":
            return f"{hashlib.sha256(plain).hexdigest()}.tar"
        case "crane":
            return f"{hashlib.sha256(wrap(plain, 'gzip')).hexdigest()}.tar.gz"
    return f"blobs/sha256/{hashlib.sha256(plain).hexdigest()}"


def _layer_members(style: Style, name: str, plain: bytes, compress: Compress) -> Iterator[Member]:
    content = wrap(plain, "gzip" if style == "crane" and compress == "none" else compress)
    if style == "classic":
        directory = name.removesuffix("/layer.tar")
        yield Member(directory, directory=True)
        yield Member(f"{directory}/VERSION", b"1.0")
        yield Member(f"{directory}/json", b"{}")
    yield Member(name, content)
    if style == "podman":
        yield Member(f"{hashlib.sha256(b'legacy ' + plain).hexdigest()}/layer.tar", link=f"../{name}")


def _linked(members: Iterable[Member], links: str) -> Iterator[Member]:
    first: dict[bytes, str] = {}
    for member in members:
        earlier = first.setdefault(member.data, member.name) if member.name.endswith("/layer.tar") else member.name
        if earlier == member.name or links == "none" or member.link is not None:
            yield member
        elif links == "symlink":
            yield Member(member.name, link=f"../{earlier}")
        else:
            yield Member(member.name, hardlink=earlier)


# --- OCI layouts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest or index as bytes, with everything below it. `blobs`: config first, then layers, by digest.
    `platform` and `artifact_type` go to the descriptor that an index or index.json has of it."""

    raw: bytes
    media_type: str
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    children: tuple[Node, ...] = ()
    platform: str | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        return digest_of(self.raw, self.algorithm)

    @property
    def descriptor(self) -> dict[str, Any]:
        members: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.raw)}
        if self.artifact_type is not None:
            members["artifactType"] = self.artifact_type
        if self.platform is not None:
            members["platform"] = platform_object(self.platform)
        if self.annotations:
            members["annotations"] = dict(self.annotations)
        return members

    @property
    def content(self) -> dict[str, bytes]:
        """Everything below and itself, by digest: what `blobs/` has to hold."""
        found = dict(self.blobs)
        for child in self.children:
            found |= child.content
        return found | {self.digest: self.raw}


def platform_object(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def descriptor(media_type: str, data: bytes, algorithm: str = "sha256", **more: object) -> dict[str, Any]:
    """A descriptor object of `data`, with more members as given."""
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data), **more}


def oci_image(
    sample: Image,
    *,
    compression: Compress = "gzip",
    docker: bool = False,
    subject: Node | None = None,
    platform: str | None = None,
    algorithm: str = "sha256",
) -> Node:
    """An image manifest over `sample`. `docker`: with Docker's media types. `platform`: for its place in an index."""
    stored = [wrap(plain, compression) for plain in sample.layers]
    layer_type = _layer_type(compression, docker)
    members: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, sample.config, algorithm),
        "layers": [descriptor(layer_type, data, algorithm) for data in stored],
    }
    if subject is not None:
        members["subject"] = descriptor(subject.media_type, subject.raw, subject.algorithm)
    blobs = {digest_of(data, algorithm): data for data in (sample.config, *stored)}
    return Node(to_json(members), members["mediaType"], blobs, platform=platform, algorithm=algorithm)


def _layer_type(compression: Compress, docker: bool) -> str:
    if docker:
        return DOCKER_LAYER + (".gzip" if compression == "gzip" else "")
    return OCI_LAYER + LAYER_SUFFIX.get(compression, "")


def oci_artifact(
    *blobs: bytes,
    artifact_type: str = "application/vnd.example.thing.v1",
    media_type: str = "application/octet-stream",
    subject: Node | None = None,
) -> Node:
    """A manifest with the empty config, as signatures and SBOMs are stored."""
    members: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor(OCI_EMPTY, b"{}"),
        "layers": [descriptor(media_type, data) for data in blobs],
    }
    if subject is not None:
        members["subject"] = descriptor(subject.media_type, subject.raw, subject.algorithm)
    held = {sha256(data): data for data in (b"{}", *blobs)}
    return Node(to_json(members), OCI_MANIFEST, held, artifact_type=artifact_type)


def attestation(subject: Node) -> Node:
    """What BuildKit puts into an index beside `subject`: a manifest of no platform that names it by annotation."""
    statement = to_json({"predicateType": "https://slsa.dev/provenance/v1", "subject": subject.digest})
    node = oci_artifact(statement, media_type="application/vnd.in-toto+json")
    annotations = {
        "vnd.docker.reference.digest": subject.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return replace(node, platform="unknown/unknown", artifact_type=None, annotations=annotations)


def oci_index(children: Sequence[Node], *, docker: bool = False, **members: object) -> Node:
    """An index over `children`, in order. `docker`: a manifest list. More members are added at the end."""
    media_type = DOCKER_LIST if docker else OCI_INDEX
    raw = to_json(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [child.descriptor for child in children],
            **members,
        }
    )
    return Node(raw, media_type, children=tuple(children))


@dataclass(frozen=True, slots=True)
class Entry:
    """One descriptor of index.json."""

    node: Node
    annotations: Mapping[str, str] = field(default_factory=dict)
    media_type: bool = True


def entry(
    node: Node,
    *,
    ref: str | None = None,
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    media_type: bool = True,
) -> Entry:
    """`ref`: org.opencontainers.image.ref.name; `name`: io.containerd.image.name; `media_type=False` leaves it out."""
    written = dict(annotations or {})
    if name is not None:
        written[IMAGE_NAME] = name
    if ref is not None:
        written[REF_NAME] = ref
    return Entry(node, written, media_type)


def oci_layout(
    entries: Sequence[Entry],
    *,
    hybrid: Sequence[Image] | None = None,
    index_last: bool = False,
    dotslash: bool = False,
    outer: Compress = "none",
    without: Iterable[str] = (),
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """An OCI image layout as a tar. `hybrid`: also a manifest.json of these images (their configs and plain layers are
    added where they are missing), as docker >= 25 writes it. `without`: digests whose blobs are left out. `more`: blobs
    by their digests that no image has."""
    members = oci_members(entries, hybrid=hybrid, without=without)
    members += files({blob_name(digest): data for digest, data in (more or {}).items()})
    if index_last:
        members.sort(key=lambda member: member.name in {"oci-layout", "index.json"})
    return wrap(tar(members, dotslash=dotslash), outer)


def oci_members(
    entries: Sequence[Entry], *, hybrid: Sequence[Image] | None = None, without: Iterable[str] = ()
) -> list[Member]:
    """The members of `oci_layout`, to be changed before they go to `tar`."""
    held: dict[str, bytes] = {}
    for one in entries:
        held |= one.node.content
    left_out = set(without)
    blobs = {blob_name(digest): data for digest, data in held.items() if digest not in left_out}
    members = {
        "oci-layout": to_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_listed(e) for e in entries]}),
        **blobs,
    }
    if hybrid is not None:
        members |= {member.name: member.data for member in docker_members(hybrid, style="docker25")}
    return files(members)


def blob_name(digest: str) -> str:
    """`blobs/<algorithm>/<hex>`."""
    return "blobs/" + digest.replace(":", "/")


def _listed(one: Entry) -> dict[str, Any]:
    members = one.node.descriptor
    if one.annotations:
        members["annotations"] = {**members.get("annotations", {}), **one.annotations}
    if not one.media_type:
        del members["mediaType"]
    return members
