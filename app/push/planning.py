"""Archives + options + destination -> PushPlan; pure. The archive is not searched again after this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from app.archive.convert import convert
from app.archive.edit import keep_originals, pick_images, pick_platforms
from app.archive.model import Archive, Compression
from app.errors import FormatMismatch, InvalidRequest
from app.oci import Digest
from app.push.graph import Content, contents, repositories
from app.push.naming import name_images
from app.push.options import Destination, PushOptions
from app.push.plan import BlobStep, ImageTarget, PushPlan
from app.push.sparse import leave_out, refuse_missing

NO_IMAGES = "no images found"
_KINDS = {"docker-archive": "an image archive", "oci-archive": "an image archive"}


def make_plan(archives: Sequence[Archive], options: PushOptions, destination: Destination) -> PushPlan:
    """Everything that will be done, or the reason why not, before the first byte is sent.

    Raises FormatMismatch, what `name_images` raises, and MissingContent or SizeMismatch for an archive that does not
    hold what it describes. Archives without images give an empty plan with a note."""
    _assert_format(archives, options.format)
    edited = tuple(_edited(archive, options) for archive in _picked(archives, options.images))
    naming = name_images(edited, options, destination)
    if not options.allow_missing:
        refuse_missing(edited, naming.images)
    return PushPlan(
        archives=edited,
        images=naming.images,
        blobs=tuple(_blob_steps(edited, naming.images)),
        layer_compression=options.layer_compression,
        notes=tuple(dict.fromkeys((*_notes(edited), *naming.notes))),
        on_existing_tag=options.on_existing_tag,
        media_types=options.media_types,
    )


def _assert_format(archives: Sequence[Archive], wanted: str | None) -> None:
    for number, archive in enumerate(archives, 1):
        if wanted is not None and archive.format != wanted:
            which = f"archive {number} of {len(archives)}" if len(archives) > 1 else "the archive"
            raise FormatMismatch(
                f"{which} is {_kind(archive.format)}, but format={wanted} says {_kind(wanted)}; "
                f"push it with format={archive.format}, or leave `format` out"
            )


def _kind(name: str) -> str:
    return f"{_KINDS.get(name, 'an image bundle')} ({name})"


def _picked(archives: Sequence[Archive], globs: Sequence[str]) -> Iterator[Archive]:
    """The globs have to match something in the request, not in every archive of it."""
    refusals: list[InvalidRequest] = []
    for archive in archives:
        try:
            yield pick_images(archive, globs)
        except InvalidRequest as refusal:
            refusals.append(refusal)
            yield replace(archive, images=())
    if archives and len(refusals) == len(archives):
        raise InvalidRequest("; ".join(map(str, refusals)))


def _edited(archive: Archive, options: PushOptions) -> Archive:
    if options.platforms:
        archive = pick_platforms(archive, options.platforms)
    if options.allow_missing:
        archive = leave_out(archive)
    if options.layer_compression is Compression.NONE:
        archive = keep_originals(archive)
    return convert(archive, options.media_types, options.layer_compression)


def _notes(archives: Sequence[Archive]) -> Iterator[str]:
    if not any(archive.images for archive in archives):
        yield NO_IMAGES
    for number, archive in enumerate(archives, 1):
        yield from archive.notes
        if not archive.images and len(archives) > 1:
            yield f"{NO_IMAGES} in archive {number} of {len(archives)}"


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
