"""Names of the descriptors in an image layout's index.json."""

from __future__ import annotations

from dataclasses import dataclass

from app.archive.placeholders import is_name
from app.errors import InvalidReference
from app.oci import Descriptor, Digest, Reference
from app.oci.media_types import (
    ANNOTATION_BY_DIGEST,
    ANNOTATION_IMAGE_NAME,
    ANNOTATION_REF_NAME,
    ANNOTATION_REPOSITORY,
    ANNOTATION_SOURCE_PREFIX,
    STORE_ANNOTATIONS,
)


@dataclass(frozen=True, slots=True)
class EmbeddedName:
    """The name of a descriptor; at most one field is set.

    `full` names a repository. `bare_tag` has no repository. `path` is a bare tag with the repository that the layout's
    directory names. `placeholder` is a text in the place of a name."""

    full: str | None = None
    bare_tag: str | None = None
    path: str | None = None
    placeholder: str | None = None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A digest in index.json, with the names of all its descriptors.

    `ties`: whether a tag may tie it to other content."""

    descriptor: Descriptor
    names: tuple[str, ...] = ()
    bare_tags: tuple[str, ...] = ()
    ties: bool = True
    paths: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    @property
    def is_named(self) -> bool:
        return bool(self.names or self.bare_tags or self.paths)


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of an index.json.

    `repository` is named by the directory of its layout; it is empty at the root, or if the directory is not a valid
    name."""

    descriptor: Descriptor
    repository: str = ""

    @property
    def name(self) -> EmbeddedName:
        name = embedded_name(self.descriptor)
        if name.bare_tag is None or not self.repository:
            return name
        return EmbeddedName(path=f"{self.repository}:{name.bare_tag}")


def embedded_name(descriptor: Descriptor) -> EmbeddedName:
    """Return the name in a descriptor's annotations.

    io.containerd.image.name is the full name; with it, ref.name is only the tag (buildx, docker, ctr). Without it,
    ref.name is used, which image-spec defines only as a string: skopeo and podman write the user's text, umoci and oras
    a tag."""
    annotations = descriptor.annotations
    if annotations.keys() & STORE_ANNOTATIONS:
        return _stored_name(descriptor)
    name, ref_name = annotations.get(ANNOTATION_IMAGE_NAME, ""), annotations.get(ANNOTATION_REF_NAME, "")
    if is_name(name):
        return EmbeddedName(full=name)
    if not is_name(ref_name):
        return EmbeddedName(placeholder=(name or ref_name) or None)
    if any(char in ref_name for char in ":/@"):
        return EmbeddedName(full=ref_name)
    for key, repositories in annotations.items():
        registry = key.removeprefix(ANNOTATION_SOURCE_PREFIX)
        repository = repositories.partition(",")[0]  # containerd lists every repository in which it saw the content
        if registry not in {key, ""} and repository:
            return EmbeddedName(full=f"{registry}/{repository}:{ref_name}")
    return EmbeddedName(bare_tag=ref_name)


def _stored_name(descriptor: Descriptor) -> EmbeddedName:
    """Return the name of an entry in the image store: of a tag, or of an image that was pushed by its digest."""
    annotations = descriptor.annotations
    if ANNOTATION_REF_NAME in annotations:
        return EmbeddedName(path=annotations[ANNOTATION_REF_NAME])
    if annotations.get(ANNOTATION_BY_DIGEST) != "true":
        return EmbeddedName()
    return EmbeddedName(path=f"{annotations.get(ANNOTATION_REPOSITORY)}@{descriptor.digest}")


def canonical(name: str) -> str:
    """Return the full form of a name, to compare names of different tools. An invalid name is returned unchanged."""
    try:
        return str(Reference.parse(name))
    except InvalidReference:
        return name
