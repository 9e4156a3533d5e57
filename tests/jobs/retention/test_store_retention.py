"""Images of the store expire by age and number, and a clock that is wrong expires nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.settings import Settings
from app.jobs.retention.stored_images import StoreRetention
from app.registry.oci_layout.image_store import ImageStore
from app.registry.oci_layout.reachability import RetentionRule
from app.registry.oci_layout.registry import LayoutRegistry
from tests.registry.oci_layout.landing import land
from tests.support.archives import image, oci_image

DAY = 86_400.0
MONTH = RetentionRule(older_than=30 * DAY)


class Times:
    """The clock, and how long the service has run."""

    def __init__(self) -> None:
        self.clock, self.age = 1_800_000_000.0, 0.0

    def pass_by(self, seconds: float) -> None:
        self.clock += seconds
        self.age += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def store(tmp_path: Path, times: Times) -> ImageStore:
    return ImageStore(LayoutRegistry(tmp_path / "images", lambda: times.clock), lambda: times.clock)


def retention(store: ImageStore, times: Times, rule: RetentionRule) -> StoreRetention:
    """As a service that has just started has it."""
    return StoreRetention(store, rule, store.registry.files.root.parent / "seen.json", lambda: times.age)


async def push(store: ImageStore, tag: str) -> None:
    await land(store.registry, "team/app", oci_image(image({"tag": tag.encode()})), tag)


async def test_tags_expire_when_the_service_has_run_for_so_long(store: ImageStore, times: Times) -> None:
    await push(store, "1")
    await retention(store, times, MONTH).apply()
    times.pass_by(20 * DAY)
    await push(store, "2")
    await retention(store, times, MONTH).apply()
    times.pass_by(11 * DAY)
    await retention(store, times, MONTH).apply()
    assert await store.registry.tags("team/app") == ["2"]


async def test_a_clock_that_is_ahead_expires_nothing(store: ImageStore, times: Times) -> None:
    await push(store, "1")
    await retention(store, times, MONTH).apply()
    times.clock += 400 * DAY
    times.age += DAY
    await retention(store, times, MONTH).apply()
    assert await store.registry.tags("team/app") == ["1"]


async def test_a_push_again_is_as_new(store: ImageStore, times: Times) -> None:
    await push(store, "1")
    await retention(store, times, MONTH).apply()
    times.pass_by(29 * DAY)
    await store.registry.keep([("team/app", "1")])
    times.pass_by(2 * DAY)
    await retention(store, times, MONTH).apply()
    assert await store.registry.tags("team/app") == ["1"]


async def test_the_newest_tags_stay(store: ImageStore, times: Times) -> None:
    for tag in ("1", "2", "3"):
        await push(store, tag)
        times.pass_by(DAY)
    await retention(store, times, RetentionRule(keep_tags=2)).apply()
    assert await store.registry.tags("team/app") == ["2", "3"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": "y"}'])
async def test_a_damaged_file_of_what_was_seen_starts_anew(store: ImageStore, times: Times, content: bytes) -> None:
    (store.registry.files.root.parent / "seen.json").write_bytes(content)
    await push(store, "1")
    times.pass_by(31 * DAY)
    await retention(store, times, MONTH).apply()
    assert await store.registry.tags("team/app") == ["1"]
    times.pass_by(31 * DAY)
    await retention(store, times, MONTH).apply()
    assert await store.registry.tags("team/app") is None


def test_the_bounds_are_settings() -> None:
    settings = Settings.model_validate({"store_keep_days": "30", "store_keep_tags": "5"})
    assert (settings.store_keep_days, settings.store_keep_tags) == (30, 5)
