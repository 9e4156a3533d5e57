"""The type of a body: an archive, a form or JSON, by Content-Type, or by its first bytes if that is often wrong.

httpie sends any body as application/json, `curl --data-binary` as application/x-www-form-urlencoded. People who write
`Content-Type: multipart/form-data` by hand omit the boundary."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum, auto

from python_multipart.multipart import parse_options_header

from app.api.problems import MalformedRequest
from app.archive.split import FileEnds
from app.errors import InvalidRequest

MATCHED_BYTES = 8 << 10  # in which the head of a form's first part has to end
SNIFFED_BYTES = 1024  # the header of a tar, or the head of a form's first part
FORM = "multipart/form-data"
_ARCHIVES = frozenset(
    {
        "",
        "application/octet-stream",
        "application/tar",
        *(f"application/{prefix}{name}" for name in ("tar", "gzip", "zstd", "xz", "bzip2") for prefix in ("", "x-")),
    }
)
_FIRST_LINE = re.compile(rb"--([^\r\n]{1,200}?)[ \t]*\r\n(?:[^\r\n]*\r\n)*?content-disposition:", re.IGNORECASE)
_PAIR = re.compile(rb"[A-Za-z_]{1,40}(?:\[\w{0,9}\]|%5B\w{0,9}%5D)?=", re.IGNORECASE)
HOW = "send the archive itself (curl -T x.tar, or --data-binary @x.tar), or a form with it (curl -F archive=@x.tar)"


class Kind(Enum):
    ARCHIVE = auto()
    FORM = auto()
    JSON = auto()


@dataclass(frozen=True, slots=True)
class Body:
    """`content_type` of a form has its boundary, if there is one. `chunks` yields the whole body."""

    kind: Kind
    content_type: str
    chunks: AsyncIterator[bytes]


def is_json(content_type: str) -> bool:
    name = _name(content_type)
    return name == "application/json" or name.endswith("+json")


async def read_kind(content_type: str, chunks: AsyncIterator[bytes]) -> Body:
    """Return the body and its type; read ahead as far as needed. Raises MalformedRequest, InvalidRequest, what `chunks`
    raises."""
    if _name(content_type) in _ARCHIVES:
        return Body(Kind.ARCHIVE, content_type, chunks)
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= SNIFFED_BYTES:
            break
    kind, content_type = _kind_of(content_type, head)
    return Body(kind, content_type, _behind(head, chunks))


def _kind_of(content_type: str, head: bytes) -> tuple[Kind, str]:
    if FileEnds(head, b"", len(head)).starts_an_archive:
        return Kind.ARCHIVE, content_type
    if is_json(content_type):
        return Kind.JSON, content_type
    name, parameters = parse_options_header(content_type)
    if name == FORM.encode() and parameters.get(b"boundary"):
        return Kind.FORM, content_type
    line = _FIRST_LINE.match(head[:MATCHED_BYTES])
    if line is not None and not name.startswith(b"multipart/mixed"):
        return Kind.FORM, f'{FORM}; boundary="{line[1].decode("latin-1")}"'
    _refuse(name.decode("latin-1"), head)
    return Kind.ARCHIVE, content_type


def _refuse(name: str, head: bytes) -> None:
    """Raise InvalidRequest for content that is often sent by mistake."""
    if name == FORM:
        raise MalformedRequest(
            f"the form's Content-Type lacks its boundary, and the body does not begin with one; {HOW}"
        )
    if name.startswith("multipart/"):
        raise InvalidRequest(f"bodies of type {name:.60} are not read; {HOW}")
    if head.lstrip()[:1] in (b"{", b"["):
        raise InvalidRequest("the body is a JSON document; send it as application/json (curl --json), to name paths")
    if name == "application/x-www-form-urlencoded" and _PAIR.match(head):
        raise InvalidRequest(f"the body is a list of `key=value` (curl -d) and holds no archive; {HOW}")


def _name(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


async def _behind(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in rest:
        yield chunk


__all__ = ["Body", "Kind", "is_json", "read_kind"]
