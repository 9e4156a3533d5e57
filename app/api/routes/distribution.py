"""`/v2/`: the embedded destination for pulls by container tools (distribution-spec, "Pull" and "Content Discovery").

Errors have the format of that specification here, not RFC 9457's, because container tools read it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from app.api.context import CALLER
from app.api.json_response import NewlineJSONResponse
from app.api.openapi.distribution import pull_responses
from app.api.requests.byte_range import ByteRange, RangeNotSatisfiable, parse_range
from app.auth.model import EVERYBODY, Caller
from app.errors import Conflict, InvalidReference, MalformedArchive, NotFound, RegistryError, RegistryFault
from app.oci import Descriptor, Digest, parse_repository
from app.oci.media_types import OCI_INDEX
from app.registry import StoredManifest

CHUNK = 1 << 20  # bytes read and sent at once; smaller ones cost throughput, larger ones memory per download
MAX_PAGE = 10_000  # names in one response; a larger `n` gets this many and a link to the rest
_IMMUTABLE = "private, max-age=31536000, immutable"  # content under its digest never changes
_WORDS = "The embedded destination is for pulling; to push, send an image archive to POST /push"


class PullSource(Protocol):
    """The content to pull. Every call may raise RegistryError."""

    async def repositories(self) -> list[str]:
        """Return the names, sorted."""
        ...

    async def tags(self, repository: str) -> list[str] | None:
        """Return the tags, sorted; None if there is no such repository."""
        ...

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None: ...
    async def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return the size; None if the repository does not have the blob."""
        ...

    async def read_blob(self, digest: Digest, offset: int, size: int) -> bytes:
        """Return at most `size` bytes; none only at the end."""
        ...

    async def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]: ...
    async def pull_manifest(self, repository: str, reference: str, reader: str) -> StoredManifest | None:
        """Return a manifest to `reader`, who goes on to pull what it refers to: that is not pruned meanwhile."""
        ...

    async def pull_blob(self, repository: str, digest: Digest, reader: str) -> int | None:
        """As `blob_size`, for `reader`, who is going to read the blob."""
        ...

    async def continue_pull(self, reader: str) -> None:
        """Record that `reader` goes on."""
        ...

    async def end_pull(self, repository: str, digest: Digest, reader: str) -> None:
        """Record that `reader` has all of a blob."""
        ...

    async def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete a tag, or a manifest with its tags. Raises NotFound, and Conflict for a part of an image index."""
        ...

    async def delete_blob(self, repository: str, digest: Digest) -> None:
        """Delete the blob. Raises NotFound, and Conflict for a blob that a manifest refers to."""
        ...


class _DistributionError(Exception):
    """An error of the distribution-spec, whose list of codes is closed for 4xx responses."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> Response:
        error = {"code": self.code, "message": str(self), "detail": None}
        return NewlineJSONResponse({"errors": [error]}, status_code=self.status, headers=self.headers)


class _PullRoute(APIRoute):
    """Adds the header fields of a registry to every response, and converts every error."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except _DistributionError as refusal:
                response = refusal.response()
            except InvalidReference as error:
                response = _DistributionError(400, "NAME_INVALID", str(error)).response()
            except RegistryError as error:
                response = _DistributionError(503, "UNAVAILABLE", str(error)).response()
            response.headers["Docker-Distribution-API-Version"] = "registry/2.0"
            response.headers["X-Content-Type-Options"] = "nosniff"
            return response

        return answer


async def _find_source(request: Request) -> PullSource:
    source: PullSource = request.app.state.pull_source
    return source


_Source = Annotated[PullSource, Depends(_find_source)]
# Pulls are in the OpenAPI document; HEAD and refused writes are not.
_router = APIRouter(prefix="/v2", tags=["pull"], route_class=_PullRoute, default_response_class=Response)


def add_distribution_routes(app: FastAPI, source: PullSource) -> None:
    """Add the routes below `/v2/`."""
    app.state.pull_source = source
    app.include_router(_router)


@_router.get("", include_in_schema=False)
@_router.head("/", include_in_schema=False)
@_router.get("/", summary="Tell that this is a registry", responses=pull_responses(), operation_id="getApiVersion")
async def version() -> Response:
    return NewlineJSONResponse({})


@_router.head("/_catalog", include_in_schema=False)
@_router.get(
    "/_catalog", summary="List the repositories", responses=pull_responses(400), operation_id="listRepositories"
)
async def catalog(request: Request, source: _Source, n: str | None = None, last: str = "") -> Response:
    names, link = _page(request, await source.repositories(), (n, last))
    return NewlineJSONResponse({"repositories": names}, headers=link)


@_router.head("/{name:path}/tags/list", include_in_schema=False)
@_router.get(
    "/{name:path}/tags/list",
    summary="List the tags of a repository",
    responses=pull_responses(400, 404),
    operation_id="listTags",
)
async def tags(request: Request, source: _Source, name: str, n: str | None = None, last: str = "") -> Response:
    found = await source.tags(parse_repository(name))
    if found is None:
        raise _unknown_name(name)
    names, link = _page(request, found, (n, last))
    return NewlineJSONResponse({"name": name, "tags": names}, headers=link)


@_router.head("/{name:path}/referrers/{digest}", include_in_schema=False)
@_router.get(
    "/{name:path}/referrers/{digest}",
    summary="List the manifests that refer to one",
    responses=pull_responses(400),
    operation_id="listReferrers",
)
async def referrers(
    source: _Source, name: str, digest: str, artifact_type: Annotated[str | None, Query(alias="artifactType")] = None
) -> Response:
    found = await source.referrers(parse_repository(name), _digest(digest))
    chosen = [_listed(entry) for entry in found if artifact_type in {None, entry.artifact_type}]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": chosen}
    filters = {} if artifact_type is None else {"OCI-Filters-Applied": "artifactType"}
    return Response(json.dumps(index), media_type=OCI_INDEX, headers=filters)


@_router.head("/{name:path}/manifests/{reference}", include_in_schema=False)
@_router.get(
    "/{name:path}/manifests/{reference}",
    summary="Pull a manifest by tag or digest",
    responses=pull_responses(304, 400, 404),
    operation_id="getManifest",
)
async def manifest(request: Request, source: _Source, name: str, reference: str) -> Response:
    parse_repository(name)
    if ":" in reference:
        _digest(reference)
    if request.method == "HEAD":
        stored = await source.read_manifest(name, reference)
    else:
        stored = await source.pull_manifest(name, reference, _reader(request))
    if stored is None:
        await _require_repository(source, name)
        raise _DistributionError(404, "MANIFEST_UNKNOWN", f"{name} has no manifest {reference}")
    headers = _content_headers(stored.digest, len(stored.raw)) | {"Content-Type": stored.media_type}
    if ":" in reference:
        headers["Cache-Control"] = _IMMUTABLE
    if _is_known(request, stored.digest):
        return _not_modified(headers)
    return Response(b"" if request.method == "HEAD" else stored.raw, headers=headers)


@_router.head("/{name:path}/blobs/{digest}", include_in_schema=False)
@_router.get(
    "/{name:path}/blobs/{digest}",
    summary="Pull a blob, or a range of it",
    responses=pull_responses(206, 304, 400, 404, 416),
    operation_id="getBlob",
)
async def blob(request: Request, source: _Source, name: str, digest: str) -> Response:
    wanted = _digest(digest)
    parse_repository(name)
    is_read = request.method != "HEAD"
    size = await (source.pull_blob(name, wanted, _reader(request)) if is_read else source.blob_size(name, wanted))
    if size is None:
        await _require_repository(source, name)
        raise _DistributionError(404, "BLOB_UNKNOWN", f"{name} has no blob {wanted}")
    headers = _content_headers(wanted, size)
    headers |= {"Accept-Ranges": "bytes", "Cache-Control": _IMMUTABLE, "Content-Type": "application/octet-stream"}
    if _is_known(request, wanted):
        return _not_modified(headers)
    if not is_read:
        return Response(headers=headers)
    part = _range(request, wanted, size)
    pull = _BlobPull(source, name, wanted, size, _reader(request))
    if part is None:
        return StreamingResponse(pull.chunks(ByteRange(0, size)), headers=headers)
    headers["Content-Length"] = str(part.end - part.start)
    headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    return StreamingResponse(pull.chunks(part), status_code=206, headers=headers)


@_router.delete(
    "/{name:path}/manifests/{reference}",
    summary="Delete a tag, or a manifest by its digest",
    status_code=202,
    responses=pull_responses(400, 403, 404, 405),
    operation_id="deleteManifest",
)
async def delete_manifest(request: Request, source: _Source, name: str, reference: str) -> Response:
    """Delete a tag, whose manifest can be pulled by digest until a prune, or a manifest with its tags. A part of an
    image index is not deleted (405). Tokens need the rights of `DELETE /store/{repository}`."""
    parse_repository(name)
    if ":" in reference:
        _digest(reference)
    await _delete(request, (source, name), partial(source.delete_manifest, name, reference), "MANIFEST_UNKNOWN")
    return Response(status_code=202)


@_router.delete(
    "/{name:path}/blobs/{digest}",
    summary="Delete a blob",
    status_code=202,
    responses=pull_responses(400, 403, 404, 405),
    operation_id="deleteBlob",
)
async def delete_blob(request: Request, source: _Source, name: str, digest: str) -> Response:
    """Delete a blob, unless a manifest of the repository refers to it (405). A prune frees its bytes."""
    wanted = _digest(digest)
    parse_repository(name)
    await _delete(request, (source, name), partial(source.delete_blob, name, wanted), "BLOB_UNKNOWN")
    return Response(status_code=202)


async def _delete(
    request: Request, place: tuple[PullSource, str], delete: Callable[[], Awaitable[None]], unknown: str
) -> None:
    caller: Caller = request.scope.get(CALLER, EVERYBODY)
    if not caller.may_delete:
        raise _DistributionError(403, "DENIED", f"the token of {caller.name} may not delete images")
    try:
        await delete()
    except NotFound as error:
        await _require_repository(*place)
        raise _DistributionError(404, unknown, str(error)) from None
    except Conflict as error:
        raise _DistributionError(405, "DENIED", str(error), Allow="GET, HEAD") from None


@_router.api_route(
    "/{rest:path}", methods=["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"], include_in_schema=False
)
async def reject_write(rest: str) -> None:
    raise _DistributionError(405, "UNSUPPORTED", _WORDS, Allow="GET, HEAD")


@_router.api_route("/{rest:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def reject_unknown(rest: str) -> None:
    raise _DistributionError(
        404, "UNSUPPORTED", "There is no such endpoint; see the distribution-spec for those of a registry"
    )


def _reader(request: Request) -> str:
    """Return who pulls: a token, at one address."""
    caller: Caller = request.scope.get(CALLER, EVERYBODY)
    return f"{caller.name}\n{caller.submitter.address}"


@dataclass(frozen=True, slots=True)
class _BlobPull:
    """A blob of `size` bytes that `reader` reads."""

    source: PullSource
    repository: str
    digest: Digest
    size: int
    reader: str

    async def chunks(self, part: ByteRange) -> AsyncIterator[bytes]:
        """Yield the bytes of `part`. The blob is pulled once its last byte is taken."""
        async for chunk in _chunks(self.source, self.digest, part):
            yield chunk
            await self.source.continue_pull(self.reader)
        if part.end == self.size:
            await self.source.end_pull(self.repository, self.digest, self.reader)


async def _chunks(source: PullSource, digest: Digest, part: ByteRange) -> AsyncIterator[bytes]:
    position = part.start
    while position < part.end:
        chunk = await source.read_blob(digest, position, min(CHUNK, part.end - position))
        if not chunk:  # the announced length is wrong now; ending the connection reports it
            raise RegistryFault(f"blob {digest} ends at byte {position}; remove its file and push again")
        position += len(chunk)
        yield chunk


def _range(request: Request, digest: Digest, size: int) -> ByteRange | None:
    if request.headers.get("If-Range", f'"{digest}"') != f'"{digest}"':
        return None
    try:
        return parse_range(request.headers.get("Range"), size)
    except RangeNotSatisfiable:
        message = f"blob {digest} has {size} bytes, none of them in this range"
        raise _DistributionError(416, "SIZE_INVALID", message, Content_Range=f"bytes */{size}") from None


def _content_headers(digest: Digest, size: int) -> dict[str, str]:
    return {"Content-Length": str(size), "Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}


def _is_known(request: Request, digest: Digest) -> bool:
    """Return whether If-None-Match matches (RFC 9110 13.1.2); a proxy may have made the tag weak."""
    known = [tag.strip().removeprefix("W/") for tag in ",".join(request.headers.getlist("If-None-Match")).split(",")]
    return f'"{digest}"' in known or known == ["*"]


def _not_modified(headers: dict[str, str]) -> Response:
    return Response(status_code=304, headers={name: text for name, text in headers.items() if name != "Content-Length"})


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except MalformedArchive as error:
        raise _DistributionError(400, "DIGEST_INVALID", str(error)) from None


async def _require_repository(source: PullSource, name: str) -> None:
    if await source.tags(name) is None:
        raise _unknown_name(name)


def _unknown_name(name: str) -> _DistributionError:
    return _DistributionError(
        404, "NAME_UNKNOWN", f"there is no repository {name} here; GET /v2/_catalog lists those that are"
    )


def _page(request: Request, names: Sequence[str], page: tuple[str | None, str]) -> tuple[list[str], dict[str, str]]:
    """Return the names after `last`, at most `n`, and the Link header if more follow (distribution-spec)."""
    n, last = page
    rest = [name for name in names if name > last]
    size = MAX_PAGE
    if n is not None:
        if not (n.isascii() and n.isdigit()):
            raise _DistributionError(400, "UNSUPPORTED", f"n={n:.40} is not a count of names")
        size = min(MAX_PAGE, int(n[:9]))
    if not 0 < size < len(rest):
        return rest[:size], {}
    query = urlencode({"n": size, "last": rest[size - 1]})
    return rest[:size], {"Link": f'<{request.url.path}?{query}>; rel="next"'}


def _listed(entry: Descriptor) -> dict[str, object]:
    members: dict[str, object] = {
        "mediaType": entry.media_type,
        "digest": str(entry.digest),
        "size": entry.size,
    }
    if entry.artifact_type:
        members["artifactType"] = entry.artifact_type
    if entry.annotations:
        members["annotations"] = dict(entry.annotations)
    return members
