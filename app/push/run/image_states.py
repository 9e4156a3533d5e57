"""The images of a run: what the destination had of each, and its state, reported on every change."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import RegistryTLS, RegistryUnreachable, TarmacError
from app.oci import Descriptor
from app.push.plan.image_content import display_name
from app.push.plan.values import ImageTarget, PushPlan
from app.push.report.events import Event, ImageChanged, ImageState, NoticeAdded
from app.push.run.presence import DestinationState, check_destination
from app.push.run.unsent_content import UnsentContent
from app.registry import Registry

_OPEN = frozenset({ImageState.PENDING, ImageState.PUSHING})


class ImageStates:
    """The state of each image. Every image ends once; later changes are ignored."""

    def __init__(self, plan: PushPlan, emit: Callable[[Event], None], unsent: UnsentContent) -> None:
        self._plan = plan
        self._emit = emit
        self._unsent = unsent
        self._states = [ImageState.PENDING] * len(plan.images)
        self._unreachable: TarmacError | None = None
        self.presence: dict[int, DestinationState] = {}
        for number, problem in plan.refused.items():
            self._change(number, ImageChanged(number, ImageState.FAILED, problem=problem))

    def is_active(self, number: int) -> bool:
        return self._states[number] in _OPEN

    def start(self, number: int) -> None:
        if self._states[number] is ImageState.PENDING:
            self._change(number, ImageChanged(number, ImageState.PUSHING))

    def end(self, number: int, state: ImageState, root: Descriptor | None = None) -> None:
        if self.is_active(number):
            digest, media_type = (None, None) if root is None else (root.digest, root.media_type)
            self._change(number, ImageChanged(number, state, digest, media_type))

    def fail(self, number: int, error: TarmacError) -> None:
        if self.is_active(number):
            self._change(number, ImageChanged(number, ImageState.FAILED, problem=error.problem))

    def cancel(self) -> None:
        for number in range(len(self._states)):
            self.end(number, ImageState.CANCELLED)

    def _change(self, number: int, event: ImageChanged) -> None:
        self._states[number] = event.state
        self._emit(event)

    async def check_destination(self, number: int, registry: Registry) -> None:
        """Check the destination.

        The image ends here if nothing is left to do, if the check fails, or if its content is damaged. After a
        connection failure for one image, the others fail without a request.
        """
        target = self._plan.images[number]
        try:
            if self._unreachable is not None:
                raise self._unreachable
            presence = await check_destination(self._plan, target, registry)
            if presence.complete:
                await self._unsent.verify(target)
        except TarmacError as error:
            if isinstance(error, RegistryUnreachable | RegistryTLS):
                self._unreachable = error
            self.fail(number, error)
            return
        self.presence[number] = presence
        for destination, why in presence.unmerged.items():
            what = "the tag is unchanged" if destination in presence.skipped else "the tag is replaced"
            self._emit(
                NoticeAdded(
                    f"{destination}: {display_name(target.entry)} cannot be merged with the content of the tag; "
                    f"{what}: {why}"
                )
            )
        if presence.complete and not presence.unlisted:
            self.end(number, state_of(presence), known_root(target, presence))


def state_of(presence: DestinationState) -> ImageState:
    """Return the state in which the image ends if all succeeds."""
    if not presence.complete:
        return ImageState.PUSHED
    return ImageState.SKIPPED if presence.skipped else ImageState.ALREADY_PRESENT


def known_root(target: ImageTarget, presence: DestinationState) -> Descriptor | None:
    """Return the root manifest if it is known without a push."""
    if isinstance(target.entry.root, Descriptor):
        return target.entry.root
    return next((manifest.descriptor for manifest in presence.held.values() if manifest is not None), None)
