"""`/deliveries`: groups of jobs that came together, and their reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from app.api.context import Context
from app.api.delivery_documents import (
    DeliveryDocument,
    DeliveryPage,
    ReportDocument,
    RetriedDelivery,
    delivery_document,
    retried_document,
)
from app.api.json_response import NewlineJSONResponse, tagged_answer
from app.api.report_response import RESPONSES, ReportFormat, ReportHead, report_response
from app.api.requests.body import json_members, stream_body
from app.api.requests.delivery_body import EXAMPLE, parse_delivery
from app.api.requests.job_filters import REPEATABLE, JobFilterQuery
from app.api.requests.moments import in_utc
from app.api.requests.query import takes
from app.api.routes.jobs import NOT_MODIFIED
from app.api.schemas import problems
from app.errors import InvalidRequest
from app.jobs.deliveries.report_html import facts_of
from app.jobs.deliveries.service import MAX_PAGE
from app.jobs.deliveries.store import DeliveryQuery

router = APIRouter(tags=["deliveries"])


class DeliveryListQuery(BaseModel):
    """Which deliveries. A delivery has to fit all that is given."""

    q: str | None = Field(default=None, max_length=100, description="A part of the name, in upper or lower case.")
    since: datetime | None = Field(default=None, description="RFC 3339: only deliveries begun then or later")
    until: datetime | None = Field(default=None, description="RFC 3339: only deliveries begun then or earlier")
    submitted_by: str | None = Field(default=None, max_length=256, description="Name of the token that began it.")
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before", max_length=256)

    def query(self) -> DeliveryQuery:
        """Return the filters as a value. Raises InvalidRequest."""
        for name in ("q", "submitted_by"):
            if not (getattr(self, name) or "").isprintable():
                raise InvalidRequest(f"`{name}` must have printable characters only")
        return DeliveryQuery(
            limit=self.limit,
            text=self.q and self.q.strip().lower(),
            since=in_utc(self.since, "since"),
            until=in_utc(self.until, "until"),
            submitted_by=self.submitted_by,
        )


class ReportQuery(BaseModel):
    format: ReportFormat = Field(default=ReportFormat.JSON)


class JobReportQuery(JobFilterQuery, ReportQuery):
    """Which jobs, and in what form."""


_BODY: Mapping[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "pattern": "^[A-Za-z0-9._ -]{1,100}$"},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "files": {
                            "type": "array",
                            "description": "All files, those that are not sent included.",
                            "items": {
                                "type": "object",
                                "required": ["path"],
                                "additionalProperties": False,
                                "properties": {
                                    "path": {"type": "string"},
                                    "size": {"type": "integer", "minimum": 0},
                                    "left_out": {"type": "string", "description": "Why the file is not sent."},
                                },
                            },
                        },
                    },
                }
            }
        }
    }
}


_OPEN: dict[int | str, dict[str, Any]] = {200: {"model": DeliveryDocument, "description": "It was open already."}}


@router.post(
    "/deliveries",
    summary="Begin a delivery",
    status_code=201,
    response_model=DeliveryDocument,
    responses=_OPEN | problems("invalid_request"),
    dependencies=[takes()],
    openapi_extra=dict(_BODY),
    operation_id="createDelivery",
)
async def create_delivery(request: Request, context: Context) -> Response:
    """Begin a delivery, or add files to the open one of this name. Jobs join it by the option `delivery`."""
    members = await json_members(context, stream_body(request, context), EXAMPLE)
    name, labels, files = parse_delivery(members)
    delivery, is_new = await context.deliveries.create(name, labels, files)
    summary = await context.deliveries.get(delivery.id)
    location = {"Location": f"/deliveries/{delivery.id}"}
    return NewlineJSONResponse(delivery_document(summary), 201 if is_new else 200, location)


@router.head("/deliveries", include_in_schema=False, dependencies=[takes(*DeliveryListQuery.model_fields)])
@router.get(
    "/deliveries",
    summary="List the deliveries",
    response_model=DeliveryPage,
    responses=NOT_MODIFIED | problems("invalid_request"),
    dependencies=[takes(*DeliveryListQuery.model_fields)],
    operation_id="listDeliveries",
)
async def list_deliveries(
    request: Request, context: Context, listing: Annotated[DeliveryListQuery, Query()]
) -> Response:
    """List the deliveries, newest first."""
    found, following = await context.deliveries.page(listing.query(), listing.cursor)
    return tagged_answer(request, {"deliveries": list(map(delivery_document, found)), "next_cursor": following})


@router.head("/deliveries/{delivery_id}", include_in_schema=False, dependencies=[takes()])
@router.get(
    "/deliveries/{delivery_id}",
    summary="Show a delivery",
    response_model=DeliveryDocument,
    responses=NOT_MODIFIED | problems("not_found", "invalid_request"),
    dependencies=[takes()],
    operation_id="getDelivery",
)
async def get_delivery(delivery_id: str, request: Request, context: Context) -> Response:
    """Return the delivery with the counts of its files and images by outcome."""
    return tagged_answer(request, delivery_document(await context.deliveries.get(delivery_id)))


@router.get(
    "/deliveries/{delivery_id}/report",
    summary="Report on a delivery",
    response_model=ReportDocument,
    response_class=Response,
    responses=RESPONSES | problems("not_found", "invalid_request"),
    dependencies=[takes("format")],
    operation_id="getDeliveryReport",
)
async def get_delivery_report(delivery_id: str, context: Context, asked: Annotated[ReportQuery, Query()]) -> Response:
    """Return a row for each image, and for each file without one. It outlives the jobs."""
    summary = await context.deliveries.get(delivery_id)
    name = summary.delivery.name or summary.delivery.id
    head = ReportHead(
        f"Delivery {name}", facts_of(summary), {"delivery": delivery_document(summary)}, f"delivery-{delivery_id[:32]}"
    )
    return report_response(asked.format, head, context.deliveries.rows(delivery_id))


@router.get(
    "/jobs/report",
    summary="Report on jobs",
    response_model=ReportDocument,
    response_class=Response,
    responses=RESPONSES | problems("invalid_request"),
    dependencies=[takes(*JobReportQuery.model_fields, repeatable=REPEATABLE)],
    operation_id="getJobReport",
)
async def get_job_report(context: Context, asked: Annotated[JobReportQuery, Query()]) -> Response:
    """Return a row for each image of the jobs that match, and for each file without one."""
    filters = asked.filters()
    filters.query()
    given = asked.model_dump(exclude_defaults=True, exclude={"format"}, mode="json")
    facts = [(name, ", ".join(value) if isinstance(value, list) else str(value)) for name, value in given.items()]
    head = ReportHead("Jobs", facts, {}, "jobs")
    return report_response(asked.format, head, context.deliveries.rows_of_jobs(filters))


@router.post(
    "/deliveries/{delivery_id}/retry",
    summary="Retry the failed jobs of a delivery",
    status_code=202,
    response_model=RetriedDelivery,
    responses=problems("not_found", "forbidden", "invalid_request"),
    dependencies=[takes()],
    operation_id="retryDelivery",
)
async def retry_delivery(delivery_id: str, context: Context) -> Response:
    """Push what is missing of each job that failed or was cancelled. Jobs that cannot be tried again are listed."""
    retried = await context.deliveries.retry(delivery_id)
    summary = await context.deliveries.get(delivery_id)
    return NewlineJSONResponse(retried_document(summary, retried), 202, {"Location": f"/deliveries/{delivery_id}"})


@router.delete(
    "/deliveries/{delivery_id}",
    summary="Delete a delivery",
    status_code=204,
    responses=problems("not_found", "forbidden", "conflict", "invalid_request"),
    dependencies=[takes()],
    operation_id="deleteDelivery",
)
async def delete_delivery(delivery_id: str, context: Context) -> None:
    """Delete a delivery without jobs under way: its report, its jobs, and the archives that they keep."""
    await context.deliveries.delete(delivery_id)
