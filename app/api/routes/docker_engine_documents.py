"""The documents of Docker's Engine API that its clients need here."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app import __version__
from app.errors import ArchiveError, RegistryFault
from app.oci import Descriptor, Manifest, Reference, parse_manifest, strict_json
from app.registry import MAX_CONFIG_BYTES, Registry, StoredManifest

API_VERSION = "1.43"  # clients with a newer version use this one
MIN_API_VERSION = "1.24"  # the oldest version that the docker package accepts
ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}


class _DockerModel(BaseModel):
    model_config = ConfigDict(extra="allow")


class VersionDocument(_DockerModel):
    """Tarmac's version, and the members that Docker's clients check first."""

    name: str = "tarmac"
    version: str = __version__
    Version: str = __version__
    ApiVersion: str = API_VERSION
    MinAPIVersion: str = MIN_API_VERSION
    Os: str = "linux"
    Arch: str = Field(default_factory=lambda: ARCHITECTURES.get(platform.machine(), platform.machine()))
    Platform: dict[str, str] = {"Name": "Tarmac"}
    Components: list[dict[str, str]] = [{"Name": "Tarmac", "Version": __version__}]


class DockerImageDocument(_DockerModel):
    """An image in the registry. `Id` is the digest of its manifest or index; an index has no members of a config."""

    Id: str
    RepoTags: list[str]
    RepoDigests: list[str]
    Architecture: str = ""
    Os: str = ""
    Created: str = ""
    Size: int = Field(description="Bytes of config and layers as they are stored.")
    Config: dict[str, Any] = {}
    RootFS: dict[str, Any] = {}
    Descriptor: dict[str, Any]


class DockerError(_DockerModel):
    """The message, with the members of a problem document."""

    message: str


async def image_document(registry: Registry, reference: Reference, stored: StoredManifest) -> DockerImageDocument:
    """Return the document of the image at `reference`. Raises RegistryError."""
    descriptor = Descriptor(stored.media_type, stored.digest, len(stored.raw))
    try:
        manifest = parse_manifest(stored.raw, descriptor)
        config = await _config(registry, reference.repository, manifest)
    except ArchiveError as error:
        raise RegistryFault(f"{reference} cannot be read: {error}") from None
    name = f"{reference.registry}/{reference.repository}"
    told = {"mediaType": stored.media_type, "digest": str(stored.digest), "size": descriptor.size}
    return DockerImageDocument(
        Id=str(stored.digest),
        RepoTags=[f"{name}:{reference.tag}"] if reference.tag else [],
        RepoDigests=[f"{name}@{stored.digest}"],
        Architecture=_text(config, "architecture"),
        Os=_text(config, "os"),
        Created=_text(config, "created"),
        Size=sum(blob.size for blob in manifest.blobs),
        Config=_object(config, "config"),
        RootFS={"Type": "layers", "Layers": _object(config, "rootfs").get("diff_ids", [])},
        Descriptor=told,
    )


async def _config(registry: Registry, repository: str, manifest: Manifest) -> Mapping[str, Any]:
    if manifest.config is None:
        return {}
    raw = await registry.read_config(repository, manifest.config)
    members = strict_json(raw, what=f"config {manifest.config.digest}", limit=MAX_CONFIG_BYTES) if raw else {}
    return members if isinstance(members, dict) else {}


def _text(members: Mapping[str, Any], name: str) -> str:
    found = members.get(name)
    return found if isinstance(found, str) else ""


def _object(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = members.get(name)
    return found if isinstance(found, dict) else {}
