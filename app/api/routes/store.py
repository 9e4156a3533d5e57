"""`/store`: list the images of the store, delete them, and prune what nothing refers to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError

from app.api import job_response
from app.api.context import ApiContext, Context
from app.api.json_response import NewlineJSONResponse, tagged_answer
from app.api.openapi.push import PUSH_RESPONSES
from app.api.requests.body import json_members
from app.api.requests.options import Options
from app.api.requests.query import check_query, takes
from app.api.routes.jobs import NOT_MODIFIED, wait_while_connected
from app.api.schemas import problems
from app.api.store_documents import (
    CollectedDocument,
    PruneRequest,
    StoredRepositoryPage,
    StorePage,
)
from app.config.types import parse_age
from app.errors import Forbidden, InvalidRequest, MalformedArchive, NotFound, UnknownRegistry
from app.oci import Digest, parse_repository
from app.registry.oci_layout.catalog import CatalogImage, CatalogRepository
from app.registry.oci_layout.collection import Scope
from app.registry.oci_layout.documents import collected_document, repository_document
from app.registry.oci_layout.image_store import Deletion, ImageStore
from app.registry.oci_layout.reachability import RetentionRule

MAX_LIMIT = 500
_NO_COPY = frozenset({"registry", "paths", "checksum", "format", "tag"})
COPY_SCHEMA = {
    "type": "object",
    "required": ["to"],
    "properties": {
        "to": {"type": "string", "description": "A configured registry."},
        "images": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Globs over `repository:tag`; all images without them.",
        },
    },
    "additionalProperties": {"description": "An option of a push: `prefix`, `rename`, `on_existing_tag`, `dry_run` …"},
}
MAX_INLINE = 20  # images of each repository in the list

router = APIRouter(prefix="/store", tags=["store"])


class StoreQuery(BaseModel):
    """Which images."""

    q: str | None = Field(
        default=None, description="Only images that have this in `repository:tag` or in their digest.", max_length=256
    )
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before", max_length=256)


@dataclass(frozen=True, slots=True)
class _Match:
    """The images of a repository that a request asks for."""

    repository: CatalogRepository
    images: tuple[CatalogImage, ...]


@router.head("", include_in_schema=False, dependencies=[takes(*StoreQuery.model_fields)])
@router.get(
    "",
    summary="List the repositories of the image store",
    response_model=StorePage,
    responses=NOT_MODIFIED | problems("invalid_request"),
    dependencies=[takes(*StoreQuery.model_fields)],
    operation_id="listStoredRepositories",
)
async def list_repositories(request: Request, context: Context, listing: Annotated[StoreQuery, Query()]) -> Response:
    """List the repositories by name, each with its newest images. A token that is bound to repositories sees those. A
    service without an image store has none."""
    found = () if context.store is None else await context.store.repositories(*_reader(context))
    matches = [match for match in (_match(repository, listing.q) for repository in found) if match is not None]
    rest = [match for match in matches if match.repository.name > (listing.cursor or "")]
    page = rest[: listing.limit]
    jobs = await _visible_jobs(context, [image for match in page for image in match.images[:MAX_INLINE]])
    content = {
        "repositories": [
            repository_document(match.repository, match.images[:MAX_INLINE], len(match.images), jobs) for match in page
        ],
        "total": len(matches),
        "next_cursor": page[-1].repository.name if len(page) < len(rest) else None,
    }
    return tagged_answer(request, content)


@router.head("/{repository:path}", include_in_schema=False, dependencies=[takes(*StoreQuery.model_fields)])
@router.get(
    "/{repository:path}",
    summary="Show a repository of the image store",
    response_model=StoredRepositoryPage,
    responses=NOT_MODIFIED | problems("not_found", "forbidden", "invalid_request"),
    dependencies=[takes(*StoreQuery.model_fields)],
    operation_id="getStoredRepository",
)
async def get_repository(
    repository: str, request: Request, context: Context, listing: Annotated[StoreQuery, Query()]
) -> Response:
    """List the images of one repository, newest first."""
    _check_bounds(context, repository)
    found = await _store(context).repository(repository, *_reader(context))
    match = _match(found, listing.q)
    images = () if match is None else match.images
    start = _offset(listing.cursor)
    page = images[start : start + listing.limit]
    end = start + len(page)
    content = repository_document(found, page, len(images), await _visible_jobs(context, page))
    return tagged_answer(request, content | {"next_cursor": str(end) if end < len(images) else None})


@router.delete(
    "/{repository:path}",
    summary="Delete images of the store",
    response_model=CollectedDocument,
    responses=problems("not_found", "forbidden", "conflict", "invalid_request"),
    dependencies=[takes("tag", "digest", "all")],
    operation_id="deleteStoredImages",
)
async def delete_images(
    repository: str,
    context: Context,
    tag: Annotated[str | None, Query(description="Only this tag.", max_length=128)] = None,
    digest: Annotated[str | None, Query(description="This manifest and its tags.", max_length=200)] = None,
    all_: Annotated[bool, Query(alias="all", description="The whole repository.")] = False,
) -> Response:
    """Delete a tag, a manifest or a repository, and what only they led to: manifests without a name, referrers, blobs.
    Exactly one of `tag`, `digest` and `all=true` is given. For tokens with the role `admin`, and for tokens that are
    bound to repositories, in those."""
    if (tag is not None) + (digest is not None) + all_ != 1:
        raise InvalidRequest("give exactly one of `tag`, `digest` and `all=true`")
    _check_may_change(context)
    _check_bounds(context, repository)
    deletion = Deletion(repository, tag, None if digest is None else _digest(digest))
    found = await _store(context).delete(deletion)
    return NewlineJSONResponse(collected_document(found))


@router.post(
    "/prune",
    summary="Delete what nothing in the store refers to",
    response_model=CollectedDocument,
    responses=problems("forbidden", "invalid_request"),
    operation_id="pruneStore",
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": PruneRequest.model_json_schema()}}},
    },
)
async def prune(request: Request, context: Context) -> Response:
    """Delete manifests and blobs that no tag, referrer or push by digest leads to, and with `older_than` or `keep_tags`
    also tags. Options are members of a JSON object or query parameters. What pushes and pulls under way need is left.
    For tokens with the role `admin`, and for tokens that are bound to repositories, in those."""
    asked = await _prune_request(request, context)
    _check_may_change(context)
    if asked.repository is not None:
        parse_repository(asked.repository)
        _check_bounds(context, asked.repository)
    rule = RetentionRule(_seconds(asked.older_than), asked.keep_tags)
    is_whole = asked.repository is None and not context.caller.submitter.repositories
    scope = Scope(_may_prune(context, asked.repository), is_whole=is_whole, dry_run=asked.dry_run)
    found = await _store(context).prune(rule, scope)
    return NewlineJSONResponse(collected_document(found, dry_run=asked.dry_run))


@router.post(
    "/copy",
    summary="Copy images of the store to a registry",
    status_code=202,
    responses=PUSH_RESPONSES,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": COPY_SCHEMA}}}},
    operation_id="copyStoredImages",
)
async def copy(request: Request, context: Context) -> Response:
    """Push images of the store to the registry `to`, as a job like any other. The other options are those of a push;
    `images` has globs over `repository:tag`. A token that is bound to repositories copies images of those."""
    _store(context)
    options, members = Options(), await json_members(context, request.stream(), '{"to": "production"}')
    for name, value in request.query_params.multi_items():
        members.setdefault(name, value)
    options.add_json_object(_copy_options(members))
    asked = options.job_request(replace(context.caller, default_prefix=""))
    if asked.registry not in context.registries:
        known = ", ".join(context.registries)
        raise UnknownRegistry(f"no registry {asked.registry!r:.100} is configured; known: {known}")
    job = await context.service.submit_copy(asked)
    wait = options.wait_seconds()
    if wait is None:
        return job_response.accepted_response(job)
    return job_response.waited_response(await wait_while_connected(request, context, (job, wait), for_answer=True))


def _copy_options(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a push. Raises InvalidRequest."""
    if not isinstance(members.get("to"), str):
        raise InvalidRequest("`to` must be the name of a configured registry")
    refused = sorted(_NO_COPY & members.keys())
    if refused:
        raise InvalidRequest(f"`{refused[0]}` is not an option of a copy; remove it")
    return {"registry": members["to"]} | {name: value for name, value in members.items() if name != "to"}


def _may_prune(context: ApiContext, below: str | None) -> Callable[[str], bool]:
    def may(repository: str) -> bool:
        is_below = below is None or repository == below or repository.startswith(f"{below}/")
        return is_below and context.caller.submitter.may_use(repository)

    return may


async def _prune_request(request: Request, context: ApiContext) -> PruneRequest:
    """Return the request in the query or the body. Raises InvalidRequest."""
    names = PruneRequest.model_fields
    check_query(request.query_params.multi_items(), names)
    members = await json_members(context, request.stream(), '{"older_than": "30d"}')
    try:
        return PruneRequest.model_validate({**request.query_params, **members})
    except ValidationError as error:
        faults = (f"`{item['loc'][-1]}`: {item['msg']}" for item in error.errors(include_input=False))
        raise InvalidRequest(f"{'; '.join(faults)}; known are {', '.join(names)}") from None


def _seconds(age: str | None) -> float | None:
    try:
        seconds = None if age is None else parse_age(age)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"`older_than` {error}") from None
    return seconds.total_seconds() if isinstance(seconds, timedelta) else None


def _match(repository: CatalogRepository, wanted: str | None) -> _Match | None:
    """Return the images that have `wanted` in their name or digest; None if there are none."""
    images = tuple(
        image
        for image in repository.images
        if wanted is None or wanted in f"{repository.name}:{image.tag or ''}" or wanted in str(image.digest)
    )
    return _Match(repository, images) if images or wanted is None else None


async def _visible_jobs(context: ApiContext, images: Collection[CatalogImage]) -> frozenset[str]:
    """Return the jobs that pushed `images` and that the caller may see."""
    visible = set()
    for job in {image.job for image in images if image.job}:
        try:
            visible.add((await context.service.get(job)).id)
        except NotFound:
            continue
    return frozenset(visible)


def _reader(context: ApiContext) -> tuple[Callable[[str], bool], str]:
    """Return what the caller may see, and its share of the threads."""
    return context.caller.submitter.may_use, context.service.share


def _store(context: ApiContext) -> ImageStore:
    if context.store is None:
        raise NotFound("this service has no image store: it pushes to the configured registries")
    return context.store


def _check_may_change(context: ApiContext) -> None:
    caller = context.caller
    if not caller.may_delete:
        raise Forbidden(
            f"the token of {caller.name} may not delete images; it needs the role `admin`, or a bound repository"
        )


def _check_bounds(context: ApiContext, repository: str) -> None:
    submitter = context.caller.submitter
    if not submitter.may_use(repository):
        bounds = ", ".join(submitter.repositories)
        raise Forbidden(f"the token of {submitter.name} may use repositories below {bounds} only")


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except MalformedArchive as error:
        raise InvalidRequest(f"`digest`: {error}") from None


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
        raise InvalidRequest("the cursor is not one that a page of this repository gave; start without one")
    return int(cursor)
