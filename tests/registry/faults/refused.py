"""Refusals by status, at every step of a push: once, and for ever."""

from __future__ import annotations

from collections.abc import Iterator

from tests.registry.faults.script import CLOSE, HEAD_BLOB, LARGE, LOOK, PATCH, SEND, START, TAG, Fault, complains, says
from tests.support.memory_registry import Manners

EMPTY_CLOSE = rf"{CLOSE}\S* 0$"  # after the bytes have been sent
STEPS = {
    "look": (LOOK, Manners()),
    "head-blob": (HEAD_BLOB, Manners(asks=False)),
    "start": (START, Manners()),
    "patch": (PATCH, Manners(put=False)),
    "send": (SEND, Manners()),
    "close": (EMPTY_CLOSE, Manners(put=False)),
    "tag": (TAG, Manners()),
}
CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 413: "SIZE_INVALID"}


SILENT = {"look", "head-blob"}  # a HEAD that is refused is asked otherwise, or taken for: not there
ASKING = SILENT | {"start"}  # so is the POST that also asks for the blob
ALWAYS = {401: "registry_denied", 403: "registry_denied", 404: "registry_denied", 405: "registry_denied"}


def always(step: str, status: int) -> str:
    """How a push ends that is refused at `step` for ever."""
    if step in SILENT and status in {403, 404, 405}:
        return "pushed"
    no_way_is_left = status == 405 and step in {"patch", "send", "close"}
    return "registry_rejected" if no_way_is_left else ALWAYS.get(status, "registry_rejected")


def once(step: str, status: int, *, has_words: bool) -> str:
    """How it ends if the refusal is not repeated: what may be about the way of uploading is sent in another way."""
    if status == 401:
        return "pushed"
    if status == 413:
        is_final = step in {"tag", *SILENT} or (step == "close" and not has_words)  # SIZE_INVALID: sent once more
        return "registry_rejected" if is_final else "pushed"
    if step in ASKING or (step != "tag" and (status == 405 or (status == 404 and not has_words))):
        return "pushed"
    return "registry_denied" if status != 404 or has_words else "registry_rejected"


def refusals() -> Iterator[Fault]:
    for step, (when, manners) in STEPS.items():
        first = LARGE if step in {"send", "patch"} else when  # which of several comes first is chance
        for status, code in CODES.items():
            named = complains(status, code)
            yield Fault(
                f"{status}-once-at-{step}", first, (named,), once(step, status, has_words=True), manners=manners
            )
            ends = once(step, status, has_words=False)
            yield Fault(f"{status}-without-words-once-at-{step}", first, (says(status),), ends, manners=manners)
            yield Fault(f"{status}-always-at-{step}", when, (), always(step, status), after=named, manners=manners)


REFUSED = list(refusals())
