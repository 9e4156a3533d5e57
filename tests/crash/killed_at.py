"""`python -m tests.crash.killed_at STAGE serve …`: the service, killed with SIGKILL by itself at one stage of a job."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from app.__main__ import main as tarmac


@dataclass(frozen=True, slots=True)
class Stage:
    """`place` is `module:name` as it is looked up when it is called; killed at the `call`-th of its calls, before it or
    `after` it. `starts`: runs that the job has begun by then; `uploaded` and `by_path`: whether a job that comes so
    passes here after it was accepted."""

    place: str
    call: int = 1
    after: bool = False
    starts: int = 1
    uploaded: bool = True
    by_path: bool = True


STAGES: Mapping[str, Stage] = {
    "accepted": Stage("app.jobs.queue.local:LocalJobQueue.put", starts=0),
    "queued": Stage("app.jobs.queue.local:LocalJobQueue.put", after=True, starts=0),
    "beginning": Stage("app.jobs.runner:Runner._begun", starts=0),
    "begun": Stage("app.jobs.runner:Runner._push"),
    "detecting": Stage("app.jobs.sources.server_archives:sniff_file", uploaded=False),
    "indexing": Stage("app.jobs.preparation:index_file", uploaded=False),
    "planned": Stage("app.jobs.runner:execute"),
    "blob_opened": Stage("app.registry.uploads.transfer:Transfer.deliver"),
    "blob_closing": Stage("app.registry.uploads.transfer:Transfer._close"),
    "blob_closed": Stage("app.registry.uploads.transfer:Transfer._close", after=True),
    "second_blob": Stage("app.registry.uploads.transfer:Transfer.deliver", call=2),
    "manifest": Stage("app.registry.distribution.registry:HttpRegistry.push_manifest"),
    "manifest_put": Stage("app.registry.distribution.registry:HttpRegistry.push_manifest", after=True),
    "tag": Stage("app.registry.distribution.registry:HttpRegistry.push_manifest", call=2),
    "tag_put": Stage("app.registry.distribution.registry:HttpRegistry.push_manifest", call=2, after=True),
    "finished": Stage("app.jobs.runner:Runner._ended"),
    "ended": Stage("app.jobs.runner:Runner._discard"),
}


def arm(stage: Stage) -> None:
    module, _, path = stage.place.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for item in owners:
        owner = getattr(owner, item)
    original = getattr(owner, name)
    setattr(owner, name, _after(original, stage.call) if stage.after else _before(original, stage.call))


def _before(original: Callable[..., Any], call: int) -> Callable[..., Any]:
    numbers = count(1)

    def armed(*arguments: Any, **named: Any) -> Any:
        if next(numbers) == call:
            _die()
        return original(*arguments, **named)

    return armed


def _after(original: Callable[..., Any], call: int) -> Callable[..., Any]:
    numbers = count(1)

    async def armed(*arguments: Any, **named: Any) -> Any:
        result = await original(*arguments, **named)
        if next(numbers) == call:
            _die()
        return result

    return armed


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    arm(STAGES[sys.argv[1]])
    sys.exit(tarmac(sys.argv[2:]))
