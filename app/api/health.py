"""Is it alive, is it ready, what does it count, which registries does it know."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from app import __version__
from app.api.context import Context, RegistryView
from app.api.json_answer import JSONAnswer
from app.api.problems import describe, problem_response
from app.api.schemas import Health, ProblemDocument, RegistryDocument, RegistryList, problems
from app.errors import RegistryError, RegistryUnreachable, ServiceError, Unavailable

CHECK_SECONDS = 10.0  # of one registry; the list must not hang on a dead one

router = APIRouter(tags=["service"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def tell_alive() -> Health:
    """The process answers."""
    return Health(status="ok", version=__version__)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=Health, responses=problems("unavailable"))
async def tell_ready(context: Context) -> Response:
    """Jobs can be taken: the job store answers."""
    try:
        await context.count_jobs()
    except ServiceError as error:
        return problem_response(Unavailable(f"not ready: {error}"))
    return JSONAnswer({"status": "ok", "version": __version__})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def tell_metrics(context: Context) -> Response:
    """For Prometheus."""
    text = context.metrics.render(await context.count_jobs())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/registries")
async def list_registries(context: Context) -> RegistryList:
    """The configured registries, and whether they can be used now."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_look_at(name, view)) for name, view in context.registries.items()]
    return RegistryList(registries=[task.result() for task in tasks])


async def _look_at(name: str, view: RegistryView) -> RegistryDocument:
    error: RegistryError | None = None
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await view.check()
    except TimeoutError:
        error = RegistryUnreachable(f"{view.url} did not answer within {CHECK_SECONDS:.0f} s")
    except RegistryError as refused:
        error = refused
    problem = None if error is None else ProblemDocument(**describe(error.problem))
    return RegistryDocument(name=name, url=view.url, reachable=error is None, problem=problem)
