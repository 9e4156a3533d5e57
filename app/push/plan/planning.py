"""Archives + options + destination -> PushPlan; pure. The archive is not searched again after this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.archive.edit import keep_original_manifests, pick_images, pick_platforms
from app.archive.manifests.media_type_conversion import convert
from app.archive.model import Archive, Compression
from app.errors import InvalidRequest, TarmacError
from app.oci import Digest
from app.push.options import Destination, PushOptions
from app.push.plan.completeness import with_faults
from app.push.plan.format_check import ArchiveLabels, assert_format
from app.push.plan.image_content import ImageBlob, image_blobs, repositories
from app.push.plan.naming import name_images
from app.push.plan.refusals import settled, with_refusals
from app.push.plan.sparse_index import drop_incomplete_children
from app.push.plan.values import BlobStep, ImageTarget, PushPlan

NO_IMAGES = "no images found"
MAX_REFUSALS = 10  # archives in one message


def make_plan(
    archives: Sequence[Archive], options: PushOptions, destination: Destination, names: Sequence[str] = ()
) -> PushPlan:
    """Return the plan of everything that will be done, before the first byte is sent.

    It is that of `draft_plan`. Unless the options say to keep going, the faults of images are raised.
    """
    return settled(draft_plan(archives, options, destination, names), keep_going=options.keep_going)


def draft_plan(
    archives: Sequence[Archive], options: PushOptions, destination: Destination, names: Sequence[str] = ()
) -> PushPlan:
    """Return the plan of everything that can be done, with images that cannot be pushed as `refused`.

    `names` are those of the archives' files, for messages. Archives without images result in an empty plan with a
    notice.

    Raises FormatMismatch and the errors of `pick_images`, `convert` and `name_images`.
    """
    labels = ArchiveLabels(len(archives), tuple(names))
    assert_format(archives, options.format, labels)
    edited = edit_archives(archives, options, labels)
    naming = name_images(edited, options, destination, labels)
    plan = PushPlan(
        archives=edited,
        images=naming.images,
        blobs=tuple(_blob_steps(edited, naming.images)),
        layer_compression=options.layer_compression,
        notes=tuple(dict.fromkeys((*_notes(edited, labels), *naming.notes))),
        on_existing_tag=options.on_existing_tag,
        media_types=options.media_types,
    )
    return with_refusals(plan, {})


def edit_archives(archives: Sequence[Archive], options: PushOptions, labels: ArchiveLabels) -> tuple[Archive, ...]:
    """Return what the options leave of the archives, with a fault for each image that is not whole.

    Raises what `pick_images` and `convert` raise.
    """
    picked = enumerate(_picked(archives, options.images, labels))
    return tuple(_edited(archive, options, labels.prefix(number)) for number, archive in picked)


def without_images(plan: PushPlan, errors: Mapping[int, TarmacError]) -> PushPlan:
    """Return the plan without blobs for the images that `errors` names by number, which are refused."""
    if not errors:
        return plan
    plan = with_refusals(plan, errors)
    return replace(plan, blobs=tuple(_blob_steps(plan.archives, plan.images)))


def _picked(archives: Sequence[Archive], globs: Sequence[str], labels: ArchiveLabels) -> Iterator[Archive]:
    """Yield the archives with the images that match a glob.

    The globs must match in the request, not in every archive of it.
    """
    refusals: list[str] = []
    for number, archive in enumerate(archives):
        try:
            yield pick_images(archive, globs)
        except InvalidRequest as refusal:
            refusals.append(labels.prefix(number) + str(refusal))
            note = f"option `images` leaves out all {len(archive.images)} images of {labels.which(number)}"
            yield replace(archive, images=(), notes=(*archive.notes, note))
    if archives and len(refusals) == len(archives):
        raise InvalidRequest("; ".join(refusals[:MAX_REFUSALS]))


def _edited(archive: Archive, options: PushOptions, prefix: str) -> Archive:
    if options.platforms:
        archive = pick_platforms(archive, options.platforms)
    if options.allow_missing:
        archive = drop_incomplete_children(archive)
    if options.layer_compression is Compression.NONE:
        archive = keep_original_manifests(archive)
    archive = with_faults(archive, prefix, allow_missing=options.allow_missing)
    return convert(archive, options.media_types, options.layer_compression)


def _notes(archives: Sequence[Archive], labels: ArchiveLabels) -> Iterator[str]:
    if not any(archive.images for archive in archives):
        yield NO_IMAGES
    for number, archive in enumerate(archives):
        yield from archive.notes
        if not archive.images and len(archives) > 1:
            yield f"{NO_IMAGES} in {labels.which(number)}"


def _blob_steps(archives: Sequence[Archive], images: Sequence[ImageTarget]) -> Iterator[BlobStep]:
    needs: dict[tuple[Digest, bool], tuple[int, ImageBlob, dict[str, None]]] = {}
    for image in (image for image in images if image.entry.fault is None):
        for content in image_blobs(archives[image.archive], image.entry):
            _, _, used_by = needs.setdefault((content.key, content.layer is not None), (image.archive, content, {}))
            used_by.update(dict.fromkeys(repositories(image.destinations)))
    for archive, content, used_by in needs.values():
        yield _step(archive, content, used_by)


def _step(archive: int, content: ImageBlob, used_by: Iterable[str]) -> BlobStep:
    return BlobStep(
        key=content.key,
        archive=archive,
        extent=content.extent,
        repositories=tuple(used_by),
        layer=content.layer,
        what=content.what,
        inline=content.inline,
    )
