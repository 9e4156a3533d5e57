"""Deliveries as the OpenAPI document describes them, and as responses."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from app.api import job_response
from app.api.base_path import address_of
from app.api.problems import problem_document
from app.api.schemas import JobDocument, ProblemDocument
from app.jobs.deliveries import DeliverySummary
from app.jobs.deliveries.service import Retried


class JobCounts(BaseModel):
    """The number of jobs of the delivery in each state, without deleted ones."""

    total: int
    receiving: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class OutcomeCounts(BaseModel):
    pushed: int
    present: int = Field(description="The registry had them already under their names.")
    skipped: int = Field(description="Another image has the name and stays, as was asked for.")
    planned: int = Field(description="A dry run would push them.")
    needs_decision: int = Field(description="The archive is kept; a retry with other options can push it.")
    failed: int
    cancelled: int
    pending: int = Field(description="Not finished.")
    no_images: int = Field(description="Archives without images.")
    left_out: int = Field(description="Listed as left out, with the reason.")
    expected: int = Field(description="Listed, and not received.")


class FileCounts(OutcomeCounts):
    total: int


class DeliveryLinks(BaseModel):
    """Paths of the service, below its base path."""

    self: str
    jobs: str
    report: str
    retry: str


class DeliveryDocument(BaseModel):
    id: str
    name: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    submitted_by: str | None = Field(description="Name of the token that began it; null where none was needed.")
    labels: dict[str, str]
    last_ended_at: str | None = Field(
        json_schema_extra={"format": "date-time"}, description="When its last job ended that has ended."
    )
    closes_at: str = Field(
        json_schema_extra={"format": "date-time"},
        description="After this, the next use of the name begins another delivery, unless a job is under way.",
    )
    bytes: int = Field(description="Of all its files.")
    jobs: JobCounts
    counts: OutcomeCounts = Field(description="Rows of the report: one per image, and one per file without an image.")
    files: FileCounts = Field(description="Files; one with several images has the worst of their outcomes.")
    links: DeliveryLinks


class DeliveryPage(BaseModel):
    deliveries: list[DeliveryDocument]
    next_cursor: str | None


class RefusedRetry(BaseModel):
    job: str
    problem: ProblemDocument


class RetriedDelivery(BaseModel):
    delivery: DeliveryDocument
    jobs: list[JobDocument] = Field(description="The jobs that are tried again, as brief documents.")
    refused: list[RefusedRetry] = Field(description="The jobs that cannot be tried again.")


class DeliveryJobs(BaseModel):
    delivery: DeliveryDocument
    jobs: list[JobDocument] = Field(description="The jobs of the request, as brief documents.")


class ReportRowDocument(BaseModel):
    """An image, or a file without one."""

    job: str | None = Field(description="Null for a file that was only listed.")
    archive: str
    path: str = Field(description="Of the archive, below its root, watched folder or form.")
    size: int = Field(description="Bytes of the archive.")
    archive_digest: str | None
    names: list[str] = Field(description="As the archive has them.")
    destinations: list[str]
    digest: str | None = Field(description="Of the image's root manifest at the registry.")
    platforms: list[str]
    outcome: str = Field(
        json_schema_extra={"enum": [*sorted(OutcomeCounts.model_fields)]}, description="As the members of `counts`."
    )
    code: str | None = Field(description="Of the problem.")
    problem: str | None = Field(description="The first 500 characters of its detail, or why the file was left out.")
    time: str | None = Field(json_schema_extra={"format": "date-time"})


class ReportDocument(BaseModel):
    delivery: DeliveryDocument | None = Field(default=None, description="Absent in a report about jobs.")
    rows: list[ReportRowDocument]


def delivery_document(summary: DeliverySummary) -> dict[str, Any]:
    itself = address_of(f"/deliveries/{summary.delivery.id}")
    links = {
        "self": itself,
        "jobs": address_of(f"/jobs?delivery={summary.delivery.id}"),
        "report": f"{itself}/report",
        "retry": f"{itself}/retry",
    }
    return summary.document() | {"links": links}


def retried_document(summary: DeliverySummary, retried: Retried) -> dict[str, Any]:
    refused = [{"job": job_id, "problem": problem_document(problem)} for job_id, problem in retried.refused.items()]
    return {
        "delivery": delivery_document(summary),
        "jobs": [job_response.brief(job) for job in retried.jobs],
        "refused": refused,
    }
