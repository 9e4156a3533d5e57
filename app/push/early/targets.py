"""The repository of blobs whose archive is not yet parsed; pure."""

from __future__ import annotations

from collections.abc import Iterable

from app.errors import InvalidReference
from app.oci import Reference, parse_repository
from app.push.options import Destination, PushOptions


def can_push_early(options: PushOptions) -> bool:
    """Return whether every image of an archive will be pushed, independent of the content of the registry."""
    return not (options.dry_run or options.images or options.platforms or options.on_existing_tag != "overwrite")


def early_repository(options: PushOptions, destination: Destination, staging: str = "") -> str | None:
    """Return the repository for blobs before anything of the archive is known, or None.

    It follows from the options, or is the `staging` repository, from which the blobs are mounted later.
    """
    if not can_push_early(options):
        return None
    if options.tag is None:
        return staging or None
    try:
        tag = Reference.parse_destination(options.tag, "option `tag`")
        return parse_repository("/".join(filter(None, (destination.path, options.prefix, tag.repository))))
    except InvalidReference:
        return None  # the push reports this


def repository_from_names(names: Iterable[str], options: PushOptions, destination: Destination) -> str | None:
    """Return the only repository for images of these names.

    Return None if there are several, because blobs of one would become readable in another.
    """
    if not can_push_early(options) or options.tag is not None or options.rename:
        return None
    try:
        below = {Reference.parse(name).repository for name in names}
        found = {parse_repository("/".join(filter(None, (destination.path, options.prefix, item)))) for item in below}
    except InvalidReference:
        return None
    return found.pop() if len(found) == 1 else None
