"""What has been learnt about how a registry takes blobs, and what follows from a refusal. Pure.

The cheapest way is tried first; each way that a registry refuses leads to the next, and is not tried there again:

    may be there     POST with a mount from where it would be: 201 where it is there, else the session
                     HEAD, then POST
    digest known     one PUT        two requests       GAR needs it
                     one PATCH      three              Artifactory, old pulp
                     chunks         behind a proxy that limits a request's size (nginx 1 MB, Cloudflare 100 MB)
    digest unknown   one stream, chunked transfer      ACR refuses it
                     chunks of known length            ECR, GAR refuse the second
                     read once for its digest, then as above
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from app.net.response import Response
from app.registry.distribution.responses import details_of, read_complaint

DEFAULT_CHUNK = 5 << 20  # bytes; ECR takes no smaller part but the last
LARGEST_CHUNK = 95 << 20  # tried first where a request was too large: Cloudflare takes 100 MB
GHCR_CHUNK = 4 << 20  # tried first where a chunk was answered 416 with "too large"
SMALLEST_CHUNK = 64 << 10  # no proxy limits requests to less; a refusal of this is no matter of size
MOST_CHUNK_MIN = 1 << 30  # an OCI-Chunk-Min-Length above is nonsense
_NO_SUCH_WAY = frozenset({404, 405, 411, 501})
_NO_SUCH_WAY_CODES = frozenset({"UNSUPPORTED", "CONTENT_LENGTH_INVALID"})
_PLAIN_405 = frozenset({"", "UNSUPPORTED"})  # ACR answers 405 with a code of its own for a full or locked registry
_OTHER_404 = frozenset({"NAME_UNKNOWN", "NAME_INVALID", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


class UploadMethod(StrEnum):
    PUT = "put"
    PATCH = "patch"
    CHUNKS = "chunks"
    STREAM = "stream"
    MEASURE = "measure"


@dataclass(frozen=True, slots=True)
class UploadCapabilities:
    """The ways that have not been refused, and `most` bytes of a request's body that a size limit lets through. `ask`:
    the request that opens a session may ask for the blob, too. `mount`: blobs are mounted from other repositories."""

    ask: bool = True
    mount: bool = True
    put: bool = True
    patch: bool = True
    chunks: bool = True
    stream: bool = True
    most: int | None = None

    def choose_method(self, size: int | None) -> UploadMethod | None:
        """The best way for a blob of `size` bytes (None: not known yet); None where none is left."""
        whole = self.most is None or (size is not None and size <= self.most)
        if size is None:
            ways = (
                (UploadMethod.STREAM, self.stream and whole),
                (UploadMethod.CHUNKS, self.chunks),
                (UploadMethod.MEASURE, True),
            )
        else:
            ways = (
                (UploadMethod.PUT, self.put and whole),
                (UploadMethod.PATCH, self.patch and whole),
                (UploadMethod.CHUNKS, self.chunks),
            )
        return next((way for way, open_ in ways if open_), None)

    def resume_method(self, size: int | None, offset: int) -> UploadMethod:
        """How a session that holds `offset` bytes already is gone on with: where that can be, with a Content-Range, so
        that bytes of the broken request that come late are found out."""
        if size is None:
            return UploadMethod.CHUNKS if self.chunks else UploadMethod.STREAM
        return UploadMethod.PATCH if self.most is None or size - offset <= self.most else UploadMethod.CHUNKS

    def chunk(self, size: int | None, usual: int, least: int) -> int:
        """Bytes of one chunk: of a blob of known size as many as are let through (it is not held in memory), otherwise
        the `usual` number; never below what the registry asks for at `least`."""
        wanted = usual if self.most is None or size is None else self.most
        return max(least, min(wanted, self.most or wanted))

    def merge(self, other: UploadCapabilities) -> UploadCapabilities:
        """What both have learnt."""
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
    """A request of an upload: which way, how many bytes its body has (or had so far)."""

    way: UploadMethod
    size: int


def next_capabilities(profile: UploadCapabilities, tried: UploadAttempt, reply: Response) -> UploadCapabilities | None:
    """What is to be tried next; None where the refusal is not about the way."""
    code = read_complaint(reply.body).code
    if is_too_large(reply):
        most = _smaller(tried.size, reply.status)
        return None if most < SMALLEST_CHUNK else replace(profile, most=min(most, profile.most or most))
    refused = reply.status in _NO_SUCH_WAY and not _means_another(reply.status, code)
    if refused or (reply.status == 400 and code in _NO_SUCH_WAY_CODES):
        return replace(profile, **{tried.way.value: False})
    if tried.way is UploadMethod.CHUNKS and code in {"DIGEST_INVALID", "SIZE_INVALID"}:
        return replace(profile, chunks=False)  # ECR loses all but the first (aws/containers-roadmap#2831)
    return None


def _means_another(status: int, code: str) -> bool:
    """Whether a refusal is about the repository, the session or the registry, and not about the request's form."""
    return (status == 404 and code in _OTHER_404) or (status == 405 and code not in _PLAIN_405)


def is_too_large(reply: Response) -> bool:
    return reply.status == 413 or (reply.status == 416 and "too large" in read_complaint(reply.body).words.lower())


def is_session_lost(reply: Response, tried: UploadAttempt) -> bool:
    """The upload session is not there any more: expired, or another replica answered. A registry that has taken the
    bytes does not mean the way by a 404 to the request that ends it, whatever words it has."""
    code = read_complaint(reply.body).code
    if is_invalid(reply):
        return False
    if reply.status in {400, 404, 410} and code in {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}:
        return True
    has_taken = reply.method == "PUT" and tried.way is not UploadMethod.PUT
    return has_taken and reply.status in {404, 410} and code not in _OTHER_404


def is_invalid(reply: Response) -> bool:
    """The registry does not take this content. Nexus says so with the code of a session that is gone, and with a
    detail; by the others content may be meant that was damaged on the way."""
    code = read_complaint(reply.body).code
    if code == "BLOB_UPLOAD_INVALID":
        return reply.status == 400 and any(detail for _, detail in details_of(reply.body))
    return code in {"DIGEST_INVALID", "SIZE_INVALID"}


def _smaller(refused: int, status: int) -> int:
    first = GHCR_CHUNK if status == 416 else LARGEST_CHUNK
    return first if refused > first else refused // 2


def chunk_min_length(value: str | None) -> int:
    """OCI-Chunk-Min-Length, 0 where there is none that makes sense."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 12:
        return 0
    return min(int(value), MOST_CHUNK_MIN)
