"""Where the head of a response ends, and the interim responses (1xx, RFC 9110 15.2) that may come before it. Pure."""

from __future__ import annotations

import re

CUT_HEAD = "the connection ended in the middle of a response's head"
TLS_ALERT = "a TLS alert came in place of a response"
TLS_RECORD = b"\x15\x03"  # how it begins
MAX_INTERIM = 100  # responses before the final one; honest servers send one or two
MAX_HEAD_BYTES = 128 << 10  # h11 takes 100 KiB
MAX_INTERIM_BYTES = 64 << 10  # of one interim head
_STATUS = len(b"HTTP/1.1 ")  # where the status begins
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}")  # 101 is final: the protocol changes
_END = re.compile(rb"\r?\n\r?\n")


def interim_length(data: bytes | bytearray) -> int | None:
    """Return how many bytes the interim response has that `data` begins with: 0 if it begins with anything else, None
    if more has to come first."""
    if not data.startswith(b"HTTP/1."[: len(data)]) or data[_STATUS : _STATUS + 1] not in (b"", b"1"):
        return 0
    if len(data) < _STATUS + 3:
        return None
    if not _INTERIM.match(data):
        return 0
    end = _END.search(data)
    return end.end() if end else None if len(data) < MAX_INTERIM_BYTES else 0


def is_final_begun(data: bytes | bytearray) -> bool:
    """Whether the status of a final response has begun."""
    rest = bytes(data)
    while length := interim_length(rest):
        rest = rest[length:]
    return length == 0 and len(rest) > _STATUS


class HeadEnd:
    """Finds the blank line that ends a head, in pieces of any size. What is longer than a head may be counts as ended:
    h11 refuses it."""

    def __init__(self) -> None:
        self.is_over = False
        self._last = b""
        self._size = 0

    def feed(self, data: bytes) -> None:
        if not self.is_over:
            joined = self._last + data[:MAX_HEAD_BYTES]
            self._size += len(data)
            self.is_over = self._size > MAX_HEAD_BYTES or _END.search(joined) is not None
            self._last = joined[-3:]
