"""Checks of a manifest that is pushed to the layout, and of one that is read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import ArchiveError, DigestMismatch, RegistryFault, RegistryRejected, SizeMismatch, join_limited
from app.oci import Descriptor, Digest, Manifest, parse_manifest, parse_tag, referrer
from app.oci.media_types import is_manifest
from app.registry.oci_layout.adoption import optional_content

MAX_NAMED = 3  # missing digests in one message


def parse_pushed(descriptor: Descriptor, raw: bytes) -> Manifest:
    """Parse a manifest that is pushed. Raises RegistryRejected."""
    try:
        parsed = parse_manifest(raw, descriptor)
    except (DigestMismatch, SizeMismatch) as error:
        raise RegistryRejected(f"the image store rejects a manifest: DIGEST_INVALID, {error}") from None
    except ArchiveError as error:
        raise RegistryRejected(f"the image store rejects a manifest: MANIFEST_INVALID, {error}") from None
    if not is_manifest(descriptor.media_type):
        raise RegistryRejected(
            f"the image store rejects a manifest: MANIFEST_INVALID, {descriptor.media_type} is neither an image "
            "manifest nor an index"
        )
    return parsed


def check_references(manifest: Manifest, size_of: Callable[[Digest], int | None]) -> frozenset[Digest]:
    """Return the optional content that the repository has. Raises RegistryRejected if it lacks required content.

    `size_of` returns the size of content that the repository has.
    """
    optional = {content.digest for content in optional_content(manifest)}
    missing, held = [], set[Digest]()
    for reference in (*manifest.blobs, *manifest.manifests):
        size = size_of(reference.digest)
        if size is None and reference.digest not in optional and not manifest.is_index:
            missing.append(str(reference.digest))
        elif size not in {None, reference.size}:
            raise RegistryRejected(
                f"the image store rejects manifest {manifest.descriptor.digest}: MANIFEST_INVALID, it states "
                f"{reference.size} bytes for {reference.digest}, which has {size}"
            )
        elif size is not None and reference.digest in optional:
            held.add(reference.digest)
    if missing:
        raise RegistryRejected(
            f"the image store rejects manifest {manifest.descriptor.digest}: MANIFEST_BLOB_UNKNOWN, it refers to "
            f"{join_limited(missing, MAX_NAMED)}, which is missing; push that first"
        )
    return frozenset(held)


def tag_of(reference: str, descriptor: Descriptor) -> str | None:
    """Return `reference` if it is a tag, or None if it is the digest of `descriptor`. Raises RegistryRejected."""
    if ":" not in reference:
        return parse_tag(reference)
    if reference != str(descriptor.digest):
        raise RegistryRejected(
            f"the image store rejects a manifest: DIGEST_INVALID, it has {descriptor.digest}, not {reference:.200}"
        )
    return None


def as_referrer(descriptor: Descriptor, raw: bytes) -> Descriptor:
    """Return the descriptor of a stored manifest for a list of referrers. Raises RegistryFault."""
    with damage():
        return referrer(parse_manifest(raw, descriptor))


@contextmanager
def damage() -> Iterator[None]:
    """Convert an ArchiveError about stored content to a RegistryFault."""
    try:
        yield
    except ArchiveError as error:
        raise RegistryFault(f"the image store has damaged content: {error}; delete that file and push again") from None
