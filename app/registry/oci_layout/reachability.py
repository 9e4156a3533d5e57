"""Which entries of a repository are kept by a collection, and which tags a retention rule expires. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from app.oci import Digest
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import Entries

# cosign's `.sig`, `.att` and `.sbom`, and the referrers tag schema of distribution-spec
_ATTACHED = re.compile(r"(sha256|sha512)-([0-9a-f]{64,128})(?:\.[A-Za-z0-9._-]+)?")


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What expires in addition to content without references.

    Tags and pushes by digest that are older than `older_than` seconds expire, except the `keep_tags` newest tags of
    each repository. Without `older_than` all tags except those expire; with neither, none does.
    """

    older_than: float | None = None
    keep_tags: int | None = None


def expired_keys(
    entries: Entries, rule: RetentionRule, pushed: Callable[[IndexRoot], float], age_of: Callable[[IndexRoot], float]
) -> frozenset[str]:
    """Return the tags, and the digests of pushes by digest, that `rule` expires.

    `pushed` returns the time of a push, which says what is newest; `age_of` the age in seconds.
    """
    if rule.older_than is None and rule.keep_tags is None:
        return frozenset()
    tags = [key for key in entries if ":" not in key and attached_to(key) is None]
    newest = sorted(tags, key=lambda tag: (-pushed(entries[tag]), tag))[: rule.keep_tags or 0]
    candidates = [tag for tag in tags if tag not in newest]
    if rule.older_than is None:
        return frozenset(candidates)
    candidates += [key for key, root in entries.items() if ":" in key and root.by_digest]
    return frozenset(key for key in candidates if age_of(entries[key]) > rule.older_than)


def attached_to(tag: str) -> Digest | None:
    """Return the digest of the manifest that a tag belongs to by its name, as cosign's do."""
    match = _ATTACHED.fullmatch(tag)
    lengths = {"sha256": 64, "sha512": 128}
    return Digest(match[1], match[2]) if match and lengths[match[1]] == len(match[2]) else None


def reachable_keys(
    entries: Entries, children: Callable[[IndexRoot], Iterable[Digest]], needed: Collection[Digest] = ()
) -> frozenset[str]:
    """Return the keys of the entries that are kept: tags, pushes by digest and `needed`, what they refer to, and what
    refers to those. A tag that belongs to a manifest is kept as long as that; without one, as any tag is.
    """
    by_digest = {root.digest: root for root in entries.values()}
    attached: dict[Digest, list[Digest]] = {}
    pending = [digest for digest in needed if digest in by_digest]
    for key, root in entries.items():
        owner = root.subject if ":" in key else attached_to(key)
        if owner is not None and owner in by_digest:
            attached.setdefault(owner, []).append(root.digest)
        if root.by_digest or (":" not in key and (attached_to(key) is None or owner not in by_digest)):
            pending.append(root.digest)
        if ":" not in key and root.subject is not None:
            attached.setdefault(root.subject, []).append(root.digest)
    kept = set[Digest]()
    while pending:
        digest = pending.pop()
        if digest in kept or digest not in by_digest:
            continue
        kept.add(digest)
        root = by_digest[digest]
        pending += [*children(root), *attached.get(digest, ()), *([root.subject] if root.subject else ())]
    return frozenset(key for key, root in entries.items() if root.digest in kept)
