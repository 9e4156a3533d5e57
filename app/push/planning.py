"""Archives + options + destination -> PushPlan; pure. The archive is not searched again after this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from app.archive.convert import convert
from app.archive.edit import keep_originals, pick_images, pick_platforms
from app.archive.model import Archive, Compression
from app.errors import InvalidRequest
from app.oci import Digest
from app.push.asserted import Archives, assert_format
from app.push.contradictions import refuse_contradictions
from app.push.graph import Content, contents, repositories
from app.push.naming import name_images
from app.push.options import Destination, PushOptions
from app.push.plan import BlobStep, ImageTarget, PushPlan
from app.push.sparse import leave_out, refuse_missing

NO_IMAGES = "no images found"
MAX_REFUSALS = 10  # archives that one message tells of


def make_plan(
    archives: Sequence[Archive], options: PushOptions, destination: Destination, names: Sequence[str] = ()
) -> PushPlan:
    """Everything that will be done, or the reason why not, before the first byte is sent. `names` are those of the
    archives' files, for messages.

    Raises FormatMismatch, what `name_images` raises, and MissingContent, SizeMismatch or DigestMismatch for an archive
    that does not hold what it describes. Archives without images give an empty plan with a note."""
    told = Archives(len(archives), tuple(names))
    assert_format(archives, options.format, told)
    picked = tuple(_edited(archive, options) for archive in _picked(archives, options.images, told))
    refuse_contradictions(picked, told)
    edited = tuple(convert(archive, options.media_types, options.layer_compression) for archive in picked)
    naming = name_images(edited, options, destination, told)
    if not options.allow_missing:
        refuse_missing(edited, naming.images, told)
    return PushPlan(
        archives=edited,
        images=naming.images,
        blobs=tuple(_blob_steps(edited, naming.images)),
        layer_compression=options.layer_compression,
        notes=tuple(dict.fromkeys((*_notes(edited, told), *naming.notes))),
        on_existing_tag=options.on_existing_tag,
        media_types=options.media_types,
    )


def _picked(archives: Sequence[Archive], globs: Sequence[str], told: Archives) -> Iterator[Archive]:
    """The globs have to match something in the request, not in every archive of it."""
    refusals: list[str] = []
    for number, archive in enumerate(archives):
        try:
            yield pick_images(archive, globs)
        except InvalidRequest as refusal:
            refusals.append(told.prefix(number) + str(refusal))
            yield replace(archive, images=())
    if archives and len(refusals) == len(archives):
        raise InvalidRequest("; ".join(refusals[:MAX_REFUSALS]))


def _edited(archive: Archive, options: PushOptions) -> Archive:
    if options.platforms:
        archive = pick_platforms(archive, options.platforms)
    if options.allow_missing:
        archive = leave_out(archive)
    if options.layer_compression is Compression.NONE:
        archive = keep_originals(archive)
    return archive


def _notes(archives: Sequence[Archive], told: Archives) -> Iterator[str]:
    if not any(archive.images for archive in archives):
        yield NO_IMAGES
    for number, archive in enumerate(archives):
        yield from archive.notes
        if not archive.images and len(archives) > 1:
            yield f"{NO_IMAGES} in {told.which(number)}"


def _blob_steps(archives: Sequence[Archive], images: Sequence[ImageTarget]) -> Iterator[BlobStep]:
    needs: dict[tuple[Digest, bool], tuple[int, Content, dict[str, None]]] = {}
    for image in images:
        for content in contents(archives[image.archive], image.entry):
            _, _, where = needs.setdefault((content.key, content.layer is not None), (image.archive, content, {}))
            where.update(dict.fromkeys(repositories(image.destinations)))
    for archive, content, where in needs.values():
        yield _step(archive, content, where)


def _step(archive: int, content: Content, where: Iterable[str]) -> BlobStep:
    return BlobStep(
        key=content.key,
        archive=archive,
        extent=content.extent,
        repositories=tuple(where),
        layer=content.layer,
        what=content.what,
        inline=content.inline,
    )
