"""LayoutIndex: the content of index.json in our OCI image layout, by repository (image-spec image-layout.md). Pure.

One layout contains many repositories. A tagged manifest is an entry whose `org.opencontainers.image.ref.name` is
`repository:tag`, so `skopeo copy oci:ROOT:repository:tag …` finds it. (skopeo 1.9 ignores entries with Docker's media
types, so those can only be pulled through `/v2/`.) An untagged manifest is an entry with the annotation
`tarmac.repository`. So is one whose tag has moved, because a registry keeps it. Entries of other tools without a
repository are preserved and hidden.

The annotation `tarmac.held` marks an entry whose content was checked when it was pushed. It lists the optional content
(foreign layers, children that are not manifests) that the repository had by then. `adoption` marks the entries that
other tools and version 0.1.0 wrote. An entry without a tag is kept by a collection if `tarmac.by-digest` is
`true`, or if an entry that is kept refers to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from app.errors import InvalidReference, MalformedArchive
from app.oci import Descriptor, Digest, strict_json
from app.oci.media_types import OCI_INDEX
from app.registry.oci_layout.entry import IndexRoot, PushStamp, dump, read_entry

Entries = Mapping[str, IndexRoot]
"""The entries of one repository, by tag, or by digest as text for an untagged manifest."""
MAX_INDEX_BYTES = 64 << 20  # about 200,000 entries; a larger file was not written by Tarmac
EMPTY_INDEX = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}'.encode()


@dataclass(frozen=True, slots=True)
class LayoutIndex:
    """The document.

    `repositories`: repository -> tag, or digest as text for an untagged manifest -> IndexRoot. `others` are the entries
    without a repository, `head` the other members of the document.
    """

    repositories: Mapping[str, Mapping[str, IndexRoot]]
    others: tuple[str, ...]
    head: Mapping[str, Any]
    # by repository: the entries that were searched for a digest, and after a second search the manifests by digest
    _searched: dict[str, tuple[Entries, Entries | None]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, raw: bytes) -> LayoutIndex:
        """Parse the document. Raises MalformedArchive and LimitExceeded."""
        members = strict_json(raw, what="index.json", limit=MAX_INDEX_BYTES)
        if not isinstance(members, dict) or not isinstance(members.get("manifests"), list):
            raise MalformedArchive("index.json is not an image index")
        repositories: dict[str, dict[str, IndexRoot]] = {}
        others = []
        for entry in members.pop("manifests"):
            text = dump(entry)
            try:
                repository, key, root = read_entry(entry, text)
            except (MalformedArchive, InvalidReference):
                others.append(text)
            else:
                repositories.setdefault(repository, {})[key] = root
        return cls(MappingProxyType(repositories), tuple(others), MappingProxyType(members))

    def dump(self) -> bytes:
        """Return the document as bytes."""
        entries = [root.text for held in self.repositories.values() for root in held.values()]
        head = dump(dict(self.head))[:-1]
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
        return self._by_digest(repository, found, reference) if root is None and ":" in reference else root

    def _by_digest(self, repository: str, entries: Entries, digest: str) -> IndexRoot | None:
        """Return the manifest with a digest. An index may refer to 20,000 manifests that the repository lacks."""
        searched, manifests = self._searched.get(repository, (None, None))
        if searched is not entries:
            self._searched[repository] = entries, None
            algorithm, _, encoded = digest.partition(":")
            # compares two strings per entry: 0.3 ms for 6,000 of them
            pairs = ((root, root.digest) for root in entries.values())
            return next((root for root, one in pairs if (one.encoded, one.algorithm) == (encoded, algorithm)), None)
        if manifests is None:
            manifests = {str(root.digest): root for root in reversed(list(entries.values()))}
            self._searched[repository] = entries, manifests
        return manifests.get(digest)

    def with_manifest(
        self,
        repository: str,
        tag: str | None,
        manifest: tuple[Descriptor, Digest | None],
        held: Collection[Digest] = (),
        stamp: PushStamp | None = None,
    ) -> LayoutIndex:
        """Return this index with a manifest (and the digest of its subject) in `repository`, under `tag` if given.

        `held` is the optional content that the repository has, `stamp` the push. Return the same object if nothing
        changes.
        """
        reference = str(manifest[0].digest) if tag is None else tag
        former = self.find(repository, reference)
        if former is not None and former.digest == manifest[0].digest:
            same = self._with_held(repository, former, held)
            return same if tag is None or stamp is None else same.with_kept(repository, tag, stamp)
        entries = dict(self.repositories.get(repository, {}))
        root = IndexRoot.of(manifest, (repository, tag), held, stamp)
        if tag is None:
            entries[str(root.digest)] = root.kept_by_digest(False)
            return self._with_entries(repository, entries)
        untagged = entries.get(str(root.digest))
        if untagged is not None and not untagged.by_digest:
            del entries[str(root.digest)]
            root = root.marked({*held, *(untagged.held or ())})
        entries[tag] = root
        return self._with_entries(repository, with_former(repository, entries, former))

    def with_kept(self, repository: str, reference: str, stamp: PushStamp | None = None) -> LayoutIndex:
        """Return this index with the manifest under `reference` pushed once more: under a digest it is kept though no
        tag names it. Return the same object if nothing changes, or if there is none.
        """
        found = self.find(repository, reference)
        if found is None:
            return self
        root = self.repositories[repository].get(reference)
        if root is None:
            root = IndexRoot.of((found.descriptor, found.subject), (repository, None), found.held)
        same = root if stamp is None or root.has_stamp_of(stamp) else root.stamped(stamp)
        if ":" in reference and not root.by_digest:
            same = same.kept_by_digest(True)
        return self if same is root else self._with_entry(repository, reference, same)

    def with_by_digest(self, repository: str, kept: Mapping[str, bool]) -> LayoutIndex:
        """Return this index with entries without a tag marked as `kept` says, by digest."""
        entries = dict(self.repositories[repository])
        entries |= {key: entries[key].kept_by_digest(flag) for key, flag in kept.items()}
        return self._with_entries(repository, entries)

    def without_tag(self, repository: str, tag: str) -> LayoutIndex:
        """Return this index without the tag; the manifest stays, to be pulled by its digest."""
        entries = dict(self.repositories.get(repository, {}))
        former = entries.pop(tag, None)
        return self.with_repository(repository, with_former(repository, entries, former))

    def with_repository(self, repository: str, entries: Mapping[str, IndexRoot]) -> LayoutIndex:
        """Return this index with `entries` as those of `repository`; without entries, the repository is removed."""
        if entries == self.repositories.get(repository, {}):
            return self
        return self._with_entries(repository, entries)

    def _with_held(self, repository: str, root: IndexRoot, held: Collection[Digest]) -> LayoutIndex:
        if root.held is not None and root.held.issuperset(held):
            return self
        entries = self.repositories[repository]
        key = next(key for key, entry in entries.items() if entry is root)
        return self._with_entry(repository, key, root.marked({*held, *(root.held or ())}))

    def _with_entry(self, repository: str, key: str, root: IndexRoot) -> LayoutIndex:
        return self._with_entries(repository, {**self.repositories[repository], key: root})

    def _with_entries(self, repository: str, entries: Mapping[str, IndexRoot]) -> LayoutIndex:
        repositories = {**self.repositories, repository: entries}
        if not entries:
            del repositories[repository]
        return replace(self, repositories=MappingProxyType(repositories))


def with_former(repository: str, entries: Mapping[str, IndexRoot], former: IndexRoot | None) -> Mapping[str, IndexRoot]:
    """Return `entries` with one for `former`, which has lost a tag, if there is none for its digest."""
    if former is None or former.digest in {other.digest for other in entries.values()}:
        return entries
    root = IndexRoot.of((former.descriptor, former.subject), (repository, None), former.held, former.stamp)
    return {**entries, str(former.digest): root.kept_by_digest(False)}
