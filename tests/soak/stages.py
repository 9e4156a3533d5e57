"""kill -9 at every stage of a job, uploads and paths in turn: it goes on by itself, counts it, and ends right."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.crash.killed_at import STAGES, Stage
from tests.soak import Orders, Report
from tests.soak.oracle import Sent, losses
from tests.soak.process import Tarmac
from tests.support.archives import entry, image, oci_image, oci_index, oci_layout
from tests.support.docker_registry import DockerRegistry

CASES = tuple(
    (name, by_path)
    for name, stage in STAGES.items()
    for by_path in (False, True)
    if (stage.by_path if by_path else stage.uploaded)
)


def run(orders: Orders) -> Report:
    """Every stage comes in turn, so fewer rounds than there are cases leave some out."""
    report = Report("stages")
    with (
        tempfile.TemporaryDirectory(prefix="tarmac-soak-") as folder,
        DockerRegistry(Path(folder) / "registry") as registry,
    ):
        paths = Path(folder) / "in"
        paths.mkdir()
        environ = {"TARMAC_REGISTRY_URL": registry.url, "TARMAC_PATH_ROOTS": str(paths)}
        service = Tarmac(Path(folder) / "data", environ)
        for number in range(orders.rounds):
            name, by_path = CASES[number % len(CASES)]
            found = _round(service, registry, (number, STAGES[name]), paths if by_path else None, report)
            report.losses += [f"{name}, {'path' if by_path else 'upload'}: {loss}" for loss in found]
            report.rounds += 1
    return report


def _round(
    service: Tarmac, registry: DockerRegistry, case: tuple[int, Stage], paths: Path | None, report: Report
) -> list[str]:
    number, stage = case
    content = f"round {number}".encode() * 50_000
    node = oci_index([oci_image(image({"bin/app": content}), compression="gzip")])
    body, tag = oci_layout([entry(node)]), f"r{number}"
    name = next(each for each, known in STAGES.items() if known is stage)
    service.program = ("tests.crash.killed_at", name)
    service.start()
    with contextlib.suppress(OSError):
        if paths is None:
            service.ask("POST", f"/push?tag=soak/stages:{tag}", body)
        else:
            file = paths / f"{tag}.tar"
            file.write_bytes(body)
            asked = {"paths": [str(file)], "tag": f"soak/stages:{tag}"}
            service.ask("POST", "/push", json.dumps(asked).encode(), "application/json")
    with contextlib.suppress(subprocess.TimeoutExpired):
        service.wait()
    return _recovered(service, registry, (stage, Sent("soak/stages", tag, node.digest, None)), report)


def _recovered(service: Tarmac, registry: DockerRegistry, told: tuple[Stage, Sent], report: Report) -> list[str]:
    stage, sent = told
    if service.process is None or service.process.returncode != -signal.SIGKILL:
        return ["the process was not killed"]
    service.program = ("app",)
    began = time.monotonic()
    service.start()
    try:
        (job, *_) = service.ask("GET", "/jobs?limit=1")[1]["jobs"]
        ended = service.job(job["id"])
        report.recoveries.append(time.monotonic() - began)
        report.jobs, report.killed_under_way = report.jobs + 1, report.killed_under_way + 1
        known = Sent(sent.repository, sent.tag, sent.digest, job["id"])
        found = list(losses(service, registry, [known]))
        last = stage is STAGES["ended"]  # it was stored, and nothing is left to do
        wanted = 1 if last else 1 + stage.starts
        return found + ([] if ended["attempt"] == wanted else [f"attempt is {ended['attempt']}, not {wanted}"])
    finally:
        service.kill()
