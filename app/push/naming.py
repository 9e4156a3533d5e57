"""Which image goes where: embedded names, options and a destination -> every destination of every image; pure.

All problems of a request are found before one is told, so that the caller mends them in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.model import Archive, DockerImage, ImageEntry
from app.errors import (
    DestinationConflict,
    InvalidReference,
    InvalidRequest,
    MissingTag,
    SingleImageRequired,
    TarmacError,
)
from app.oci import Digest, Reference, parse_repository
from app.push.graph import identity, title
from app.push.options import Destination, PushOptions
from app.push.plan import ImageTarget

MAX_PROBLEMS_SHOWN = 5
MAX_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Naming:
    images: tuple[ImageTarget, ...]
    notes: tuple[str, ...] = ()


def name_images(archives: Sequence[Archive], options: PushOptions, destination: Destination) -> Naming:
    """Every distinct image of `archives` with its destinations, in order.

    Raises SingleImageRequired, MissingTag, InvalidReference, InvalidRequest (a rename that matches nothing) or
    DestinationConflict: the class of the first problem, the message lists the others too."""
    images = _distinct(archives)
    if options.tag is not None and len(images) != 1:
        raise SingleImageRequired(
            f"`tag` names exactly one image, but the request holds {len(images)} in {len(archives)} archive(s); "
            "use `rename` for several, or `images` to pick one"
        )
    work = _Work(options, destination, len(archives), _Renames(options.rename))
    targets = [replace(image, destinations=work.destinations(image)) for image in images]
    work.problems.extend(work.renames.unused(images))
    if not work.problems:  # with a wrong name there, a clash may be only apparent
        work.problems.extend(_conflicts(targets))
    _raise_together(work.problems)
    return Naming(tuple(targets), tuple(dict.fromkeys(work.notes)))


def _distinct(archives: Sequence[Archive]) -> list[ImageTarget]:
    """The same image in two archives, or twice in one, is one image with the names of both."""
    found: dict[object, ImageTarget] = {}
    for number, archive in enumerate(archives):
        for entry in archive.images:
            key = (isinstance(entry.root, DockerImage), identity(entry), entry.referrers)
            earlier = found.get(key)
            found[key] = ImageTarget(number, entry, ()) if earlier is None else _merged(earlier, entry)
    return list(found.values())


def _merged(target: ImageTarget, entry: ImageEntry) -> ImageTarget:
    names = tuple(dict.fromkeys((*target.entry.names, *entry.names)))
    paths = tuple(dict.fromkeys((*target.entry.paths, *entry.paths)))
    tags = tuple(dict.fromkeys((*target.entry.bare_tags, *entry.bare_tags)))
    return replace(target, entry=replace(target.entry, names=names, paths=paths, bare_tags=tags))


class _Renames:
    """The option `rename`. A name is met in any form that means the same; a path, a bare tag and the digest of an
    image, which have only one form, as they are written."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = tuple((text, Reference.parse_destination(wanted, "option `rename`")) for text, wanted in pairs)
        self._used: set[str] = set()
        # looked up, as thousands of names are asked for, and as many pairs may have been given
        self._exact: dict[object, list[tuple[str, Reference]]] = {}
        self._meant: dict[object, list[tuple[str, Reference]]] = {}
        for text, wanted in self._pairs:
            self._exact.setdefault(text, []).append((text, wanted))
            self._meant.setdefault(_canonical(text), []).append((text, wanted))

    def of(self, name: str) -> tuple[Reference, ...]:
        return self._taken(self._meant.get(_canonical(name), ()))

    def exactly(self, text: str) -> tuple[Reference, ...]:
        return self._taken(self._exact.get(text, ()))

    def _taken(self, pairs: Sequence[tuple[str, Reference]]) -> tuple[Reference, ...]:
        self._used.update(text for text, _ in pairs)
        return tuple(wanted for _, wanted in pairs)

    def unused(self, images: Sequence[ImageTarget]) -> Iterator[InvalidRequest]:
        names = [name for image in images for name in image.entry.called]
        known = ", ".join(names[:MAX_NAMES_SHOWN]) or "none"
        more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
        for text in dict.fromkeys(text for text, _ in self._pairs if text not in self._used):
            yield InvalidRequest(f"`rename` {text!r} matches no image; the names are: {known}{more}")


def _canonical(name: str) -> Reference | str:
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return name
    return replace(reference, digest=None) if reference.tag else reference


class _Work:
    """One request's naming as it goes on: problems and notes gather here."""

    def __init__(self, options: PushOptions, destination: Destination, archives: int, renames: _Renames) -> None:
        self.options = options
        self.destination = destination
        self.archives = archives
        self.renames = renames
        self.problems: list[TarmacError] = []
        self.notes: list[str] = []

    def destinations(self, image: ImageTarget) -> tuple[Reference, ...]:
        found: list[Reference] = []
        try:
            for reference in self._references(image):
                found.append(self._placed(reference))
        except TarmacError as error:
            self.problems.append(error)
        return tuple(dict.fromkeys(found))

    def _references(self, image: ImageTarget) -> Iterator[Reference]:
        """What the image is to be called below the destination's path and prefix."""
        entry = image.entry
        renamed = [wanted for text in (*entry.bare_tags, str(identity(entry))) for wanted in self.renames.exactly(text)]
        named = [(name, self.renames.of(name)) for name in entry.names]
        paths = [(path, self.renames.exactly(path)) for path in entry.paths]
        if self.options.tag is not None:
            yield Reference.parse_destination(self.options.tag, "option `tag`")
            return
        if not named and not paths and not renamed:
            raise MissingTag(self._unnamed(image))
        yield from renamed
        for name, wanted in named:
            yield from wanted or (self._embedded(name, entry),)
        for path, wanted in paths:
            yield from wanted or (Reference.parse_destination(path, "the name"),)

    def _unnamed(self, image: ImageTarget) -> str:
        where = f" in archive {image.archive + 1} of {self.archives}" if self.archives > 1 else ""
        digest = identity(image.entry)
        if image.entry.bare_tags:
            tag = image.entry.bare_tags[0]
            has, example = f"has only the tag {tag!r} and no repository", f"REPO:{tag}"
        else:
            has, example = "has no name", "REPO:TAG"
        several = f"or for one of several images `rename` (rename={digest}={example})"
        return f"image {digest}{where} {has}; pass `tag` (tag={example}), {several}"

    def _embedded(self, name: str, entry: ImageEntry) -> Reference:
        reference = Reference.parse(name)
        if reference.tag is not None:
            return replace(reference, digest=None)
        digest = _own_digest(entry)
        if digest is None:
            self.notes.append(f"{name}: a docker archive does not keep digests; pushed by the digest that comes to be")
        elif digest != reference.digest:
            self.notes.append(f"{name}: the image in the archive is {digest}; pushed by that digest")
        return replace(reference, digest=digest)

    def _placed(self, reference: Reference) -> Reference:
        parts = (self.destination.path, self.options.prefix, reference.repository)
        return reference.at(self.destination.host, parse_repository("/".join(filter(None, parts))))


def _own_digest(entry: ImageEntry) -> Digest | None:
    return None if isinstance(entry.root, DockerImage) else entry.root.digest


def _conflicts(targets: Sequence[ImageTarget]) -> Iterator[DestinationConflict]:
    taken: dict[Reference, ImageTarget] = {}
    for target in targets:
        for reference in target.destinations:
            other = taken.setdefault(reference, target)
            if reference.tag is not None and identity(other.entry) != identity(target.entry):
                yield DestinationConflict(
                    f"{_called(other)} and {_called(target)} are different images and both go to {reference}; "
                    "pass `rename` for one of them, or pick one with `images`"
                )


def _called(target: ImageTarget) -> str:
    name, digest = title(target.entry), str(identity(target.entry))
    return digest if name == digest else f"{name} ({digest})"


def _raise_together(problems: Sequence[TarmacError]) -> None:
    if not problems:
        return
    first = problems[0]
    if len(problems) == 1:
        raise first
    shown = "; ".join(str(problem) for problem in problems[:MAX_PROBLEMS_SHOWN])
    more = len(problems) - MAX_PROBLEMS_SHOWN
    raise type(first)(f"{len(problems)} problems: {shown}" + (f"; and {more} more" if more > 0 else ""))
