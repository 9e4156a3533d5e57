"""Image layouts in directories, byte for byte as their writers have them.

layout_in("install", [entry(node, ref="…")])      the members of a layout in a directory
deckhouse({"": {"v1": node}, "install": {…}})      `d8 mirror pull` (deckhouse-cli, pkg/libmirror/bundle/bundle.go)
zot({"team/web": {"1": node}})                     the root directory of zot (zot, pkg/storage/imagestore/imagestore.go)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.support.archives import Entry, Member, Node, entry, oci_members

Stored = Mapping[str, Mapping[str, Node]]
SHORT_TAG = "io.deckhouse.image.short_tag"


def layout_in(directory: str, entries: Sequence[Entry], *, without: Sequence[str] = ()) -> list[Member]:
    """`directory` is empty for the root. `without`: digests whose blobs are left out."""
    prefix = f"{directory}/" if directory else ""
    return [Member(f"{prefix}{member.name}", member.data) for member in oci_members(entries, without=without)]


def deckhouse(stored: Stored, repository: str = "registry.example.com/deck/ee") -> list[Member]:
    """By directory and tag. Sorted by name, files alone; an entry has the full reference and the tag."""
    members = []
    for directory, tags in stored.items():
        place = f"{repository}/{directory}".rstrip("/")
        entries = [entry(node, ref=f"{place}:{tag}", annotations={SHORT_TAG: tag}) for tag, node in tags.items()]
        members += layout_in(directory, entries)
    return sorted(members, key=lambda member: member.name)


def zot(
    stored: Stored,
    *,
    root: str = "",
    untagged: Mapping[str, Sequence[Node]] | None = None,
    deduplicated: bool = False,
    marks: bool = True,
) -> list[Member]:
    """By repository and tag. `root`: the directory of the storage. `untagged`: what was pushed by digest.
    `deduplicated`: a blob is kept in the first repository, later ones have a hard link to it. `marks`: zot's own files
    at its root, and the directories for uploads."""
    prefix = f"{root}/" if root else ""
    members: list[Member] = []
    first: dict[str, str] = {}
    for repository, tags in stored.items():
        place = f"{prefix}{repository}"
        entries = [entry(node, ref=tag) for tag, node in tags.items()]
        entries += [entry(node) for node in (untagged or {}).get(repository, ())]
        members += [Member(f"{place}/blobs", directory=True), Member(f"{place}/blobs/sha256", directory=True)]
        for member in layout_in(place, entries):
            blob = member.name.removeprefix(f"{place}/")
            known = first.setdefault(blob, member.name) if blob.startswith("blobs/") else member.name
            is_link = deduplicated and known != member.name
            members.append(Member(member.name, hardlink=known) if is_link else member)
        members += [Member(f"{place}/.uploads", directory=True)] * marks
    if marks:
        members += [Member(f"{prefix}cache.db", b"bolt"), Member(f"{prefix}_trivy", directory=True)]
        members += [Member(f"{prefix}_trivy/db/metadata.json", b"{}")]
    return members
