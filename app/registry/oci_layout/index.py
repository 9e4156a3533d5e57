"""LayoutIndex: the content of index.json in our OCI image layout, by repository (image-spec image-layout.md). Pure.

One layout contains many repositories. A tagged manifest is an entry whose `org.opencontainers.image.ref.name` is
`repository:tag`, so `skopeo copy oci:ROOT:repository:tag …` finds it. (skopeo 1.9 ignores entries with Docker's media
types, so those can only be pulled through `/v2/`.) An untagged manifest is an entry with the annotation
`tarmac.repository`. So is one whose tag has moved, because a registry keeps it. Entries of other tools without a
repository are preserved and hidden.

The annotation `tarmac.held` marks an entry whose content was checked when it was pushed. It lists the optional content
(foreign layers, children that are not manifests) that the repository had by then. `adoption` marks the entries that
other tools and version 0.1.0 wrote.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from app.errors import InvalidReference, MalformedArchive
from app.oci import Descriptor, Digest, parse_repository, parse_tag, strict_json
from app.oci.media_types import ANNOTATION_REF_NAME, OCI_INDEX, is_manifest

ANNOTATION_REPOSITORY = "tarmac.repository"
ANNOTATION_SUBJECT = "tarmac.subject"  # so that referrers are found without opening every manifest
ANNOTATION_HELD = "tarmac.held"  # digests, separated by spaces; may be empty
MAX_INDEX_BYTES = 64 << 20  # about 200,000 entries; a larger file was not written by Tarmac
EMPTY_INDEX = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}'.encode()


@dataclass(frozen=True, slots=True)
class IndexRoot:
    """A manifest named in index.json.

    `text` is its entry as JSON, stored so that writing the file is one join. `held` is the optional content that its
    repository has; None if the content of the entry has not been checked yet.
    """

    media_type: str
    digest: Digest
    size: int
    subject: Digest | None
    text: str
    held: frozenset[Digest] | None = None

    @classmethod
    def of(
        cls,
        manifest: tuple[Descriptor, Digest | None],
        name: tuple[str, str | None],
        held: Collection[Digest] | None = None,
    ) -> IndexRoot:
        """Return the entry of `manifest` (with the digest of its subject) under `name` (repository, and tag if any)."""
        descriptor, subject = manifest
        annotations = _annotations(*name) | ({ANNOTATION_SUBJECT: str(subject)} if subject else {})
        entry = {
            "mediaType": descriptor.media_type,
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "annotations": annotations,
        }
        root = cls(descriptor.media_type, descriptor.digest, descriptor.size, subject, _dump(entry))
        return root if held is None else root.marked(held)

    def marked(self, held: Collection[Digest]) -> IndexRoot:
        """Return the same entry, marked as checked and with `held` as its optional content."""
        entry = json.loads(self.text)
        annotations = entry.get("annotations") or {}
        text = " ".join(sorted(map(str, held)))
        return replace(
            self, text=_dump({**entry, "annotations": {**annotations, ANNOTATION_HELD: text}}), held=frozenset(held)
        )

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


def _annotations(repository: str, tag: str | None) -> dict[str, str]:
    return {ANNOTATION_REPOSITORY: repository} if tag is None else {ANNOTATION_REF_NAME: f"{repository}:{tag}"}


@dataclass(frozen=True, slots=True)
class LayoutIndex:
    """The document.

    `repositories`: repository -> tag, or digest as text for an untagged manifest -> IndexRoot. `others` are the entries
    without a repository, `head` the other members of the document.
    """

    repositories: Mapping[str, Mapping[str, IndexRoot]]
    others: tuple[str, ...]
    head: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> LayoutIndex:
        """Parse the document. Raises MalformedArchive and LimitExceeded."""
        members = strict_json(raw, what="index.json", limit=MAX_INDEX_BYTES)
        if not isinstance(members, dict) or not isinstance(members.get("manifests"), list):
            raise MalformedArchive("index.json is not an image index")
        repositories: dict[str, dict[str, IndexRoot]] = {}
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
        """Return the document as bytes."""
        entries = [root.text for held in self.repositories.values() for root in held.values()]
        head = _dump(dict(self.head))[:-1]
        return f'{head}{"," if self.head else ""}"manifests":[{",".join([*entries, *self.others])}]}}'.encode()

    def tags(self, repository: str) -> list[str]:
        return sorted(key for key in self.repositories.get(repository, {}) if ":" not in key)

    def roots(self, repository: str) -> Iterator[IndexRoot]:
        """Yield each manifest that the repository names, once per name."""
        yield from self.repositories.get(repository, {}).values()

    def find(self, repository: str, reference: str) -> IndexRoot | None:
        """Return the manifest under a tag or a digest of `repository`."""
        found = self.repositories.get(repository, {})
        root = found.get(reference)
        if root is None and ":" in reference:
            algorithm, _, encoded = reference.partition(":")
            # compares two strings per entry: 0.3 ms for 6,000 of them
            return next(
                (r for r in found.values() if (r.digest.encoded, r.digest.algorithm) == (encoded, algorithm)), None
            )
        return root

    def with_manifest(
        self,
        repository: str,
        tag: str | None,
        manifest: tuple[Descriptor, Digest | None],
        held: Collection[Digest] = (),
    ) -> LayoutIndex:
        """Return this index with a manifest (and the digest of its subject) in `repository`, under `tag` if given.

        `held` is the optional content that the repository has. Return the same object if nothing changes.
        """
        former = self.find(repository, str(manifest[0].digest) if tag is None else tag)
        if former is not None and former.digest == manifest[0].digest:
            return self._with_held(repository, former, held)
        root = IndexRoot.of(manifest, (repository, tag), held)
        entries = dict(self.repositories.get(repository, {}))
        entries[tag or str(root.digest)] = root
        if tag is not None:
            replaced = entries.pop(str(root.digest), None)
            entries[tag] = root if replaced is None else root.marked({*held, *(replaced.held or ())})
        if former is not None and former.digest not in {other.digest for other in entries.values()}:
            entries[str(former.digest)] = IndexRoot.of(
                (former.descriptor, former.subject), (repository, None), former.held
            )
        return self._with_entries(repository, entries)

    def _with_held(self, repository: str, root: IndexRoot, held: Collection[Digest]) -> LayoutIndex:
        if root.held is not None and root.held.issuperset(held):
            return self
        entries = self.repositories[repository]
        key = next(key for key, entry in entries.items() if entry is root)
        return self._with_entries(repository, {**entries, key: root.marked({*held, *(root.held or ())})})

    def _with_entries(self, repository: str, entries: Mapping[str, IndexRoot]) -> LayoutIndex:
        return replace(self, repositories=MappingProxyType({**self.repositories, repository: entries}))


def _read(entry: object, text: str) -> tuple[str, str, IndexRoot]:
    descriptor = Descriptor.parse(entry, "an entry of index.json")
    if not is_manifest(descriptor.media_type):  # the image-spec permits entries of any type
        raise MalformedArchive(f"{descriptor.media_type} is not a manifest")
    subject = descriptor.annotations.get(ANNOTATION_SUBJECT)
    held = descriptor.annotations.get(ANNOTATION_HELD)
    root = IndexRoot(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        Digest.parse(subject) if subject is not None else None,
        text,
        None if held is None else frozenset(map(Digest.parse, held.split())),
    )
    name = descriptor.annotations.get(ANNOTATION_REF_NAME)
    if name is None:
        return parse_repository(descriptor.annotations.get(ANNOTATION_REPOSITORY, "")), str(root.digest), root
    repository, _, tag = name.rpartition(":")
    return parse_repository(repository), parse_tag(tag), root


def _dump(members: object) -> str:
    return json.dumps(members, separators=(",", ":"))
