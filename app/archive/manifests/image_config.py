"""The parts of an image config that a container runtime reads (image-spec config.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.archive.model import DEFAULT_LIMITS, Extent, Limits
from app.errors import ArchiveError
from app.oci import Platform, count_values, strict_json
from app.oci.manifest import MAX_REFERENCES

MAX_SPARE_VALUES = 4_000_000  # of configs that are read only for notices; 10,000 typical ones have 3 million, 0.6 s


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """`diff_ids` are as written; None without a list of them: then it is not an image config."""

    platform: Platform
    diff_ids: tuple[str, ...] | None


def parse_image_config(raw: bytes, limit: int) -> ImageConfig | None:
    """Parse a config; None if it cannot be read, as such a config is pushed unchanged."""
    try:
        members = strict_json(raw, what="config", limit=limit)
    except ArchiveError:
        return None
    return ImageConfig(Platform.of(members), _diff_ids(members)) if isinstance(members, dict) else None


def _diff_ids(members: Mapping[str, Any]) -> tuple[str, ...] | None:
    rootfs = members.get("rootfs")
    if not isinstance(rootfs, dict):
        return None
    diff_ids = rootfs.get("diff_ids") or []
    if (
        isinstance(diff_ids, list)
        and len(diff_ids) <= MAX_REFERENCES
        and all(isinstance(text, str) for text in diff_ids)
    ):
        return tuple(diff_ids)
    return None


@dataclass(slots=True)
class ImageConfigs:
    """The configs of an archive by extent: 20,000 images may share one config of 8 MiB."""

    limits: Limits = DEFAULT_LIMITS
    _known: dict[Extent, ImageConfig | None] = field(default_factory=dict)
    _diff_ids: int = 0
    _bytes: int = 0
    _values: int = 0

    def __contains__(self, extent: object) -> bool:
        return extent in self._known

    def __getitem__(self, extent: Extent) -> ImageConfig | None:
        return self._known[extent]

    def add(self, extent: Extent, raw: bytes) -> None:
        """Parse and store a config. Once all have `Limits.references` diff_ids, further diff_ids are not stored."""
        config = parse_image_config(raw, self.limits.config_bytes)
        if config is not None and config.diff_ids is not None:
            self._diff_ids += len(config.diff_ids)
            if self._diff_ids > self.limits.references:
                config = ImageConfig(config.platform, None)
        self._known[extent] = config

    def has_budget(self, size: int) -> bool:
        """Return whether one more config of `size` bytes may be read only for notices."""
        return self._values < MAX_SPARE_VALUES and self._bytes + size <= self.limits.documents_bytes

    def add_spare(self, extent: Extent, raw: bytes) -> None:
        """Add a config that was read only for notices."""
        self._bytes += len(raw)
        self._values += count_values(raw)
        self.add(extent, raw)
