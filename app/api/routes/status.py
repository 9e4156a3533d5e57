"""`/status`: jobs, disk usage and registries at a glance."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from app import __version__
from app.api.context import Context
from app.api.json_response import tagged_answer
from app.api.routes.jobs import NOT_MODIFIED
from app.api.schemas import problems
from app.api.store_documents import StatusDocument
from app.errors import RegistryError

router = APIRouter(tags=["service"])


@router.head("/status", include_in_schema=False)
@router.get(
    "/status",
    summary="Show jobs, usage and registries",
    response_model=StatusDocument,
    responses=NOT_MODIFIED | problems("unavailable"),
    operation_id="getStatus",
)
async def get_status(request: Request, context: Context) -> Response:
    """How many jobs there are, what the service takes of the disk, and which registries can be used. A token that is
    bound to repositories sees the registries only."""
    names = list(context.registries)
    outcomes = await asyncio.gather(*(context.registries[name].outcome() for name in names))
    registries = [
        {"name": name, "reachable": not isinstance(outcome, RegistryError)}
        for name, outcome in zip(names, outcomes, strict=True)
    ]
    content: dict[str, Any] = {
        "version": __version__,
        "jobs": None,
        "usage": None,
        "has_store": context.store is not None,
    }
    if not context.caller.is_bound:
        counts = await context.count_jobs()
        content["jobs"] = {state.value: count for state, count in counts.items()}
        content["usage"] = await _usage(context)
    return tagged_answer(request, content | {"registries": registries})


async def _usage(context: Context) -> dict[str, int] | None:
    if context.usage is None:
        return None
    found = await context.usage.read()
    return {
        "store_bytes": found.store,
        "spool_bytes": found.spool,
        "kept_bytes": found.kept,
        "free_bytes": found.free,
    }
