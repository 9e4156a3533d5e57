"""The k-th call of each thread fails, for one call and error after the other, and every k there is, through whole
jobs at the embedded destination: a clean answer, nothing left, and the next push works."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from app.api.problems import status_by_code
from tests.crash.forked import in_a_process
from tests.crash.one_push import STARTED, push_and_tell
from tests.soak import Orders, Report

FAULTS = tuple(
    (call, error)
    for calls, errors in (
        (("write", "writev", "pwrite64", "fsync", "fdatasync"), ("ENOSPC", "EIO")),
        (("rename", "mkdir", "openat"), ("ENOSPC", "EIO", "EMFILE")),
        (("pread64", "ftruncate", "unlink"), ("EIO",)),
    )
    for call in calls
    for error in errors
)
_CALL = re.compile(r"^(\d+) +(\w+)\(", re.MULTILINE)


def run(orders: Orders) -> Report:
    """At most as many rounds as there are (call, error, k); `seed` says with which of them to begin."""
    report = Report("syscalls")
    with tempfile.TemporaryDirectory(prefix="tarmac-soak-") as folder:
        ready = Path(folder) / "ready"
        ready.mkdir()
        assert in_a_process(partial(push_and_tell, ready)) == 0  # its tables are made; that is tested elsewhere
        cases = list(_cases(Path(folder), ready))
        first = orders.seed % len(cases)
        for case in (cases[first:] + cases[:first])[: orders.rounds]:
            call, error, k = case
            found = faulty_push(Path(folder) / "data", ready, f"{call}:error={error}:when={k}", report)
            report.losses += [f"{call} {k} {error}: {loss}" for loss in found]
            report.rounds += 1
    return report


def _cases(folder: Path, ready: Path) -> Iterator[tuple[str, str, int]]:
    data, log = folder / "counted", folder / "strace.log"
    shutil.copytree(ready, data)
    calls = ",".join({call for call, _ in FAULTS})
    in_a_process(partial(push_and_tell, data), strace=("-e", f"trace={calls}", "-o", str(log)))
    of_threads = Counter(_CALL.findall(log.read_text()))
    for call, error in FAULTS:
        most = max((count for (_, name), count in of_threads.items() if name == call), default=0)
        yield from ((call, error, k) for k in range(1, most + 1))


def faulty_push(data: Path, ready: Path, injected: str, report: Report) -> list[str]:
    """What is wrong, in words."""
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(ready, data)
    (data / "told.json").unlink()
    (data / STARTED).unlink()
    log = data / "log"
    call = injected.partition(":")[0]
    strace = ("-e", f"trace={call}", "-e", f"inject={injected}", "-o", "/dev/null")
    status = in_a_process(partial(push_and_tell, data), log, strace)
    if status != 0 and not (data / STARTED).exists():  # as where a module cannot be opened: a start is tried again
        status = in_a_process(partial(push_and_tell, data), log)
        log.unlink()
        log.touch()
    if status != 0 or not (data / "told.json").exists():
        return [f"it ended with {status}: {log.read_text()[-1500:]}"]
    told = json.loads((data / "told.json").read_text())
    if "refused" in told:
        in_a_process(partial(push_and_tell, data), log)
        told = json.loads((data / "told.json").read_text())
        if "refused" in told:
            return [f"it still does not start: {told['refused']}"]
    report.jobs += len(told["answers"])
    return [*told["left"], *_not_clean(told["answers"], log)]


def _not_clean(answers: list[list[Any]], log: Path) -> Iterator[str]:
    if not answers or answers[-1] != [200, "succeeded"]:
        yield f"no push succeeded: {answers[-3:]}"
    known = status_by_code()
    for status, code in answers[:-1]:
        if code not in known or status not in {known[code], 422, 502}:
            yield f"answered {status} {code}"
    text = log.read_text()
    if "Traceback" in text or "unforeseen" in text:
        yield f"the log has a traceback: …{text[-2500:]}"
