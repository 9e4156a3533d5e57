"""Archive -> Archive: select images or platforms, or restore the original manifests; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from app.archive.globs import Globs
from app.archive.manifests.descendants import replace_root
from app.archive.manifests.layer_types import mislabelled_layers, pushed_mislabelled
from app.archive.model import Archive, DockerImage, Fault, ImageEntry
from app.archive.placeholders import id_forms
from app.errors import InvalidReference, InvalidRequest, join_limited
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, Platform, Reference, new_manifest, strict_json
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT

MAX_SHOWN = 10  # names or platforms in one message
MAX_CHARACTERS = 300  # of one name; a valid name is shorter


def pick_images(archive: Archive, globs: Sequence[str]) -> Archive:
    """Return the archive with only the images and names that match one of `globs` (shell patterns over the whole name).

    A name is matched in three forms: as written, `docker.io/library/nginx:1.25`, `nginx:1.25`. A path in a registry's
    storage and a bare tag are matched as written. An image without a name is matched by its digest, so `*` matches it.
    A placeholder, such as an id, selects the image with all its names. Without globs, the archive is unchanged.

    Raises InvalidRequest with the names in the archive if nothing matches, and LimitExceeded if the patterns are too
    expensive."""
    if not globs:
        return archive
    wanted = Globs(globs, "option `images`")
    images = tuple(picked for image in archive.images if (picked := _pick(image, wanted)) is not None)
    if not images:
        names = join_limited([name for image in archive.images for name in _called(image)]) or "nothing"
        raise InvalidRequest(f"option `images` ({join_limited(globs)}) matches nothing; the archive contains: {names}")
    return replace(archive, images=images, notes=(*archive.notes, *_left_out(archive, images)))


def _left_out(archive: Archive, picked: Sequence[ImageEntry]) -> Iterator[str]:
    """Yield a note that counts what the option `images` leaves out."""
    images = len(archive.images) - len(picked)
    names = sum(len(image.called) for image in archive.images) - sum(len(image.called) for image in picked)
    if images or names:
        yield f"option `images` leaves out {images} of {len(archive.images)} images, and {names} names in total"


def _pick(image: ImageEntry, wanted: Globs) -> ImageEntry | None:
    names = tuple(name for name in image.names if any(map(wanted.match, _forms(name))))
    paths = tuple(filter(wanted.match, image.paths))
    tags = tuple(filter(wanted.match, image.bare_tags))
    if names or paths or tags:
        return replace(image, names=names, paths=paths, bare_tags=tags)
    if any(map(wanted.match, (form for text in image.placeholders for form in id_forms(text)))):
        return image
    return image if not image.called and any(map(wanted.match, _called(image))) else None


def _forms(name: str) -> tuple[str, ...]:
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return (name,)
    return (name, str(reference), reference.familiar)


def _called(image: ImageEntry) -> tuple[str, ...]:
    root = image.root.config if isinstance(image.root, DockerImage) else image.root
    return image.called or (str(root.digest),)


def _title(image: ImageEntry) -> str:
    return _called(image)[0][:MAX_CHARACTERS]


def pick_platforms(archive: Archive, platforms: Sequence[Platform]) -> Archive:
    """Return the archive with only the children of indexes that are for one of `platforms`, and their attestations.

    Nested indexes are filtered too. Children without a platform (artifacts) are kept. An index that loses no child
    keeps its bytes. Any other index is rewritten, and a note names its new digest. An image that is not in an index is
    kept, with a note.

    Without platforms, the archive is unchanged. An index that has none of the platforms gets the fault InvalidRequest,
    which lists the platforms that it has."""
    if not platforms:
        return archive
    cutter = _PlatformFilter(archive, platforms)
    images = tuple(cutter.image(image) for image in archive.images)
    if cutter.left_out:
        cutter.notes.append(f"option `platforms` leaves out {cutter.left_out} manifests of indexes")
    return replace(archive, images=images, manifests=cutter.manifests, notes=(*archive.notes, *cutter.notes))


class _PlatformFilter:
    def __init__(self, archive: Archive, platforms: Sequence[Platform]) -> None:
        self.manifests = dict(archive.manifests)
        self.notes: list[str] = []
        self.left_out = 0  # children of indexes that stay
        self._wanted = tuple(platforms)
        self._cut: dict[Digest, Manifest | None] = {}

    def image(self, image: ImageEntry) -> ImageEntry:
        name = _title(image)
        has = join_limited([str(platform) for platform in image.platforms]) or "no known platform"
        wanted = ", ".join(map(str, self._wanted))
        if image.fault is not None or (isinstance(image.root, Descriptor) and image.root.digest not in self.manifests):
            return image
        if isinstance(image.root, DockerImage) or not self.manifests[image.root.digest].is_index:
            if image.platforms and not self._is_wanted(image.platforms[0]):
                self.notes.append(
                    f"{name} is an image for {has}, not an index; it is kept although {wanted} is requested"
                )
            return image
        rest = self._index(self.manifests[image.root.digest])
        if rest is None:
            message = f"option `platforms`: {name} has no image for {wanted}; its platforms are: {has}"
            return replace(image, fault=Fault(InvalidRequest, message))
        if rest.descriptor.digest == image.root.digest:
            return image
        self.notes.append(
            f"{name} was reduced to {wanted}: its digest is now {rest.descriptor.digest} instead of {image.root.digest}"
        )
        return self._with_root(image, rest)

    def _with_root(self, image: ImageEntry, rest: Manifest) -> ImageEntry:
        changed, dropped = replace_root(image, rest, self.manifests)
        if dropped:
            self.notes.append(f"{_title(image)}: {dropped} referrers of removed images are not pushed")
        return replace(changed, platforms=tuple(platform for platform in image.platforms if self._is_wanted(platform)))

    def _index(self, index: Manifest) -> Manifest | None:
        """Return the index itself, what remains of it, or None if it has none of the platforms."""
        digest = index.descriptor.digest
        if digest not in self._cut:  # by digest: several indexes may list the same index
            self._cut[digest] = self._cut_index(index)
        return self._cut[digest]

    def _cut_index(self, index: Manifest) -> Manifest | None:
        kept, found = self._children(index)
        if not found:
            return None
        self.left_out += len(index.manifests) - len(kept)
        if kept == {number: child.digest for number, child in enumerate(index.manifests)}:
            return index
        members = strict_json(index.raw, what=f"index {index.descriptor.digest}", limit=MAX_MANIFEST_BYTES)
        members["manifests"] = [self._listed(members["manifests"][number], digest) for number, digest in kept.items()]
        raw = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
        made = new_manifest(raw, index.descriptor.media_type)
        made = replace(made, descriptor=replace(made.descriptor, annotations=index.descriptor.annotations))
        self.manifests[made.descriptor.digest] = made
        return made

    def _children(self, index: Manifest) -> tuple[dict[int, Digest], bool]:
        """Return the digests to keep by position, and whether one of the platforms was found.

        The digest of a nested index that was rewritten is the new one."""
        found = False
        kept: dict[int, Digest] = {}
        for number, child in enumerate(index.manifests):
            manifest = self.manifests.get(child.digest)
            if manifest is not None and manifest.is_index:
                rest = self._index(manifest)
                if rest is not None:
                    kept[number], found = rest.descriptor.digest, True
            else:
                platform = self._platform(child)
                found = found or (platform is not None and self._is_wanted(platform))
                if platform is None or self._is_wanted(platform):
                    kept[number] = child.digest
        return dict(self._without_orphans(index, kept)), found

    def _without_orphans(self, index: Manifest, kept: dict[int, Digest]) -> Iterator[tuple[int, Digest]]:
        """Yield the entries to keep without attestations of removed images.

        BuildKit's attestations name their image, an entry of the same index, in an annotation."""
        siblings = {str(child.digest) for child in index.manifests}
        kept_digests = {str(digest) for digest in kept.values()}
        for number, digest in kept.items():
            about = index.manifests[number].annotations.get(ANNOTATION_DOCKER_SUBJECT)
            if about is None or about not in siblings or about in kept_digests:
                yield number, digest

    def _listed(self, members: dict[str, Any], digest: Digest) -> dict[str, Any]:
        manifest = self.manifests.get(digest)
        if members["digest"] == str(digest) or manifest is None:
            return members
        return {**members, "digest": str(digest), "size": manifest.descriptor.size}

    def _platform(self, child: Descriptor) -> Platform | None:
        """Return the platform from the index, or from the image's config; None for artifacts and attestations."""
        manifest = self.manifests.get(child.digest)
        described = (child, *([] if manifest is None else [manifest.descriptor]))
        known = [one.platform for one in described if one.platform is not None and one.platform.known]
        return next((platform for platform in known if platform.complete), known[0] if known else None)

    def _is_wanted(self, platform: Platform) -> bool:
        return any(platform.matches(wanted) for wanted in self._wanted)


def keep_original_manifests(archive: Archive) -> Archive:
    """Return the archive with the original manifests of docker >= 25, whose layers are stored uncompressed.

    These are pushed if layers are not to be compressed. A note lists the images whose media types are then wrong."""
    wrong = {
        pushed_mislabelled(_title(image), found): None
        for image in archive.images
        if image.original is not None and archive.mislabelled
        if (found := mislabelled_layers(archive.manifests[image.original.digest].layers, archive.mislabelled))
    }
    notes = (*archive.notes, *list(wrong)[:MAX_SHOWN])
    return replace(archive, images=tuple(_original(image) for image in archive.images), notes=notes)


def _original(image: ImageEntry) -> ImageEntry:
    return image if image.original is None else replace(image, root=image.original, original=None)
