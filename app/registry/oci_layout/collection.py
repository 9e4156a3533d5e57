"""Collection: deletes expired and requested entries, and content without references. Everything here blocks.

First the entries are removed from index.json, in one step; then the files of blobs without references are deleted. A
process that is killed in between leaves files that the next collection deletes. `uses` protects running pushes and
pulls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from app.errors import ArchiveError, RegistryFault
from app.oci import Descriptor, Digest
from app.oci.media_types import is_manifest
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import Entries, LayoutIndex, with_former
from app.registry.oci_layout.reachability import RetentionRule, attached_to, expired_keys, reachable_keys
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.oci_layout.uses import Needed

MAX_DELETED = 200  # blobs that are deleted while pushes wait

May = Callable[[str], bool]
"""Return whether the caller may change a repository."""
Edit = Callable[[str, Entries, Needed], Entries]
"""Return the new entries of a repository; `needed` content stays."""
_NOTHING = Needed()


@dataclass(frozen=True, slots=True)
class DeletedEntry:
    """An entry deleted from a repository: a tag, or a manifest if `tag` is None."""

    repository: str
    tag: str | None
    digest: Digest


@dataclass(frozen=True, slots=True)
class Collected:
    """The result of a collection. `in_use_bytes`: size of the garbage that running pushes and pulls still need."""

    entries: tuple[DeletedEntry, ...] = ()
    blobs: int = 0
    freed_bytes: int = 0
    in_use_bytes: int = 0

    @property
    def tags(self) -> int:
        return sum(entry.tag is not None for entry in self.entries)

    @property
    def manifests(self) -> int:
        return len(self.entries) - self.tags


@dataclass(frozen=True, slots=True)
class Scope:
    """The repositories that a collection may change; `is_whole`: also blobs of no repository."""

    may: May
    is_whole: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class _Sweep:
    """Garbage blobs with their sizes: those that are deleted, and those that are still in use."""

    deleted: dict[Digest, int] = field(default_factory=dict)
    in_use: dict[Digest, int] = field(default_factory=dict)


class Collector:
    """Collects in the layout of `registry`. `now`: seconds since 1970."""

    def __init__(self, registry: LayoutRegistry, now: Callable[[], float]) -> None:
        self._registry = registry
        self._files = registry.files
        self._now = now

    def delete(self, repository: str, keys: Callable[[Entries], Collection[str]]) -> Collected:
        """Delete entries of one repository, and what only they referred to.

        `keys` selects them, and may raise. Raises RegistryFault.
        """

        def edit(place: str, entries: Entries, needed: Needed) -> Entries:
            kept = self._reachable(place, entries, needed)
            left = _without(place, entries, _with_attached(entries, keys(entries)))
            lost = (kept & left.keys() | left.keys() - entries.keys()) - self._reachable(place, left, needed)
            return {key: root for key, root in left.items() if key not in lost}

        return self._collect(edit, Scope(frozenset({repository}).__contains__))

    def prune(self, rule: RetentionRule, scope: Scope, age_of: Callable[[IndexRoot], float] | None = None) -> Collected:
        """Delete what `rule` expires, and content without references.

        `age_of` returns the age of an entry in seconds, instead of that of its push. Raises RegistryFault before
        anything is deleted if a manifest is damaged, because its references are unknown.
        """
        self._live(self._registry.index())

        def edit(place: str, entries: Entries, needed: Needed) -> Entries:
            expired = expired_keys(entries, rule, self._pushed, age_of or self.age_of)
            left = dict(_without(place, entries, [key for key in expired if ":" not in key]))
            left |= {key: entries[key].kept_by_digest(False) for key in expired if ":" in key}
            kept = self._reachable(place, left, needed)
            return {key: root for key, root in left.items() if key in kept}

        return self._collect(edit, scope)

    def age_of(self, root: IndexRoot) -> float:
        """Return the seconds since the last push of an entry."""
        return self._now() - self._pushed(root)

    def _pushed(self, root: IndexRoot) -> float:
        return root.stamp.at if root.stamp is not None else self._files.blob_time(root.digest)

    def _reachable(self, repository: str, entries: Entries, needed: Needed) -> frozenset[str]:
        used = [digest for place, digest in needed.manifests if place == repository]
        return reachable_keys(entries, self._registry.children, used)

    def _collect(self, edit: Edit, scope: Scope) -> Collected:
        before = wanted = after = self._registry.index()

        def change(index: LayoutIndex) -> LayoutIndex:
            nonlocal before, wanted, after
            before = index
            wanted, after = (_edited(index, edit, scope.may, uses) for uses in (_NOTHING, needed))
            return before if scope.dry_run else after

        with self._registry.uses.gate(shared=False):
            needed = self._registry.uses.read()
            self._registry.change_index(change)
        removed = tuple(_deleted(before, after, scope.may))
        candidates = dict(self._content(before, _deleted(before, wanted, scope.may)))
        freed = 0
        if scope.is_whole:
            candidates.update(self._files.blobs())
            freed = 0 if scope.dry_run else self._files.clear_incoming()
        try:
            live = self._live(wanted)
        except RegistryFault:  # another image is damaged; a later collection deletes the blobs
            return Collected(removed)
        garbage = {digest: size for digest, size in candidates.items() if digest not in live}
        sweep = self._sweep(garbage, after if scope.dry_run else None)
        if not scope.is_whole:  # do not reveal whether other repositories have a blob
            own = self._live(after, scope.may)
            sweep.deleted = {digest: size for digest, size in candidates.items() if digest not in own}
        return Collected(removed, len(sweep.deleted), freed + sum(sweep.deleted.values()), sum(sweep.in_use.values()))

    def _sweep(self, garbage: Mapping[Digest, int], planned: LayoutIndex | None) -> _Sweep:
        """Delete the `garbage` that is not in use; with `planned`, only find it."""
        sweep, digests = _Sweep(), list(garbage)
        index = planned or self._registry.index()
        live = self._live(index)
        for start in range(0, len(digests), MAX_DELETED):
            with self._registry.uses.gate(shared=False):
                newest = planned or self._registry.index()
                if newest is not index:
                    index, live = newest, self._live(newest)
                needed = self._registry.uses.read().digests
                for digest in digests[start : start + MAX_DELETED]:
                    size = self._files.blob_size(digest)
                    if size is None:
                        continue
                    if digest in live or digest in needed:
                        sweep.in_use[digest] = size
                        continue
                    sweep.deleted[digest] = size
                    if planned is None:
                        self._files.delete_blob(digest)
        return sweep

    def _content(self, index: LayoutIndex, deleted: Iterable[DeletedEntry]) -> Iterator[tuple[Digest, int]]:
        for entry in deleted:
            root = index.find(entry.repository, str(entry.digest)) if entry.tag is None else None
            if root is None:
                continue
            yield root.digest, root.size
            with suppress(RegistryFault):
                content = self._registry.manifests.content(root.descriptor)
                yield from () if content is None else content.required.items()
                optional = {} if content is None else content.optional
                yield from ((blob, size) for blob, size in optional.items() if blob in (root.held or ()))

    def _live(self, index: LayoutIndex, may: May = lambda _: True) -> set[Digest]:
        """Return all content reachable from index.json, including entries of other tools, which no repository has."""
        live = set[Digest]()
        for repository, entries in index.repositories.items():
            for root in entries.values() if may(repository) else ():
                live.add(root.digest)
                live.update(root.held or ())
                content = self._registry.manifests.content(root.descriptor)
                live.update(() if content is None else content.required)
        live.update(self._foreign(index.others))
        return live

    def _foreign(self, entries: Iterable[str]) -> Iterator[Digest]:
        pending = list(filter(None, map(_descriptor, entries)))
        seen = set[Digest]()
        while pending:
            descriptor = pending.pop()
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            yield descriptor.digest
            content = self._registry.manifests.content(descriptor) if is_manifest(descriptor.media_type) else None
            if content is not None:
                yield from (*content.required, *content.optional)
                pending += content.children


def _descriptor(entry: str) -> Descriptor | None:
    try:
        return Descriptor.parse(json.loads(entry), "an entry of index.json")
    except ArchiveError:
        return None


def _with_attached(entries: Entries, keys: Collection[str]) -> frozenset[str]:
    """Return `keys` and the tags of cosign that belong to a manifest deleted with them."""
    gone = {entries[key].digest for key in keys if key in entries}
    left = {root.digest for key, root in entries.items() if key not in keys}
    return frozenset(keys).union(key for key in entries if attached_to(key) in gone - left)


def _without(repository: str, entries: Entries, keys: Collection[str]) -> Entries:
    """Return `entries` without `keys`. A manifest that loses its last tag stays as an untagged one."""
    left: Entries = {key: root for key, root in entries.items() if key not in keys}
    for key in keys:
        if ":" not in key and key in entries and str(entries[key].digest) not in keys:
            left = with_former(repository, left, entries[key])
    return left


def _edited(index: LayoutIndex, edit: Edit, may: May, needed: Needed) -> LayoutIndex:
    for repository, entries in index.repositories.items():
        if may(repository):
            index = index.with_repository(repository, edit(repository, entries, needed))
    return index


def _deleted(before: LayoutIndex, after: LayoutIndex, may: May) -> Iterator[DeletedEntry]:
    for repository, entries in sorted(before.repositories.items()):
        left = after.repositories.get(repository, {})
        if left is entries or not may(repository):
            continue
        tags = (key for key in entries if ":" not in key and key not in left)
        yield from (DeletedEntry(repository, tag, entries[tag].digest) for tag in tags)
        digests = {root.digest for root in entries.values()} - {root.digest for root in left.values()}
        yield from (DeletedEntry(repository, None, digest) for digest in sorted(digests, key=str))
