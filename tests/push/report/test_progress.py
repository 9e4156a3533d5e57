"""Events folded into what people see."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.push import (
    BlobDone,
    BlobSent,
    Event,
    ImageChanged,
    ImageState,
    NoticeAdded,
    Outcome,
    Progress,
    PushPlan,
    SentEarly,
    apply_event,
    start_progress,
    with_rate,
    with_received,
)
from app.push.report.progress import MAX_UNFINISHED_PERCENT, BlobProgress
from tests.push.given import planned
from tests.support.archives import docker_save, image, tagged

PLAN = planned(docker_save([tagged(image({"a": b"1"}, {"b": b"2"}), "app:1", "other:1")]))
LAYER = PLAN.blobs[0]


def test_the_fields_are_those_of_the_contract() -> None:
    assert [field.name for field in fields(Progress)] == [
        *("bytes_received", "bytes_expected", "bytes_total", "bytes_done", "bytes_sent"),
        *("blobs_total", "blobs_done", "blobs_reused", "images_total", "images_done"),
        *("images_pushed", "images_present", "images_skipped", "images_failed"),
        *("percent", "bytes_per_second", "eta_seconds"),
        "blobs_under_way",  # beside `progress` in the document
        "blobs_sent",  # not in the document
    ]


def test_what_is_under_way_is_told_blob_by_blob_until_it_is_there() -> None:
    meter = start_progress(Progress(), PLAN)
    meter = apply_event(meter, BlobSent("one", LAYER.key, 100, 50))
    meter = apply_event(meter, BlobSent("two", LAYER.key, 0, 10))
    meter = apply_event(meter, BlobSent("one", LAYER.key, 200, 70))
    size = LAYER.extent.size
    told = [BlobProgress(repository, str(LAYER.key), done, size) for repository, done in (("one", 200), ("two", 0))]
    assert meter.progress.blobs_under_way == tuple(told)
    meter = apply_event(meter, BlobDone("one", LAYER.key, Outcome.PUSHED, size))
    assert meter.progress.blobs_under_way == (told[1],)


def test_the_totals_count_each_content_once_and_each_place_of_it() -> None:
    progress = start_progress(Progress(), PLAN).progress
    assert progress.bytes_total == sum(step.extent.size for step in PLAN.blobs)
    assert progress.blobs_total == 2 * len(PLAN.blobs) == 6
    assert (progress.images_total, progress.percent) == (1, 0.0)


def test_what_is_there_or_mounted_counts_at_once() -> None:
    meter = start_progress(Progress(), PLAN)
    size = LAYER.extent.size
    meter = apply_event(meter, BlobDone("one", LAYER.key, Outcome.EXISTS, size))
    meter = apply_event(meter, BlobDone("two", LAYER.key, Outcome.MOUNTED))
    progress = meter.progress
    assert (progress.bytes_done, progress.bytes_sent, progress.blobs_done, progress.blobs_reused) == (size, 0, 2, 2)


def test_a_second_attempt_does_not_count_twice() -> None:
    meter = start_progress(Progress(), PLAN)
    for position in (1000, 2000, 1000, 2000, 3000):
        meter = apply_event(meter, BlobSent("one", LAYER.key, position, 100))
    meter = apply_event(meter, BlobSent("two", LAYER.key, 2500, 250))  # the first repository refused it in the end
    assert meter.progress.bytes_done == 3000
    meter = apply_event(meter, BlobDone("two", LAYER.key, Outcome.PUSHED, LAYER.extent.size))
    assert meter.progress.bytes_done == LAYER.extent.size
    assert meter.progress.bytes_sent == 5 * 100 + 250  # what is sent again has been sent


def test_a_hundred_percent_is_said_when_every_image_has_landed() -> None:
    meter = start_progress(Progress(), PLAN)
    for step in PLAN.blobs:
        meter = apply_event(meter, BlobDone("one", step.key, Outcome.PUSHED, step.extent.size))
    meter = apply_event(meter, ImageChanged(0, ImageState.PUSHING))
    assert meter.progress.percent == MAX_UNFINISHED_PERCENT
    meter = apply_event(meter, ImageChanged(0, ImageState.PUSHED))
    assert (meter.progress.percent, meter.progress.images_done, meter.progress.eta_seconds) == (100.0, 1, 0)


@pytest.mark.parametrize("lost", [ImageState.FAILED, ImageState.CANCELLED])
def test_a_retry_goes_on_from_where_a_push_that_did_not_land_has_come(lost: ImageState) -> None:
    meter = apply_event(start_progress(Progress(), PLAN), BlobSent("one", LAYER.key, LAYER.extent.size, 1))
    come = meter.progress.percent
    meter = apply_event(meter, ImageChanged(0, lost))
    assert (meter.progress.percent, meter.progress.images_done, meter.progress.eta_seconds) == (come, 1, 0)
    meter = apply_event(start_progress(meter.progress, PLAN), ImageChanged(0, ImageState.PUSHED))
    assert meter.progress.percent == 100.0


def test_without_bytes_the_images_count() -> None:
    meter = start_progress(Progress(), replace(PLAN, blobs=(), images=PLAN.images * 4))
    assert apply_event(meter, ImageChanged(0, ImageState.FAILED)).progress.percent == 25.0


def test_receiving_is_the_first_half_and_pushing_the_second() -> None:
    progress = Progress()
    assert with_received(progress, 500, None) == replace(progress, bytes_received=500)
    progress = with_received(progress, 500, 1000)
    assert progress == replace(Progress(), bytes_received=500, bytes_expected=1000, percent=25.0)
    progress = with_received(progress, 2000, 1000)
    assert progress.percent == 50.0
    meter = start_progress(with_received(Progress(), 500, None), PLAN)
    assert meter.progress.percent == 50.0
    half = BlobSent("one", LAYER.key, meter.progress.bytes_total // 2, 1)
    assert apply_event(meter, half).progress.percent == 75.0
    assert start_progress(apply_event(meter, half).progress, PLAN).progress.percent == 75.0


def test_an_empty_plan_is_done() -> None:
    assert start_progress(Progress(), PushPlan((), (), ())).progress.percent == 100.0


def test_rate_and_remaining_time_come_from_the_clock_that_is_given() -> None:
    meter = with_rate(
        start_progress(Progress(), replace(PLAN, blobs=(replace(LAYER, extent=replace(LAYER.extent, size=10_000)),))),
        5.0,
    )
    meter = apply_event(meter, BlobSent("one", LAYER.key, 2000, 500))
    assert with_rate(meter, 5.1) == meter
    meter = with_rate(meter, 7.0)
    assert (meter.progress.bytes_per_second, meter.progress.eta_seconds) == (1000, 8)
    meter = apply_event(meter, BlobSent("one", LAYER.key, 6000, 500))
    meter = with_rate(meter, 9.0)
    assert (meter.progress.bytes_per_second, meter.progress.eta_seconds) == (1300, 3)
    meter = with_rate(apply_event(meter, ImageChanged(0, ImageState.PUSHED)), 10.0)
    assert meter.progress.eta_seconds == 0


def test_what_is_reused_makes_no_rate_and_no_rate_no_time() -> None:
    meter = with_rate(start_progress(Progress(), PLAN), 0.0)
    meter = with_rate(apply_event(meter, BlobDone("one", LAYER.key, Outcome.EXISTS, LAYER.extent.size)), 1.0)
    assert (meter.progress.bytes_per_second, meter.progress.eta_seconds) == (0, None)
    assert apply_event(meter, NoticeAdded("something")) == meter


repositories = st.sampled_from(["one", "two"])
keys = st.sampled_from([step.key for step in PLAN.blobs])
counts = st.integers(0, LAYER.extent.size)
events = st.one_of(
    st.builds(BlobSent, repositories, keys, counts, counts),
    st.builds(BlobDone, repositories, keys, st.sampled_from(Outcome), counts),
    st.builds(SentEarly, counts, st.integers(0, 2)),
    st.builds(ImageChanged, st.just(0), st.sampled_from(ImageState)),
)


@given(st.lists(events, max_size=40), st.booleans())
def test_nothing_ever_falls_whatever_the_order(order: list[Event], uploaded: bool) -> None:
    meter = start_progress(Progress(bytes_received=int(uploaded)), PLAN)
    for second, event in enumerate(order):
        before = meter.progress
        meter = with_rate(apply_event(meter, event), float(second))
        after = meter.progress
        assert before.percent <= after.percent <= 100.0
        assert before.bytes_done <= after.bytes_done
        assert before.bytes_sent <= after.bytes_sent
        assert after.bytes_per_second >= 0
        ended = after.images_done >= after.images_total
        assert ended if after.percent == 100.0 else not ended or meter.lost
