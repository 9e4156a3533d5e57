"""Members whose name is the digest of their content, in the forms of all writers:

[DIRECTORY/]blobs/sha256/<hex>                              an OCI image layout
[DIRECTORY/]docker/registry/v2/blobs/sha256/<hh>/<hex>/data a registry's storage
[DIRECTORY/]blobs/sha256:<hex>, …/manifests/sha256:<hex>    oc image mirror; on Windows with `-` for `:`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from app.archive.formats.reading.reader import ArchiveReader, blob_name
from app.archive.tar.index import Member, MemberKind
from app.oci import Digest

_NAME = re.compile(
    r"(?:^|/)(?:(?:blobs|manifests)/(sha256|sha512)[/:-]([0-9a-f]{64,128})"
    r"|docker/registry/v2/blobs/(sha256|sha512)/../([0-9a-f]{64,128})/data)$"
)
TEMPORARY = re.compile(r"(?:^|/)\.(?:sync|uploads)/")  # incomplete content in zot's storage


def digest_in_name(name: str) -> str | None:
    """Return the digest in the name of a member, as `sha256:<hex>`, or None."""
    if (found := _NAME.search(name)) is None or TEMPORARY.search(name):
        return None
    algorithm, encoded = found[1] or found[3], found[2] or found[4]
    return f"{algorithm}:{encoded}" if len(encoded) == (64 if algorithm == "sha256" else 128) else None


def addressed_members(contents: ArchiveReader) -> Iterator[tuple[str, Member]]:
    """Yield every member whose name is a digest, with that digest, in archive order."""
    for name, members in contents.index.members.items():
        if name.startswith(contents.directory) and (digest := digest_in_name(name)) is not None:
            yield digest, members[0]


def place_anywhere(contents: ArchiveReader) -> Callable[[Digest], str]:
    """Return an `ArchiveReader.place` that finds content in any directory.

    If several members state one digest, a file is preferred to a link, and a file with content to an empty one:
    deduplicated storage has the content once, and empty files elsewhere."""
    found: dict[str, Member] = {}
    for digest, member in addressed_members(contents):
        if (known := found.get(digest)) is None or _weight(known) < _weight(member):
            found[digest] = member
    start = len(contents.directory)
    return partial(_place, {digest: member.name[start:] for digest, member in found.items()})


def _place(places: dict[str, str], digest: Digest) -> str:
    return places.get(str(digest)) or blob_name(digest)


def _weight(member: Member) -> int:
    """Return the preference of a member.

    `sha256-<hex>` ranks last: it is a digest on Windows, and elsewhere a referrers tag."""
    is_file = member.kind is MemberKind.FILE
    return is_file * 4 + (is_file and member.extent.size > 0) * 2 + ("/sha256-" not in member.name)
