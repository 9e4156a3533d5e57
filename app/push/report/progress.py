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
MAX_UNFINISHED_PERCENT = 99.9  # 100 requires that every image was pushed: a retry of the others needs room to progress
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
TransferKey = tuple[str, Digest]
_NOTHING: Mapping[TransferKey, int] = MappingProxyType({})
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
    under_way: Mapping[TransferKey, int] = field(default_factory=lambda: _NOTHING)
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
    pairs = {(step.key, repository) for step in plan.blobs for repository in step.repositories}
    base = max(progress.percent, RECEIVING_SHARE if progress.bytes_received else 0.0)
    fresh = Progress(
        bytes_received=progress.bytes_received,
        bytes_expected=progress.bytes_expected,
        bytes_total=sum(sizes.values()),
        bytes_sent=progress.bytes_sent,
        blobs_sent=progress.blobs_sent,
        blobs_total=len(pairs),
        images_total=len(plan.images),
        percent=base,
    )
    return _with_display(ProgressTracker(fresh, base, MappingProxyType(sizes), sent_before=progress.blobs_sent), fresh)


def apply_event(tracker: ProgressTracker, event: Event) -> ProgressTracker:
    """Return the tracker after one more event. `percent` never falls."""
    match event:
        case BlobSent():
            return _sent(tracker, event)
        case BlobDone():
            return _done(tracker, event)
        case SentEarly():
            sent_before = tracker.sent_before + event.blobs
            return _reused(replace(tracker, progress=sent_early(tracker.progress, event), sent_before=sent_before))
        case ImageChanged() if event.state in ENDED:
            return _ended(tracker, event.state)
    return tracker


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


def _ended(tracker: ProgressTracker, state: ImageState) -> ProgressTracker:
    progress = replace(tracker.progress, images_done=tracker.progress.images_done + 1)
    if state in COUNTED_AS:
        name = COUNTED_AS[state]
        progress = replace(progress, **{name: getattr(progress, name) + 1})
    return _with_display(replace(tracker, lost=tracker.lost + (state in LOST)), progress)


def _sent(tracker: ProgressTracker, event: BlobSent) -> ProgressTracker:
    transfer_key, progress = (event.repository, event.key), tracker.progress
    position = max(tracker.under_way.get(transfer_key, 0), event.position)
    gained = max(0, event.position - _counted(tracker, event.key))
    return _with_display(
        replace(
            tracker,
            under_way=MappingProxyType({**tracker.under_way, transfer_key: position}),
            moved=tracker.moved + gained,
        ),
        replace(progress, bytes_done=progress.bytes_done + gained, bytes_sent=progress.bytes_sent + event.sent),
    )


def _counted(tracker: ProgressTracker, key: Digest) -> int:
    """Return the source bytes of unfinished content that already count, at any repository."""
    return max((position for (_, other), position in tracker.under_way.items() if other == key), default=0)


def _done(tracker: ProgressTracker, event: BlobDone) -> ProgressTracker:
    transfer_key, progress = (event.repository, event.key), tracker.progress
    gained = max(0, event.size - _counted(tracker, event.key))
    pushed = event.outcome is Outcome.PUSHED
    left = {other: position for other, position in tracker.under_way.items() if other != transfer_key}
    done = replace(
        progress,
        bytes_done=progress.bytes_done + gained,
        blobs_done=progress.blobs_done + 1,
        blobs_sent=progress.blobs_sent + pushed,
    )
    moved, found = tracker.moved + gained * pushed, tracker.found + (not pushed)
    return _reused(_with_display(replace(tracker, under_way=MappingProxyType(left), moved=moved, found=found), done))


def _reused(tracker: ProgressTracker) -> ProgressTracker:
    """Count reused blobs.

    Blobs that this job sent itself, early or in an earlier attempt, are found present and do not count.
    """
    reused = max(tracker.progress.blobs_reused, tracker.found - tracker.sent_before)
    return replace(tracker, progress=replace(tracker.progress, blobs_reused=reused))


def _with_display(tracker: ProgressTracker, progress: Progress) -> ProgressTracker:
    """Return the tracker with percent and running blobs updated, and 0 seconds left when every image has ended."""
    is_over = progress.images_done >= progress.images_total
    shown = replace(
        progress,
        percent=100.0 if is_over and not tracker.lost else max(progress.percent, _percent(tracker, progress)),
        eta_seconds=0 if is_over else progress.eta_seconds,
        blobs_under_way=tuple(_under_way(tracker)),
    )
    return replace(tracker, progress=shown)


def _percent(tracker: ProgressTracker, progress: Progress) -> float:
    if progress.bytes_total:
        part = min(progress.bytes_done, progress.bytes_total) / progress.bytes_total
    else:
        part = progress.images_done / progress.images_total
    return min(MAX_UNFINISHED_PERCENT, round(tracker.base + (100.0 - tracker.base) * part, 1))


def _under_way(tracker: ProgressTracker) -> Iterator[BlobProgress]:
    for (repository, key), position in tracker.under_way.items():
        yield BlobProgress(repository, str(key), position, tracker.sizes.get(key, 0))


def with_rate(tracker: ProgressTracker, now: float) -> ProgressTracker:
    """Return the tracker with rate and remaining time at `now`, in seconds of a monotonic clock."""
    if tracker.marked is None:
        return replace(tracker, marked=(now, tracker.moved))
    since, moved = tracker.marked
    if now - since < MIN_INTERVAL:
        return tracker
    latest = (tracker.moved - moved) / (now - since)
    earlier = tracker.progress.bytes_per_second
    rate = earlier + SMOOTHING * (latest - earlier) if earlier else latest
    progress = replace(tracker.progress, bytes_per_second=int(rate), eta_seconds=_eta(tracker.progress, rate))
    return replace(tracker, progress=progress, marked=(now, tracker.moved))


def _eta(progress: Progress, rate: float) -> int | None:
    if progress.images_done >= progress.images_total:
        return 0
    left = max(0, progress.bytes_total - progress.bytes_done)
    return round(left / rate) if rate >= 1 else None
