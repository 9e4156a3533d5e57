"""End of a response, of its head and of interim responses (1xx, RFC 9110 15.2). Pure."""

from __future__ import annotations

import re

CUT_HEAD = "the connection ended in the middle of a response's head"
TLS_ALERT = "a TLS alert was sent instead of a response"
TLS_RECORD = b"\x15\x03"  # first bytes of an alert record
MAX_INTERIM = 100  # per final response; well-behaved servers send one or two
MAX_HEAD_BYTES = 128 << 10  # the limit of h11 is 100 KiB
MAX_INTERIM_BYTES = 64 << 10  # per interim head
_STATUS = len(b"HTTP/1.1 ")  # offset of the status
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}")  # 101 is final: the protocol changes
_END = re.compile(rb"\r?\n\r?\n")
_FINAL = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_BODILESS = frozenset({b"204", b"304"})
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r?\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:", re.IGNORECASE)


def interim_length(data: bytes | bytearray) -> int | None:
    """Return the length of the interim response at the start of `data`.

    Return 0 if there is none, and None if more bytes are needed.
    """
    if not data.startswith(b"HTTP/1."[: len(data)]) or data[_STATUS : _STATUS + 1] not in (b"", b"1"):
        return 0
    if len(data) < _STATUS + 3:
        return None
    if not _INTERIM.match(data):
        return 0
    end = _END.search(data)
    return end.end() if end else None if len(data) < MAX_INTERIM_BYTES else 0


def is_final_begun(data: bytes | bytearray) -> bool:
    """Return whether the status of a final response has begun."""
    rest = bytes(data)
    while length := interim_length(rest):
        rest = rest[length:]
    return length == 0 and len(rest) > _STATUS


class ResponseEnd:
    """Finds the end of a response, in pieces of any size, so that surplus bytes are not read as the next response.

    `is_to_head`: the request was a HEAD, so the response has no body.

    A head that exceeds the limit counts as ended: h11 rejects it. `left`: remaining bytes of the body; None if unknown,
    as for a chunked body, whose end h11 finds.
    """

    def __init__(self, *, is_to_head: bool) -> None:
        self.is_head_over = False
        self.left: int | None = None
        self._is_to_head = is_to_head
        self._head = bytearray()

    def take(self, data: bytes) -> int:
        """Return how many of the next bytes, `data`, belong to the response."""
        begins = 0 if self.is_head_over else self._take_head(data)
        if self.left is None:
            return len(data)
        count = min(self.left, len(data) - begins)
        self.left -= count
        return begins + count

    def _take_head(self, data: bytes) -> int:
        """Return how many bytes of `data` belong to the head."""
        before = len(self._head)
        self._head += data[: MAX_HEAD_BYTES + 1 - before]
        end = _END.search(self._head, max(before - 3, 0))
        self.is_head_over = end is not None or len(self._head) > MAX_HEAD_BYTES
        if end is None:
            return len(data)
        self.left = _body_length(bytes(self._head[: end.end()]), is_to_head=self._is_to_head)
        return end.end() - before


def _body_length(head: bytes, *, is_to_head: bool) -> int | None:
    """Return the length of the body in bytes (RFC 9112 6.3), or None if the head does not define it."""
    status = _FINAL.match(head)
    if is_to_head or (status and status[1] in _BODILESS):
        return 0
    lengths = set(_LENGTH.findall(head))
    return int(lengths.pop()) if len(lengths) == 1 and not _CHUNKED.search(head) else None
