"""A page of the images of a job. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import InvalidRequest
from app.jobs.model import JobImage, shown_images


@dataclass(frozen=True, slots=True)
class ImagePage:
    """One page. `first` is the number of its first image in the job, `total` the number of images in the job.

    `next_cursor` is None on the last page."""

    first: int
    images: tuple[JobImage, ...]
    total: int
    next_cursor: str | None


def page_of(images: Sequence[JobImage], first: int, total: int) -> ImagePage:
    """Return a page with as many of `images` as one response may contain."""
    fitting = shown_images(images)
    following = first + len(fitting)
    return ImagePage(first, fitting, total, _cursor(following) if fitting and following < total else None)


def parse_image_cursor(cursor: str) -> int:
    """Return the image number in a cursor. Raises InvalidRequest."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    start, _, number = text.partition("|")
    if start != "images" or not (number.isdigit() and len(number) <= 9):
        raise InvalidRequest("unknown cursor: not from a page of images; start without one")
    return int(number)


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"images|{number}".encode()).decode().rstrip("=")


__all__ = ["ImagePage", "page_of", "parse_image_cursor"]
