"""What the descriptors of an image layout's index.json are called."""

from __future__ import annotations

from dataclasses import dataclass

from app.archive.placeholders import is_name
from app.errors import InvalidReference
from app.oci import Descriptor, Digest, Reference
from app.oci.media_types import ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, ANNOTATION_SOURCE_PREFIX


@dataclass(frozen=True, slots=True)
class EmbeddedName:
    """One of them is set, or none: `full` names a repository, `bare_tag` is a tag alone, `path` is such a tag and the
    repository that the directory of its layout names, and `placeholder` stands where there is no name."""

    full: str | None = None
    bare_tag: str | None = None
    path: str | None = None
    placeholder: str | None = None


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A digest that index.json lists, with the names of all descriptors that have it. `ties`: a tag of it may tie it to
    something else."""

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
    """An entry of an index.json. `repository`: what the directory of its layout names; empty at the root, or if no
    repository can be called so."""

    descriptor: Descriptor
    repository: str = ""

    @property
    def name(self) -> EmbeddedName:
        name = embedded_name(self.descriptor)
        if name.bare_tag is None or not self.repository:
            return name
        return EmbeddedName(path=f"{self.repository}:{name.bare_tag}")


def embedded_name(descriptor: Descriptor) -> EmbeddedName:
    """io.containerd.image.name is the full name where it is given; buildx, docker and ctr then have in ref.name the
    tag alone. Else ref.name, to which image-spec gives no meaning but that of a string: skopeo and podman write what
    the user typed, umoci and oras a tag."""
    annotations = descriptor.annotations
    name, ref_name = annotations.get(ANNOTATION_IMAGE_NAME, ""), annotations.get(ANNOTATION_REF_NAME, "")
    if is_name(name):
        return EmbeddedName(full=name)
    if not is_name(ref_name):
        return EmbeddedName(placeholder=(name or ref_name) or None)
    if any(char in ref_name for char in ":/@"):
        return EmbeddedName(full=ref_name)
    for key, repositories in annotations.items():
        registry = key.removeprefix(ANNOTATION_SOURCE_PREFIX)
        repository = repositories.partition(",")[0]  # containerd lists every repository it saw the content in
        if registry not in {key, ""} and repository:
            return EmbeddedName(full=f"{registry}/{repository}:{ref_name}")
    return EmbeddedName(bare_tag=ref_name)


def canonical(name: str) -> str:
    """To compare names that different tools write in different lengths; an invalid one stays as it is."""
    try:
        return str(Reference.parse(name))
    except InvalidReference:
        return name
