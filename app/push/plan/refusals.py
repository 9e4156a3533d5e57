"""Images of a plan that cannot be pushed: they refuse the request, or fail while the others are pushed; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from app.errors import TarmacError
from app.push.plan.image_content import display_name
from app.push.plan.naming import with_fault
from app.push.plan.values import ImageTarget, PushPlan

MAX_REASONS_CHARACTERS = 6_000  # characters about all images in one message; each image has its own problem in the job
MAX_REASON = 400  # characters of one reason; a longer one is complete in the problem of its image


def with_refusals(plan: PushPlan, errors: Mapping[int, TarmacError]) -> PushPlan:
    """Return the plan without the images that `errors` names by number, and without those that have a fault."""
    images = tuple(
        with_fault(image, errors[number]) if number in errors else image for number, image in enumerate(plan.images)
    )
    faults = {number: image.entry.fault for number, image in enumerate(images) if image.entry.fault is not None}
    return replace(plan, images=images, refused={number: fault.error.problem for number, fault in faults.items()})


def refusal(plan: PushPlan) -> TarmacError | None:
    """Return the error that refuses the request because of all images that cannot be pushed, or None if all can.

    Its class is that of the first.
    """
    refused = [plan.images[number] for number in sorted(plan.refused)]
    if not refused:
        return None
    errors = {str(error): error for error in map(_error, refused)}  # a conflict of two images is one problem
    first = next(iter(errors.values()))
    others = len(plan.images) - len(refused)
    if len(errors) > 1:
        reasons = list(_reasons(refused))
        more = f"; and {len(refused) - len(reasons)} more" if len(refused) > len(reasons) else ""
        first = type(first)(f"{len(refused)} of {len(plan.images)} images cannot be pushed: {'; '.join(reasons)}{more}")
    if others:
        rest = "the other one" if others == 1 else f"the {others} others"
        first.args = (f"{first.args[0]}. Exclude the bad images with `images`, or pass keep_going=true to push {rest}",)
    return first


def _error(image: ImageTarget) -> TarmacError:
    assert image.entry.fault is not None
    return image.entry.fault.error


def _reasons(refused: Sequence[ImageTarget]) -> Iterator[str]:
    left = MAX_REASONS_CHARACTERS
    for image in refused:
        reason, name = str(_error(image)), display_name(image.entry)
        text = reason[:MAX_REASON] if name in reason else f"{name:.300}: {reason:.{MAX_REASON}}"
        left -= len(text)
        if left < 0:
            return
        yield text


def settled(plan: PushPlan, *, keep_going: bool) -> PushPlan:
    """Return the plan. Unless `keep_going`, raise the error of `refusal`."""
    error = None if keep_going else refusal(plan)
    if error is not None:
        raise error
    return plan
