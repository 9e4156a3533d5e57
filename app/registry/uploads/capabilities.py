"""Upload methods that a registry supports, and conclusions from rejections. Pure.

The cheapest method is tried first. A rejected method leads to the next one, and is not tried again at that registry:

    may exist        POST with a mount from the repository itself: 201 if it exists, otherwise a session
                     HEAD, then POST
    digest known     one PUT        two requests       GAR needs it
                     one PATCH      three              Artifactory, old pulp
                     chunks         behind a proxy that limits the request size (nginx 1 MB, Cloudflare 100 MB)
    digest unknown   one stream, chunked transfer      ACR rejects it
                     chunks of known length            ECR, GAR reject the second
                     read once for its digest, then as above
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from app.net.response import Response
from app.registry.distribution.responses import details_of, read_error_detail

DEFAULT_CHUNK = 5 << 20  # bytes; ECR accepts no smaller part except the last
MAX_CHUNK_BYTES = 95 << 20  # tried first after a request was too large: Cloudflare accepts 100 MB
GHCR_CHUNK = 4 << 20  # tried first after a chunk was answered 416 with "too large"
MIN_CHUNK_BYTES = 64 << 10  # no proxy has a lower limit; a rejection of this is not about size
MAX_CHUNK_MIN_LENGTH = 1 << 30  # a higher OCI-Chunk-Min-Length is invalid
_UNSUPPORTED = frozenset({404, 405, 411, 501})
_UNSUPPORTED_CODES = frozenset({"UNSUPPORTED", "CONTENT_LENGTH_INVALID"})
_PLAIN_405 = frozenset({"", "UNSUPPORTED"})  # ACR responds 405 with another code for a full or locked registry
_OTHER_404 = frozenset({"NAME_UNKNOWN", "NAME_INVALID", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


class UploadMethod(StrEnum):
    PUT = "put"
    PATCH = "patch"
    CHUNKS = "chunks"
    STREAM = "stream"
    MEASURE = "measure"


@dataclass(frozen=True, slots=True)
class UploadCapabilities:
    """The upload methods that have not been rejected.

    `most`: the largest request body that a size limit permits. `ask`: the request that opens a session may also test
    for the blob. `mount`: blobs are mounted from other repositories.
    """

    ask: bool = True
    mount: bool = True
    put: bool = True
    patch: bool = True
    chunks: bool = True
    stream: bool = True
    most: int | None = None

    def choose_method(self, size: int | None) -> UploadMethod | None:
        """Return the best method for a blob of `size` bytes (None: unknown), or None if no method is left."""
        whole = self.most is None or (size is not None and size <= self.most)
        if size is None:
            methods = (
                (UploadMethod.STREAM, self.stream and whole),
                (UploadMethod.CHUNKS, self.chunks),
                (UploadMethod.MEASURE, True),
            )
        else:
            methods = (
                (UploadMethod.PUT, self.put and whole),
                (UploadMethod.PATCH, self.patch and whole),
                (UploadMethod.CHUNKS, self.chunks),
            )
        return next((method for method, open_ in methods if open_), None)

    def resume_method(self, size: int | None, offset: int) -> UploadMethod:
        """Choose how to resume a session at `offset`.

        Use a Content-Range if possible, so that late bytes of the broken request are detected.
        """
        if size is None:
            return UploadMethod.CHUNKS if self.chunks else UploadMethod.STREAM
        return UploadMethod.PATCH if self.most is None or size - offset <= self.most else UploadMethod.CHUNKS

    def chunk(self, size: int | None, usual: int, least: int) -> int:
        """Return the size of one chunk.

        A blob of known size is not buffered, so its chunks have the permitted maximum, others the `usual` size. It is
        at least `least`, the registry's minimum.
        """
        wanted = usual if self.most is None or size is None else self.most
        return max(least, min(wanted, self.most or wanted))

    def merge(self, other: UploadCapabilities) -> UploadCapabilities:
        """Return the combination of what both have learned."""
        limits = [item.most for item in (self, other) if item.most is not None]
        return UploadCapabilities(
            ask=self.ask and other.ask,
            mount=self.mount and other.mount,
            put=self.put and other.put,
            patch=self.patch and other.patch,
            chunks=self.chunks and other.chunks,
            stream=self.stream and other.stream,
            most=min(limits, default=None),
        )


@dataclass(frozen=True, slots=True)
class UploadAttempt:
    """A request of an upload: its method, and the size of its body (or the part sent so far)."""

    method: UploadMethod
    size: int


def next_capabilities(
    capabilities: UploadCapabilities, tried: UploadAttempt, response: Response
) -> UploadCapabilities | None:
    """Return the capabilities to try next, or None if the rejection is not about the upload method."""
    code = read_error_detail(response.body).code
    if is_too_large(response):
        most = _smaller(tried.size, response.status)
        return None if most < MIN_CHUNK_BYTES else replace(capabilities, most=min(most, capabilities.most or most))
    refused = response.status in _UNSUPPORTED and not _means_another(response.status, code)
    if refused or (response.status == 400 and code in _UNSUPPORTED_CODES):
        return replace(capabilities, **{tried.method.value: False})
    if tried.method is UploadMethod.CHUNKS and code in {"DIGEST_INVALID", "SIZE_INVALID"}:
        return replace(capabilities, chunks=False)  # ECR loses all but the first chunk (aws/containers-roadmap#2831)
    return None


def _means_another(status: int, code: str) -> bool:
    """Return whether a rejection concerns the repository, session or registry, not the form of the request."""
    return (status == 404 and code in _OTHER_404) or (status == 405 and code not in _PLAIN_405)


def is_too_large(response: Response) -> bool:
    return response.status == 413 or (
        response.status == 416 and "too large" in read_error_detail(response.body).message.lower()
    )


def is_session_lost(response: Response, tried: UploadAttempt) -> bool:
    """Return whether the upload session no longer exists: it has expired, or another replica responded.

    If the registry has accepted the bytes, a 404 to the committing request does not concern the method.
    """
    code = read_error_detail(response.body).code
    if is_invalid(response):
        return False
    if response.status in {400, 404, 410} and code in {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}:
        return True
    has_taken = response.method == "PUT" and tried.method is not UploadMethod.PUT
    return has_taken and response.status in {404, 410} and code not in _OTHER_404


def is_invalid(response: Response) -> bool:
    """Return whether the registry rejects the content, which may have been damaged in transit.

    Nexus uses the code of a lost session for this, with a detail.
    """
    code = read_error_detail(response.body).code
    if code == "BLOB_UPLOAD_INVALID":
        return response.status == 400 and any(detail for _, detail in details_of(response.body))
    return code in {"DIGEST_INVALID", "SIZE_INVALID"}


def _smaller(refused: int, status: int) -> int:
    first = GHCR_CHUNK if status == 416 else MAX_CHUNK_BYTES
    return first if refused > first else refused // 2


def chunk_min_length(value: str | None) -> int:
    """Return OCI-Chunk-Min-Length, or 0 if it is missing or invalid."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 12:
        return 0
    return min(int(value), MAX_CHUNK_MIN_LENGTH)
