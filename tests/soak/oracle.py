"""What must hold after whatever happened, asked of the service, the registry, the spool and the database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.soak.process import LOOK_SECONDS, Tarmac, pause
from tests.support.archives import OCI_INDEX, OCI_MANIFEST
from tests.support.docker_registry import DockerRegistry

ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Sent:
    """A push as its client knows it. `job` is None where no answer came; `cancel` where cancelling was asked for."""

    repository: str
    tag: str
    digest: str
    job: str | None
    cancel: bool = False


def tag_at(registry: DockerRegistry, repository: str, tag: str) -> str | None:
    connection = HTTPConnection("127.0.0.1", registry.port, timeout=10)
    try:
        connection.request(
            "HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}"}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("Docker-Content-Digest") if answer.status == 200 else None
    finally:
        connection.close()


def losses(service: Tarmac, registry: DockerRegistry, sent: list[Sent]) -> Iterator[str]:
    """Everything that is not as promised, in words."""
    documents = {item.job: service.job(item.job) for item in sent if item.job is not None}
    for push in sent:
        yield from _of_job(push, documents.get(push.job) if push.job else None, registry)
    yield from _of_shared_tags(sent, documents, registry)
    yield from _of_spool(service)
    with sqlite3.connect(f"file:{service.data / 'jobs.sqlite'}?mode=ro", uri=True) as database:
        found = database.execute("PRAGMA integrity_check").fetchone()[0]
    database.close()
    if found != "ok":
        yield f"the database: {found}"


def _of_job(push: Sent, document: Mapping[str, Any] | None, registry: DockerRegistry) -> Iterator[str]:
    name = f"{push.repository}:{push.tag} (job {push.job})"
    if document is not None:
        wanted = {"succeeded", "cancelled"} if push.cancel else {"succeeded"}
        if document["state"] not in wanted:
            yield f"{name} is {document['state']}: {document['problem']}"
    if push.tag != SHARED:
        found = tag_at(registry, push.repository, push.tag)
        succeeded = document is not None and document["state"] == "succeeded"
        if found != push.digest and (succeeded or found is not None):
            yield f"{name} has {found}, not {push.digest}"


SHARED = "shared"
SWEEP_SECONDS = 5.0


def _of_shared_tags(
    sent: list[Sent], documents: Mapping[str, Mapping[str, Any]], registry: DockerRegistry
) -> Iterator[str]:
    """Pushed one after the other: the last that was accepted stands there, or one of which nobody knows if it was."""
    for repository in {push.repository for push in sent if push.tag == SHARED}:
        allowed: set[str | None] = {None}
        for push in (item for item in sent if item.repository == repository and item.tag == SHARED):
            document = documents.get(push.job) if push.job else None
            certain = document is not None and document["state"] == "succeeded"
            allowed = {push.digest} if certain else allowed | {push.digest}
        found = tag_at(registry, repository, SHARED)
        if found not in allowed:
            yield f"{repository}:{SHARED} has {found}, not one of {allowed}"


def _of_spool(service: Tarmac) -> Iterator[str]:
    """A job's files go right after its end has been told, so what seems an orphan is looked at once more."""
    for path in sorted((service.data / "spool").iterdir()):
        until = time.monotonic() + SWEEP_SECONDS
        while _is_orphan(service, path):
            if time.monotonic() > until:
                yield f"orphan in the spool: {path.name}"
                break
            pause(LOOK_SECONDS)


def _is_orphan(service: Tarmac, path: Path) -> bool:
    job_id = path.name.partition("-")[0]
    status, document = service.ask("GET", f"/jobs/{job_id}")
    return path.exists() and (status != 200 or document["state"] == "succeeded" or path.suffix != ".tar")
