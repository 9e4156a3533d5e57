"""Names: embedded names, options and a destination -> all destinations of every image; pure.

All problems of a request are collected before they are reported, so that the caller can fix them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from app.archive.model import Archive, DockerImage, Fault, ImageEntry
from app.errors import (
    DestinationConflict,
    InvalidReference,
    LimitExceeded,
    MissingTag,
    SingleImageRequired,
    TarmacError,
)
from app.oci import Digest, Reference, parse_repository
from app.push.options import Destination, PushOptions
from app.push.plan.format_check import ArchiveLabels
from app.push.plan.image_content import display_name, image_identity
from app.push.plan.renames import RenameRules
from app.push.plan.values import ImageTarget

MAX_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class NamedImages:
    images: tuple[ImageTarget, ...]
    notes: tuple[str, ...] = ()


def name_images(
    archives: Sequence[Archive], options: PushOptions, destination: Destination, labels: ArchiveLabels
) -> NamedImages:
    """Return every distinct image of `archives` with its destinations, in order.

    `labels`: the names of the archives in messages. An image that cannot be named gets a fault: MissingTag,
    InvalidReference or DestinationConflict.

    Raises SingleImageRequired, or InvalidRequest for a rename without a match; the message also lists the faults.
    """
    images = _distinct(archives)
    if options.tag is not None and len(images) != 1:
        raise SingleImageRequired(
            f"`tag` names exactly one image, but the request has {len(images)} in {len(archives)} archive(s); use "
            "`rename` for several, or `images` to select one"
        )
    resolver = _NameResolver(options, destination, RenameRules(options.rename), labels, len(images))
    targets = [resolver.target(image) for image in images]
    names = [name for image in images for name in (*image.entry.called, *image.entry.placeholders)]
    unused = list(resolver.renames.unused(names))
    if unused:
        faults = [image.entry.fault.error for image in targets if image.entry.fault is not None]
        raise_together([*faults, *unused])
    return NamedImages(tuple(_without_conflicts(targets, labels)), tuple(dict.fromkeys(resolver.notes)))


def _distinct(archives: Sequence[Archive]) -> list[ImageTarget]:
    """Return the images, merged by identity: the same image in two archives, or twice in one, gets the names of
    both.
    """
    found: dict[object, ImageTarget] = {}
    for number, archive in enumerate(archives):
        for entry in archive.images:
            key = (isinstance(entry.root, DockerImage), image_identity(entry), entry.referrers, entry.attached)
            earlier = found.get(key)
            if earlier is not None and earlier.entry.fault is not None and entry.fault is None:
                found[key] = _merged(ImageTarget(number, entry, ()), earlier.entry)
            else:
                found[key] = ImageTarget(number, entry, ()) if earlier is None else _merged(earlier, entry)
    return list(found.values())


def _merged(target: ImageTarget, entry: ImageEntry) -> ImageTarget:
    """Return `target` with the names of `entry` added; the caller passes the complete one of the two as `target`."""
    names = tuple(dict.fromkeys((*target.entry.names, *entry.names)))
    paths = tuple(dict.fromkeys((*target.entry.paths, *entry.paths)))
    tags = tuple(dict.fromkeys((*target.entry.bare_tags, *entry.bare_tags)))
    others = tuple(dict.fromkeys((*target.entry.placeholders, *entry.placeholders)))
    return replace(target, entry=replace(target.entry, names=names, paths=paths, bare_tags=tags, placeholders=others))


class _NameResolver:
    """Names the images of one request, and collects notices."""

    def __init__(
        self, options: PushOptions, destination: Destination, renames: RenameRules, labels: ArchiveLabels, images: int
    ) -> None:
        self.options = options
        self.destination = destination
        self.renames = renames
        self.labels = labels
        self.images = images
        self.notes: list[str] = []

    def target(self, image: ImageTarget) -> ImageTarget:
        """Return the image with the destinations that can be determined. An incomplete image keeps its own fault."""
        found: dict[Reference, None] = {}
        try:
            for reference in self._references(image):
                found[self._at_destination(reference)] = None
        except LimitExceeded:
            raise
        except TarmacError as error:
            image = with_fault(image, error)
        return replace(image, destinations=tuple(found))

    def _references(self, image: ImageTarget) -> Iterator[Reference]:
        """Yield the names of the image below the destination's path and prefix."""
        entry = image.entry
        renamed = [wanted for tag in entry.bare_tags for wanted in self.renames.of_tag(tag)]
        for placeholder in dict.fromkeys((str(image_identity(entry)), *entry.placeholders)):
            renamed.extend(self.renames.of_placeholder(placeholder))
        named = [(name, self.renames.of(name)) for name in entry.names]
        paths = [(path, self.renames.of_path(path)) for path in entry.paths]
        if self.options.tag is not None:
            yield Reference.parse_destination(self.options.tag, "option `tag`")
            return
        if not named and not paths and not renamed:
            raise MissingTag(self._unnamed(image))
        yield from renamed
        for name, wanted in named:
            yield from (self._whole(wanted_item, name, entry) for wanted_item in wanted or (None,))
        for path, wanted in paths:
            yield from (self._at_path(wanted_item, path) for wanted_item in wanted or (None,))

    def _unnamed(self, image: ImageTarget) -> str:
        location = f" in {self.labels.which(image.archive)}" if self.labels.count > 1 else ""
        digest = image_identity(image.entry)
        if image.entry.bare_tags:
            tag = image.entry.bare_tags[0]
            has, example = f"has only the tag {tag!r} and no repository", f"REPO:{tag}"
        elif image.entry.placeholders:
            has, example = f"has only {image.entry.placeholders[0]!r:.300}, which is not a name", "REPO:TAG"
        else:
            has, example = "has no name", "REPO:TAG"
        if self.images == 1:
            return f"image {digest}{location} {has}; pass `tag` (tag={example})"
        return (
            f"image {digest}{location} {has}; pass `rename` (rename={digest}={example}), or select others with `images`"
        )

    def _whole(self, wanted: Reference | None, name: str, entry: ImageEntry) -> Reference:
        """Return the new reference. A rename without a tag keeps the digest of the embedded name."""
        if wanted is not None and wanted.tag is not None:
            return wanted
        embedded = self._embedded(name, entry)
        return embedded if wanted is None else replace(embedded, repository=wanted.repository)

    def _at_path(self, wanted: Reference | None, path: str) -> Reference:
        """Return the new reference. A rename without a tag keeps the digest at the end of the path."""
        if wanted is not None and wanted.tag is not None:
            return wanted
        with _advised():
            reference = Reference.parse_path(path)
        return reference if wanted is None else replace(reference, repository=wanted.repository)

    def _embedded(self, name: str, entry: ImageEntry) -> Reference:
        with _advised():
            reference = Reference.parse(name)
        if reference.tag is not None:
            return replace(reference, digest=None)
        digest = _own_digest(entry)
        if digest is None:
            self.notes.append(f"{name}: a docker archive does not preserve digests; pushed by the new digest")
        elif digest != reference.digest:
            self.notes.append(f"{name}: the image in the archive is {digest}; pushed by that digest")
        return replace(reference, digest=digest)

    def _at_destination(self, reference: Reference) -> Reference:
        parts = (self.destination.path, self.options.prefix, reference.repository)
        return reference.at(self.destination.host, parse_repository("/".join(filter(None, parts))))


@contextmanager
def _advised() -> Iterator[None]:
    """Add advice to errors about a name in the archive: it can be replaced, whereas the caller must fix a given
    name.
    """
    try:
        yield
    except InvalidReference as error:
        raise InvalidReference(f"{error}; pass `tag` or `rename` to use another") from None


def _own_digest(entry: ImageEntry) -> Digest | None:
    return None if isinstance(entry.root, DockerImage) else entry.root.digest


def with_fault(target: ImageTarget, error: TarmacError) -> ImageTarget:
    """Return the image with `error` as the reason why it cannot be pushed, unless it has another one.

    The message names the image.
    """
    entry, fault = target.entry, Fault.of(error)
    if entry.fault is not None:
        return target
    if entry.called and display_name(entry) not in fault.message:
        fault = replace(fault, message=f"{display_name(entry):.300}: {fault.message}")
    return replace(target, entry=replace(entry, fault=fault))


def _without_conflicts(targets: Sequence[ImageTarget], labels: ArchiveLabels) -> Iterator[ImageTarget]:
    """Yield all images. If different pushable images share one destination, none of them is pushed."""
    conflicts = _conflicts([target for target in targets if target.entry.fault is None], labels)
    for target in targets:
        error = conflicts.get(image_identity(target.entry))
        yield target if error is None else with_fault(target, error)


def _conflicts(targets: Sequence[ImageTarget], labels: ArchiveLabels) -> dict[Digest, DestinationConflict]:
    owners: dict[Reference, ImageTarget] = {}
    found: dict[Digest, DestinationConflict] = {}
    for target in targets:
        for reference in target.destinations:
            other = owners.setdefault(reference, target)
            if reference.tag is not None and image_identity(other.entry) != image_identity(target.entry):
                error = DestinationConflict(
                    f"{_describe(other, labels)} and {_describe(target, labels)} are different images with the same "
                    f"destination {reference}; pass `rename` for one of them, or select one with `images`"
                )
                found.setdefault(image_identity(other.entry), error)
                found.setdefault(image_identity(target.entry), error)
    return found


def _describe(target: ImageTarget, labels: ArchiveLabels) -> str:
    name, digest = display_name(target.entry), str(image_identity(target.entry))
    location = f" in {labels.which(target.archive)}" if labels.count > 1 else ""
    return (digest if name == digest else f"{name} ({digest})") + location


def raise_together(problems: Sequence[TarmacError]) -> None:
    """Raise all problems as one error of the class of the first."""
    first = problems[0]
    if len(problems) == 1:
        raise first
    shown = "; ".join(str(problem) for problem in problems[:MAX_PROBLEMS_SHOWN])
    more = len(problems) - MAX_PROBLEMS_SHOWN
    raise type(first)(f"{len(problems)} problems: {shown}" + (f"; and {more} more" if more > 0 else ""))
