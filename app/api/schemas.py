"""The documents of the contract as the OpenAPI document shows them. They describe; `Job.document` makes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.problems import PROBLEM_JSON, statuses
from app.push.options import FORMATS


class ProblemDocument(BaseModel):
    """RFC 9457, with a stable `code`. Also the `problem` of a job and of an image."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What happened, where, and what to do about it.")
    code: str = Field(json_schema_extra={"enum": [*sorted(statuses())]})
    retryable: bool


class ArchiveDocument(BaseModel):
    name: str
    source: Literal["upload", "path", "watch"]
    size: int = Field(description="Bytes, as sent.")
    digest: str | None = Field(description="Of the archive as sent.")
    format: str | None = Field(json_schema_extra={"enum": [*FORMATS, None]})
    compression: Literal["none", "gzip", "zstd", "xz", "bzip2"] | None


class ImageDocument(BaseModel):
    archive: str
    names: list[str] = Field(description="As the archive has them.")
    destinations: list[str]
    digest: str | None = Field(description="Of the image's root manifest at the registry.")
    media_type: str | None
    platforms: list[str]
    state: Literal["pending", "pushing", "pushed", "already_present", "skipped", "planned", "failed", "cancelled"]
    problem: ProblemDocument | None


class ProgressDocument(BaseModel):
    bytes_received: int
    bytes_expected: int | None
    bytes_total: int
    bytes_done: int
    bytes_sent: int
    blobs_total: int
    blobs_done: int
    blobs_reused: int
    images_total: int
    images_done: int
    percent: float = Field(description="Never goes down.")
    bytes_per_second: int
    eta_seconds: float | None


class JobDocument(BaseModel):
    id: str
    state: Literal["receiving", "queued", "running", "succeeded", "failed", "cancelled"]
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    started_at: str | None = Field(json_schema_extra={"format": "date-time"})
    finished_at: str | None = Field(json_schema_extra={"format": "date-time"})
    attempt: int
    labels: dict[str, str]
    registry: str
    archives: list[ArchiveDocument]
    images: list[ImageDocument]
    progress: ProgressDocument
    notices: list[str]
    problem: ProblemDocument | None


class JobProblemDocument(ProblemDocument):
    """The problem of a request, with the job that it ended."""

    job: JobDocument | None = None


class JobPage(BaseModel):
    jobs: list[JobDocument]
    next_cursor: str | None


class RegistryDocument(BaseModel):
    name: str
    url: str
    reachable: bool
    problem: ProblemDocument | None = Field(description="Why it cannot be used now.")


class RegistryList(BaseModel):
    registries: list[RegistryDocument]


class Health(BaseModel):
    status: Literal["ok"]
    version: str


def problems(*codes: str, job: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with these codes, by status."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(int(statuses()[code]), []).append(code)
    name = "JobProblemDocument" if job else "ProblemDocument"
    schema = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    return {
        status: {"description": ", ".join(f"`{code}`" for code in listed), "content": {PROBLEM_JSON: schema}}
        for status, listed in sorted(found.items())
    }
