"""Bytes to send per image: shared content is sent once, and counts for the first image; pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from app.archive.model import Archive, ImageEntry
from app.errors import ArchiveError
from app.oci import Digest
from app.push.plan.image_content import ImageBlob, image_blobs
from app.push.plan.values import PushPlan

Key = tuple[Digest, bool]  # of a blob: its digest and False; of a docker archive's layer: its DiffID and True


@dataclass(frozen=True, slots=True)
class TransferSize:
    """Bytes in the archive, without manifests.

    `to_send`: to be sent for this image and for none before it; None if its content is incomplete. `at_registry`: None
    if the registry was not asked.
    """

    to_send: int | None = None
    at_registry: int | None = None


def key_of(content: ImageBlob) -> Key:
    return content.key, content.layer is not None


def transfer_sizes(archive: Archive) -> tuple[TransferSize, ...]:
    """Return the sizes for an empty registry."""
    counted: set[Key] = set()
    return tuple(_transfer_size(archive, entry, counted) for entry in archive.images)


def _transfer_size(archive: Archive, entry: ImageEntry, counted: set[Key]) -> TransferSize:
    try:
        found = image_blobs(archive, entry)
    except ArchiveError:  # the push reports what is missing; the other sizes are still known
        return TransferSize()
    return TransferSize(_new_bytes(found, counted))


def _new_bytes(found: tuple[ImageBlob, ...], counted: set[Key]) -> int:
    new = [blob for blob in found if key_of(blob) not in counted]
    counted.update(map(key_of, new))
    return sum(item.extent.size for item in new)


def transfer_sizes_after(plan: PushPlan, asked: Set[int], to_send: Set[Key]) -> tuple[TransferSize, ...]:
    """Return the sizes for each image of `plan`.

    `asked`: the images that the registry was asked about; `to_send`: blobs that it lacks.
    """
    counted: set[Key] = set()
    sizes = []
    for number, target in enumerate(plan.images):
        if number not in asked:
            sizes.append(TransferSize())
            continue
        found = image_blobs(plan.archives[target.archive], target.entry)
        wanted = tuple(blob for blob in found if key_of(blob) in to_send)
        there = sum(blob.extent.size for blob in found) - sum(blob.extent.size for blob in wanted)
        sizes.append(TransferSize(_new_bytes(wanted, counted), there))
    return tuple(sizes)
