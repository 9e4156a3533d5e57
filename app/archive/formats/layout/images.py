"""Build images from the descriptors of index.json: one per digest, with referrers at their subjects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from app.archive.formats.layout.names import IndexEntry, Listed, canonical
from app.archive.formats.layout.tagged_referrers import split_tagged_referrers
from app.archive.formats.reading.manifest_graph import ManifestGraph
from app.archive.model import ImageEntry, Limits, TaggedReferrer
from app.archive.placeholders import is_name, split_names
from app.errors import LimitExceeded, join_limited
from app.oci import Descriptor, Digest


def collect_entries(entries: Iterable[Listed], limits: Limits) -> tuple[IndexEntry, ...]:
    """Merge the entries of equal digests, in order of first appearance. Raises LimitExceeded.

    A bare tag is dropped if another descriptor of the same content has the full name with that tag."""
    found: dict[Digest, tuple[Descriptor, tuple[dict[str, None], ...]]] = {}
    for entry in entries:
        digest, name = entry.descriptor.digest, entry.name
        _, known = found.setdefault(digest, (entry.descriptor, ({}, {}, {}, {})))
        for names, text in zip(known, (name.full, name.bare_tag, name.path, name.placeholder), strict=True):
            if text is not None:
                names[text] = None
        if sum(map(len, known)) > limits.tags:
            raise LimitExceeded(f"image {digest} has more than {limits.tags} names")
    return tuple(
        IndexEntry(first, tuple(names), tuple(tags), paths=tuple(paths), placeholders=tuple(others))
        for first, (names, tags, paths, others) in found.values()
    )


def name_by_repo_tags(
    top_levels: Sequence[IndexEntry], graph: ManifestGraph, repo_tags: Mapping[Digest, tuple[str, ...]]
) -> tuple[tuple[IndexEntry, ...], tuple[str, ...]]:
    """Name the entries without a full name by the RepoTags of the same image, and return them with notes.

    `repo_tags` is by config digest; for an index, docker and containerd list one of its images. If both documents name
    an image, index.json takes precedence. A note lists names that are only in manifest.json."""
    nameless = [
        image.digest for image in top_levels if not (image.names or image.paths) and image.digest not in graph.parents
    ]
    owners = graph.first_owners(nameless)
    found: dict[Digest, dict[str, None]] = {}
    for manifest in graph.manifests.values():
        owner = owners.get(manifest.descriptor.digest)
        if owner is not None and manifest.config is not None:
            found.setdefault(owner, {}).update(dict.fromkeys(repo_tags.get(manifest.config.digest, ())))
    named = tuple(_with_names(image, split_names(found.get(image.digest, ()))) for image in top_levels)
    known = {canonical(name) for image in named for name in image.names}
    ignored = [name for names in repo_tags.values() for name in names if is_name(name) and canonical(name) not in known]
    if not ignored:
        return named, ()
    return named, (f"names in manifest.json that index.json does not have are ignored: {join_limited(ignored)}",)


def _with_names(image: IndexEntry, found: tuple[tuple[str, ...], tuple[str, ...]]) -> IndexEntry:
    """Add the names that were found; they replace bare tags."""
    names, placeholders = found
    if placeholders:
        image = replace(image, placeholders=tuple(dict.fromkeys((*image.placeholders, *placeholders))))
    return replace(image, names=names, bare_tags=()) if names else image


def build_images(top_levels: Sequence[IndexEntry], graph: ManifestGraph, limits: Limits) -> tuple[ImageEntry, ...]:
    """Return one image per entry of index.json. Raises LimitExceeded.

    No image is made for an unnamed entry that is in a listed index (oras lists children) or has a `subject` in the
    archive. The same applies to an entry that a tag ties to other content of the archive."""
    independent, attached = split_tagged_referrers(top_levels, graph)
    images: dict[Digest, IndexEntry] = {}
    referring: dict[Digest, IndexEntry] = {}
    for item in independent:
        subject = graph.subject(item.digest)
        if item.is_named or (item.digest not in graph.parents and (subject is None or subject.digest not in graph)):
            images[item.digest] = item
        elif item.digest not in graph.parents:
            referring[item.digest] = item
    ownership = _ReferrerOwners(graph, images, (referring, attached), limits)
    referrers, tagged = ownership.referrers(), ownership.attached()
    if len({referrer for owned in tagged.values() for referrer in owned}) < len(set(attached)):
        # the tags tie entries to one another in a circle: each entry becomes an image
        return build_images([replace(level, ties=False) for level in top_levels], graph, limits)
    platforms = graph.platforms(images)
    return tuple(
        ImageEntry(
            root=image.descriptor,
            names=image.names,
            paths=image.paths,
            placeholders=image.placeholders,
            bare_tags=image.bare_tags,
            platforms=platforms[digest],
            referrers=tuple(referrers.get(digest, ())),
            attached=tuple(tagged.get(digest, ())),
        )
        for digest, image in images.items()
    )


class _ReferrerOwners:
    """Finds the images of a referrer: all that contain its subject, or to which its subject belongs."""

    def __init__(
        self,
        graph: ManifestGraph,
        images: Mapping[Digest, IndexEntry],
        referrers: tuple[Mapping[Digest, IndexEntry], Sequence[TaggedReferrer]],
        limits: Limits,
    ) -> None:
        self._graph = graph
        self._images = images
        self._referring, self._attached = referrers
        self._tied: dict[Digest, list[Digest]] = {}
        for item in self._attached:
            self._tied.setdefault(item.root.digest, []).append(item.subject)
        self._limit = limits.nodes * limits.depth
        self._steps = 0

    def referrers(self) -> dict[Digest, list[Descriptor]]:
        found: dict[Digest, list[Descriptor]] = {}
        for digest, referrer in self._referring.items():
            for owner in self._owners(digest):
                found.setdefault(owner, []).append(referrer.descriptor)
        return found

    def attached(self) -> dict[Digest, list[TaggedReferrer]]:
        found: dict[Digest, list[TaggedReferrer]] = {}
        for attached in self._attached:
            for owner in self._owners(attached.subject):
                found.setdefault(owner, []).append(attached)
        return found

    def _owners(self, digest: Digest) -> list[Digest]:
        seen = {digest}
        waiting = [digest]
        for above in waiting:
            self._steps += 1
            if self._steps > self._limit:
                raise LimitExceeded(
                    f"finding the images of all referrers takes more than {self._limit} steps; split the archive"
                )
            parents = [*self._graph.parents.get(above, ()), *self._tied.get(above, ())]
            subject = self._graph.subject(above)
            if above in self._referring and subject is not None:
                parents.append(subject.digest)
            waiting.extend(parent for parent in parents if parent not in seen)
            seen.update(parents)
        return [above for above in waiting if above in self._images]
