"""LayoutIndex: what the index.json of our OCI image layout says, by repository (image-spec image-layout.md). Pure.

One layout holds many repositories. A tagged manifest is an entry whose `org.opencontainers.image.ref.name` is
`repository:tag`, which `skopeo copy oci:ROOT:repository:tag …` finds as it stands (skopeo 1.9 passes over entries of
Docker's media types, so those are pulled through `/v2/` alone). A manifest that has no tag is an entry of ours with
the annotation `tarmac.repository`; so is one whose tag has moved on, because a registry keeps it. Entries of other
tools that name no repository are kept as they are and shown to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from app.errors import InvalidReference, MalformedArchive
from app.oci import Descriptor, Digest, parse_repository, parse_tag, strict_json
from app.oci.media_types import ANNOTATION_REF_NAME, OCI_INDEX, is_manifest

ANNOTATION_REPOSITORY = "tarmac.repository"
ANNOTATION_SUBJECT = "tarmac.subject"  # so that referrers are found without opening every manifest
MAX_INDEX_BYTES = 64 << 20  # some 200,000 entries; a larger file is not one that we wrote
EMPTY_INDEX = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}'.encode()


@dataclass(frozen=True, slots=True)
class Root:
    """A manifest that index.json names. `text` is its entry as JSON, kept so that writing the file is one join."""

    media_type: str
    digest: Digest
    size: int
    subject: Digest | None
    text: str

    @classmethod
    def of(cls, descriptor: Descriptor, subject: Digest | None, name: tuple[str, str | None]) -> Root:
        """`name` is the repository and the tag, if it has one."""
        annotations = _annotations(*name) | ({ANNOTATION_SUBJECT: str(subject)} if subject else {})
        entry = {
            "mediaType": descriptor.media_type,
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "annotations": annotations,
        }
        return cls(descriptor.media_type, descriptor.digest, descriptor.size, subject, _dump(entry))

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


def _annotations(repository: str, tag: str | None) -> dict[str, str]:
    return {ANNOTATION_REPOSITORY: repository} if tag is None else {ANNOTATION_REF_NAME: f"{repository}:{tag}"}


@dataclass(frozen=True, slots=True)
class LayoutIndex:
    """`repositories`: repository -> tag, or digest as text for a manifest without a tag -> Root. `others` are the
    entries that name no repository, `head` the other members of the document."""

    repositories: Mapping[str, Mapping[str, Root]]
    others: tuple[str, ...]
    head: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> LayoutIndex:
        """Raises MalformedArchive, LimitExceeded."""
        members = strict_json(raw, what="index.json", limit=MAX_INDEX_BYTES)
        if not isinstance(members, dict) or not isinstance(members.get("manifests"), list):
            raise MalformedArchive("index.json is not an image index")
        repositories: dict[str, dict[str, Root]] = {}
        others = []
        for entry in members.pop("manifests"):
            text = _dump(entry)
            try:
                repository, key, root = _read(entry, text)
            except (MalformedArchive, InvalidReference):
                others.append(text)
            else:
                repositories.setdefault(repository, {})[key] = root
        return cls(MappingProxyType(repositories), tuple(others), MappingProxyType(members))

    def dump(self) -> bytes:
        """The document as it is written."""
        entries = [root.text for held in self.repositories.values() for root in held.values()]
        head = _dump(dict(self.head))[:-1]
        return f'{head}{"," if self.head else ""}"manifests":[{",".join([*entries, *self.others])}]}}'.encode()

    def tags(self, repository: str) -> list[str]:
        return sorted(key for key in self.repositories.get(repository, {}) if ":" not in key)

    def roots(self, repository: str) -> Iterator[Root]:
        """Each manifest that the repository names, once or more."""
        yield from self.repositories.get(repository, {}).values()

    def find(self, repository: str, reference: str) -> Root | None:
        """`reference` is a tag or a digest."""
        root = self.repositories.get(repository, {}).get(reference)
        if root is None and ":" in reference:
            return next((root for root in self.roots(repository) if str(root.digest) == reference), None)
        return root

    def with_manifest(
        self, repository: str, tag: str | None, manifest: tuple[Descriptor, Digest | None]
    ) -> LayoutIndex:
        """This index with a manifest (and the digest of its subject) in `repository`, under `tag` if there is one.
        The same object where nothing changes."""
        former = self.find(repository, str(manifest[0].digest) if tag is None else tag)
        if former is not None and former.digest == manifest[0].digest:
            return self
        root = Root.of(*manifest, (repository, tag))
        held = dict(self.repositories.get(repository, {}))
        held[tag or str(root.digest)] = root
        if tag is not None:
            held.pop(str(root.digest), None)
        if former is not None and former.digest not in {other.digest for other in held.values()}:
            held[str(former.digest)] = Root.of(former.descriptor, former.subject, (repository, None))
        return replace(self, repositories=MappingProxyType({**self.repositories, repository: held}))


def _read(entry: object, text: str) -> tuple[str, str, Root]:
    descriptor = Descriptor.parse(entry, "an entry of index.json")
    if not is_manifest(descriptor.media_type):  # image-spec lets an entry be anything
        raise MalformedArchive(f"{descriptor.media_type} is not a manifest")
    subject = descriptor.annotations.get(ANNOTATION_SUBJECT)
    root = Root(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        Digest.parse(subject) if subject is not None else None,
        text,
    )
    name = descriptor.annotations.get(ANNOTATION_REF_NAME)
    if name is None:
        return parse_repository(descriptor.annotations.get(ANNOTATION_REPOSITORY, "")), str(root.digest), root
    repository, _, tag = name.rpartition(":")
    return parse_repository(repository), parse_tag(tag), root


def _dump(members: object) -> str:
    return json.dumps(members, separators=(",", ":"))
