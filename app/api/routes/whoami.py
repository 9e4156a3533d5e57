"""`GET /whoami`: the caller and its rights."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.context import Context
from app.api.requests.query import takes
from app.api.schemas import problems

router = APIRouter(tags=["service"])


class QuotaDocument(BaseModel):
    limit: int | None = Field(description="Null: no limit.")
    used: int | None = Field(default=None, description="Null if that is not counted.")


class QuotasDocument(BaseModel):
    jobs: QuotaDocument = Field(description="Jobs that are received, queued or run at once.")
    upload_bytes: QuotaDocument = Field(description="Bytes of one upload.")
    stored_bytes: QuotaDocument = Field(description="Bytes of the archives that lie here.")


class CallerDocument(BaseModel):
    name: str | None = Field(description="Name of the token; null where no token is needed.")
    roles: list[Literal["read", "push", "admin"]]
    prefixes: list[str] = Field(description="Repositories that may be pushed to, and those below them; empty: all.")
    default_prefix: str | None = Field(description="`prefix` of a request that names none.")
    sees_all: bool = Field(description="Whether jobs of others are shown.")
    may_push: bool
    quotas: QuotasDocument


@router.get(
    "/whoami",
    summary="Show who the caller is",
    responses=problems("invalid_request"),
    dependencies=[takes()],
    operation_id="getCaller",
)
async def get_caller(context: Context) -> CallerDocument:
    """Return the name, roles, prefixes and quotas of the token of this request."""
    caller = context.caller
    jobs, stored = await context.service.usage()
    return CallerDocument(
        name=caller.name or None,
        roles=sorted(role.value for role in caller.roles),
        prefixes=list(caller.submitter.repositories),
        default_prefix=caller.default_prefix or None,
        sees_all=caller.sees_all,
        may_push=caller.may_push,
        quotas=QuotasDocument(
            jobs=QuotaDocument(limit=caller.quota.jobs, used=jobs),
            upload_bytes=QuotaDocument(limit=context.max_upload_bytes),
            stored_bytes=QuotaDocument(limit=caller.quota.most_stored, used=stored if caller.name else None),
        ),
    )
