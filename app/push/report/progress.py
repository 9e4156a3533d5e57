"""The progress of a push, folded from its events; pure, the time is a parameter.

meter = start_progress(progress, plan)   totals known, nothing done
meter = apply_event(meter, event)        for every event
meter = with_rate(meter, now)            about once a second: rate and remaining time
meter.progress                           the displayed value
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from app.oci import Digest
from app.push.plan.values import PushPlan
from app.push.report.events import BlobDone, BlobSent, Event, ImageChanged, ImageState, Outcome, SentEarly

ENDED = frozenset(ImageState) - {ImageState.PENDING, ImageState.PUSHING}
LOST = frozenset({ImageState.FAILED, ImageState.CANCELLED})
RECEIVING_SHARE = 50.0  # percent for receiving an upload; the push counts for the rest
ALMOST = 99.9  # 100 requires that every image was pushed: a retry of the others needs room to progress
SMOOTHING = 0.3  # weight of the latest second in the rate, which follows a change within some seconds
MIN_INTERVAL = 0.5  # seconds; a rate over less would fluctuate


@dataclass(frozen=True, slots=True)
class BlobProgress:
    """A blob that is being sent to `repository`.

    `digest` is that of its content in the archive (the DiffID of a docker archive's layer), `bytes_done` the number of
    its bytes read, out of `bytes_total`.
    """

    repository: str
    digest: str
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The `progress` of the job document.

    bytes_total, bytes_done   source bytes of all content, each counted once even if several repositories need it;
                              content that is present or mounted counts as done at once
    bytes_sent                payload bytes of blobs that the registry read for this job, in all attempts, including
                              resent ones; without manifests
    blobs_*                   (blob, repository) pairs; reused = available without being sent for this job: present
                              or mounted
    blobs_sent                blobs that were sent for this job, in all attempts
    images_*                  done = all that have ended; pushed, present, skipped, failed: those in that state
    bytes_per_second, eta_seconds   of the source bytes that must be read
    blobs_under_way           blobs that are being sent, in the order of their start
    """

    bytes_received: int = 0
    bytes_expected: int | None = None
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_sent: int = 0
    blobs_total: int = 0
    blobs_done: int = 0
    blobs_reused: int = 0
    images_total: int = 0
    images_done: int = 0
    images_pushed: int = 0
    images_present: int = 0
    images_skipped: int = 0
    images_failed: int = 0
    percent: float = 0.0
    bytes_per_second: int = 0
    eta_seconds: int | None = None
    blobs_under_way: tuple[BlobProgress, ...] = ()
    blobs_sent: int = 0


COUNTED_AS: Mapping[ImageState, str] = MappingProxyType(
    {
        ImageState.PUSHED: "images_pushed",
        ImageState.ALREADY_PRESENT: "images_present",
        ImageState.SKIPPED: "images_skipped",
        ImageState.FAILED: "images_failed",
    }
)
Place = tuple[str, Digest]
_NOTHING: Mapping[Place, int] = MappingProxyType({})
_NO_SIZES: Mapping[Digest, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ProgressTracker:
    """A Progress, and the state needed to fold the next event into it.

    sizes       source bytes of every content
    under_way   blobs that are not done: bytes read of their source
    base        percent at the start of the push
    moved       source bytes that required reading, the basis of the rate
    marked      the time of the last rate, and `moved` then
    lost        images that failed or were cancelled
    found       blobs that were present or mounted, of which this job had sent `sent_before` before
    """

    progress: Progress
    base: float = 0.0
    sizes: Mapping[Digest, int] = field(default_factory=lambda: _NO_SIZES)
    under_way: Mapping[Place, int] = field(default_factory=lambda: _NOTHING)
    moved: int = 0
    marked: tuple[float, int] | None = None
    lost: int = 0
    found: int = 0
    sent_before: int = 0


def with_received(progress: Progress, count: int, expected: int | None) -> Progress:
    """Return the progress of an upload: `count` bytes received, of `expected` if the client announced it."""
    share = RECEIVING_SHARE * min(count, expected) / expected if expected else 0.0
    percent = max(progress.percent, round(share, 1))
    return replace(progress, bytes_received=count, bytes_expected=expected, percent=percent)


def start_progress(progress: Progress, plan: PushPlan) -> ProgressTracker:
    """Return the tracker at the start of an attempt: the totals of `plan`, nothing done, percent unchanged."""
    sizes = {step.key: step.extent.size for step in plan.blobs}
    places = {(step.key, repository) for step in plan.blobs for repository in step.repositories}
    base = max(progress.percent, RECEIVING_SHARE if progress.bytes_received else 0.0)
    fresh = Progress(
        bytes_received=progress.bytes_received,
        bytes_expected=progress.bytes_expected,
        bytes_total=sum(sizes.values()),
        bytes_sent=progress.bytes_sent,
        blobs_sent=progress.blobs_sent,
        blobs_total=len(places),
        images_total=len(plan.images),
        percent=base,
    )
    return _shown(ProgressTracker(fresh, base, MappingProxyType(sizes), sent_before=progress.blobs_sent), fresh)


def apply_event(meter: ProgressTracker, event: Event) -> ProgressTracker:
    """Return the tracker after one more event. `percent` never falls."""
    match event:
        case BlobSent():
            return _sent(meter, event)
        case BlobDone():
            return _done(meter, event)
        case SentEarly():
            sent_before = meter.sent_before + event.blobs
            return _reused(replace(meter, progress=sent_early(meter.progress, event), sent_before=sent_before))
        case ImageChanged() if event.state in ENDED:
            return _ended(meter, event.state)
    return meter


def with_images(progress: Progress, states: Collection[ImageState]) -> Progress:
    """Return `progress` with the counts of images in these states."""
    counted = Counter(states)
    return replace(
        progress,
        images_total=len(states),
        images_done=sum(counted[state] for state in ENDED),
        images_pushed=counted[ImageState.PUSHED],
        images_present=counted[ImageState.ALREADY_PRESENT],
        images_skipped=counted[ImageState.SKIPPED],
        images_failed=counted[ImageState.FAILED],
    )


def sent_early(progress: Progress, event: SentEarly) -> Progress:
    return replace(progress, bytes_sent=progress.bytes_sent + event.size, blobs_sent=progress.blobs_sent + event.blobs)


def _ended(meter: ProgressTracker, state: ImageState) -> ProgressTracker:
    progress = replace(meter.progress, images_done=meter.progress.images_done + 1)
    if state in COUNTED_AS:
        name = COUNTED_AS[state]
        progress = replace(progress, **{name: getattr(progress, name) + 1})
    return _shown(replace(meter, lost=meter.lost + (state in LOST)), progress)


def _sent(meter: ProgressTracker, event: BlobSent) -> ProgressTracker:
    place, progress = (event.repository, event.key), meter.progress
    position = max(meter.under_way.get(place, 0), event.position)
    gained = max(0, event.position - _counted(meter, event.key))
    return _shown(
        replace(meter, under_way=MappingProxyType({**meter.under_way, place: position}), moved=meter.moved + gained),
        replace(progress, bytes_done=progress.bytes_done + gained, bytes_sent=progress.bytes_sent + event.sent),
    )


def _counted(meter: ProgressTracker, key: Digest) -> int:
    """Return the source bytes of unfinished content that already count, at any repository."""
    return max((position for (_, other), position in meter.under_way.items() if other == key), default=0)


def _done(meter: ProgressTracker, event: BlobDone) -> ProgressTracker:
    place, progress = (event.repository, event.key), meter.progress
    gained = max(0, event.size - _counted(meter, event.key))
    pushed = event.outcome is Outcome.PUSHED
    left = {other: position for other, position in meter.under_way.items() if other != place}
    done = replace(
        progress,
        bytes_done=progress.bytes_done + gained,
        blobs_done=progress.blobs_done + 1,
        blobs_sent=progress.blobs_sent + pushed,
    )
    moved, found = meter.moved + gained * pushed, meter.found + (not pushed)
    return _reused(_shown(replace(meter, under_way=MappingProxyType(left), moved=moved, found=found), done))


def _reused(meter: ProgressTracker) -> ProgressTracker:
    """Count reused blobs.

    Blobs that this job sent itself, early or in an earlier attempt, are found present and do not count.
    """
    reused = max(meter.progress.blobs_reused, meter.found - meter.sent_before)
    return replace(meter, progress=replace(meter.progress, blobs_reused=reused))


def _shown(meter: ProgressTracker, progress: Progress) -> ProgressTracker:
    """Return the tracker with percent and running blobs updated, and 0 seconds left when every image has ended."""
    is_over = progress.images_done >= progress.images_total
    shown = replace(
        progress,
        percent=100.0 if is_over and not meter.lost else max(progress.percent, _percent(meter, progress)),
        eta_seconds=0 if is_over else progress.eta_seconds,
        blobs_under_way=tuple(_under_way(meter)),
    )
    return replace(meter, progress=shown)


def _percent(meter: ProgressTracker, progress: Progress) -> float:
    if progress.bytes_total:
        part = min(progress.bytes_done, progress.bytes_total) / progress.bytes_total
    else:
        part = progress.images_done / progress.images_total
    return min(ALMOST, round(meter.base + (100.0 - meter.base) * part, 1))


def _under_way(meter: ProgressTracker) -> Iterator[BlobProgress]:
    for (repository, key), position in meter.under_way.items():
        yield BlobProgress(repository, str(key), position, meter.sizes.get(key, 0))


def with_rate(meter: ProgressTracker, now: float) -> ProgressTracker:
    """Return the tracker with rate and remaining time at `now`, in seconds of a monotonic clock."""
    if meter.marked is None:
        return replace(meter, marked=(now, meter.moved))
    since, moved = meter.marked
    if now - since < MIN_INTERVAL:
        return meter
    latest = (meter.moved - moved) / (now - since)
    earlier = meter.progress.bytes_per_second
    rate = earlier + SMOOTHING * (latest - earlier) if earlier else latest
    progress = replace(meter.progress, bytes_per_second=int(rate), eta_seconds=_eta(meter.progress, rate))
    return replace(meter, progress=progress, marked=(now, meter.moved))


def _eta(progress: Progress, rate: float) -> int | None:
    if progress.images_done >= progress.images_total:
        return 0
    left = max(0, progress.bytes_total - progress.bytes_done)
    return round(left / rate) if rate >= 1 else None
