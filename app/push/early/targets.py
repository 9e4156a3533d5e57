"""Where blobs can go before their archive is understood; pure."""

from __future__ import annotations

from collections.abc import Iterable

from app.errors import InvalidReference
from app.oci import Reference, parse_repository
from app.push.options import Destination, PushOptions


def can_push_early(options: PushOptions) -> bool:
    """Whether all that an archive holds is pushed, whatever stands at the registry."""
    return not (options.dry_run or options.images or options.platforms or options.on_existing_tag != "overwrite")


def early_repository(options: PushOptions, destination: Destination, staging: str = "") -> str | None:
    """Where blobs can go before anything of the archive is known: the options say it, or there is a `staging`
    repository, from which they are mounted then."""
    if not can_push_early(options):
        return None
    if options.tag is None:
        return staging or None
    try:
        tag = Reference.parse_destination(options.tag, "option `tag`")
        return parse_repository("/".join(filter(None, (destination.path, options.prefix, tag.repository))))
    except InvalidReference:
        return None  # the push says so


def repository_from_names(names: Iterable[str], options: PushOptions, destination: Destination) -> str | None:
    """The one repository that an archive with images of these names goes to; None where they are several: blobs of one
    would lie open in another."""
    if not can_push_early(options) or options.tag is not None or options.rename:
        return None
    try:
        below = {Reference.parse(name).repository for name in names}
        found = {parse_repository("/".join(filter(None, (destination.path, options.prefix, item)))) for item in below}
    except InvalidReference:
        return None
    return found.pop() if len(found) == 1 else None
