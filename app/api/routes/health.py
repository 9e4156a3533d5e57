"""Liveness, readiness, metrics, and the configured registries."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, Response

from app import __version__
from app.api.context import Context, RegistryView
from app.api.json_response import NewlineJSONResponse
from app.api.problems import problem_document, problem_response
from app.api.schemas import Health, ProblemDocument, RegistryDetails, RegistryDocument, RegistryList, problems
from app.errors import RegistryError, ServiceError, Unavailable
from app.jobs.audit import EMPTY

router = APIRouter(tags=["service"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Say that the process is alive", operation_id="getHealth")
async def get_liveness() -> Health:
    """Report that the process responds."""
    return Health(status="ok", version=__version__)


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Say whether jobs can be taken",
    response_model=Health,
    responses=problems("unavailable"),
    operation_id="getReadiness",
)
async def get_readiness(context: Context) -> Response:
    """Report whether jobs are accepted: the job store responds, the spool has space, the service is not stopping."""
    try:
        if context.stopping.is_set():
            raise Unavailable("the service is about to stop")
        await context.count_jobs()
        await asyncio.to_thread(context.check_room, 1)
    except ServiceError as error:
        return problem_response(Unavailable(f"not ready: {error}"))
    return NewlineJSONResponse({"status": "ok", "version": __version__})


@router.get(
    "/metrics",
    summary="Show the counts",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    operation_id="getMetrics",
)
async def get_metrics(context: Context) -> Response:
    """Return the metrics in the format of Prometheus."""
    audit = EMPTY if context.audit is None else await context.audit.audit_size()
    if context.usage is not None:
        context.metrics.show_usage(await context.usage.read())
    text = context.metrics.render(await context.count_jobs(), audit)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/registries", summary="List the registries", operation_id="listRegistries")
async def list_registries(context: Context) -> RegistryList:
    """List the configured registries and whether they can be used now.

    Each is probed at most once in five seconds. A token that is bound to repositories sees only their names and whether
    they can be used.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_look_at(name, view)) for name, view in context.registries.items()]
    found = [task.result() for task in tasks]
    if context.caller.is_bound:
        found = [RegistryDocument(name=document.name, reachable=document.reachable) for document in found]
    return RegistryList(registries=found)


async def _look_at(name: str, view: RegistryView) -> RegistryDocument:
    found = await view.outcome()
    if isinstance(found, RegistryError):
        problem = ProblemDocument(**problem_document(found.problem))
        return RegistryDocument(name=name, url=view.url, reachable=False, problem=problem, details=None)
    details = RegistryDetails(**asdict(found))
    return RegistryDocument(name=name, url=view.url, reachable=True, problem=None, details=details)
