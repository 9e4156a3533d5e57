"""The content of a blob as the bodies of one or more requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus

from app.errors import SizeMismatch, TarmacError
from app.net.client import Body
from app.net.response import Response
from app.registry import BlobContent
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.distribution.responses import read_error_detail

OCTETS = {"Content-Type": "application/octet-stream"}
NO_BODY: tuple[dict[str, str], bytes | Body] = ({}, b"")
_OF_CONTENT = frozenset({"DIGEST_INVALID", "SIZE_INVALID"})


class UploadBody:
    """Reads the content of a blob as request bodies.

    A body that starts at the current position continues the read; any other rereads the content from its start, so that
    the content still verifies all of its bytes.
    """

    def __init__(self, content: BlobContent, throttle: RequestThrottle) -> None:
        self.content, self._throttle = content, throttle
        self._chunks: AsyncIterator[bytes] | None = None
        self._held = b""
        self._position = 0
        self.furthest = 0  # bytes that have been passed to a request
        self.counted = 0  # bytes of request bodies that the registry is known to have read; resent ones count again
        self._counted_before = 0  # `counted` before the latest body
        self._has_length = True  # whether the latest body had a Content-Length
        self.failure: TarmacError | OSError | None = None  # the error that ended a stream early
        self._stopped = False
        self._waiting: asyncio.Task[object] | None = None

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield all of the content.

        On failure or `stop`, the stream ends early but regularly, so that the registry responds: distribution 2 does
        not cancel a session whose request broke off ("upload resumed at wrong offset"). The error is stored in
        `failure`.
        """
        self._counted_before, self._has_length = self.counted, False
        pieces = self._pieces(0, None)
        try:
            while not self._stopped and (piece := await self._piece_of(pieces)):
                self.count(len(piece))
                yield piece
        except (TarmacError, OSError) as error:
            self.failure = error
        finally:
            await pieces.aclose()

    def stop(self) -> None:
        """End the stream after the piece just sent."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _piece_of(self, pieces: AsyncGenerator[bytes, None]) -> bytes:
        """Return the next piece, or b"" at the end; no other piece is empty."""
        self._waiting = asyncio.current_task()
        try:
            return await anext(pieces, b"")
        except asyncio.CancelledError:
            if not self._stopped or self._waiting is None:
                raise
            self._waiting.uncancel()  # the cancellation was meant for the content, not for the request
            return b""
        finally:
            self._waiting = None

    async def part(self, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` to `end` as the body of a request; None: to the content's end.

        If the content is longer or shorter than its size, the part breaks off before its last byte, so that a registry
        never receives a complete body. Raises SizeMismatch and the errors of the content.
        """
        self._counted_before, self._has_length = self.counted, True
        pieces = self._pieces(start, end)
        try:
            async for piece in pieces:
                self.count(len(piece))  # before it is written: if that fails, the number of bytes read is unknown
                yield piece
        finally:
            await pieces.aclose()

    def count(self, size: int) -> None:
        """Report that the registry read `size` bytes of a request body.

        A negative `size` corrects an earlier report.
        """
        self.counted += size
        self.content.count_sent(size)

    def count_none(self) -> None:
        """Report that the registry did not read the latest body."""
        self.count(self._counted_before - self.counted)

    def count_refusal(self, response: Response) -> None:
        """Report what the registry read of a body that it rejected.

        It read all of it if it rejected the content. It read nothing if it rejected the request itself, by its method,
        length or rights.
        """
        is_of_request = 400 <= response.status < 500 or response.status == 501
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and not self._has_length:
            return
        if is_of_request and read_error_detail(response.body).code not in _OF_CONTENT:
            self.count_none()

    async def _pieces(self, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        if self._chunks is None or self._position != start:
            await self._begin(start)
        while end is None or self._position < end:
            if not self._held and not await self._next():
                break
            room = len(self._held) if end is None else end - self._position
            piece = self._held[: min(room, self._throttle.byte_quantum or room)]
            await self._check_end(self._position + len(piece), len(self._held) - len(piece))
            self._held = self._held[len(piece) :]
            self._position += len(piece)
            self.furthest = max(self.furthest, self._position)
            await self._throttle.spend(len(piece))
            yield piece
        self._check_length(end)

    async def take(self, start: int, count: int) -> bytes:
        """Return at most `count` bytes from `start`, as the body of one request; fewer at the end."""
        return b"".join([piece async for piece in self.part(start, start + count)])

    async def measure(self) -> None:
        """Read all of the content, after which its digest and size are known."""
        await self._begin(0)
        while await self._next():
            pass
        await self.close()

    async def close(self) -> None:
        chunks, self._chunks = self._chunks, None
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()

    async def _begin(self, start: int) -> None:
        await self.close()
        self._chunks, self._held, self._position = self.content.chunks(), b"", 0
        while self._position < start and await self._next():
            passed = min(len(self._held), start - self._position)
            self._held = self._held[passed:]
            self._position += passed

    async def _next(self) -> bool:
        assert self._chunks is not None
        async for chunk in self._chunks:
            if chunk:
                self._held = chunk
                return True
        return False

    async def _check_end(self, position: int, left: int) -> None:
        """Check before the last byte is yielded that the content ends there.

        This also lets the content finish its own checks.
        """
        size = self.content.size
        if size is None or position < size:
            return
        if left or await self._next():
            raise SizeMismatch(f"blob {self.content.digest} has more than the {size} bytes in its descriptor")

    def _check_length(self, end: int | None) -> None:
        size = self.content.size
        if size is not None and self._position < (size if end is None else min(end, size)):
            raise SizeMismatch(
                f"blob {self.content.digest} has {self._position} bytes instead of the {size} in its descriptor"
            )


def full_body(reading: UploadBody, size: int) -> tuple[dict[str, str], bytes | Body]:
    return {**OCTETS, "Content-Length": str(size)}, range_body(reading, 0, size)


def range_body(reading: UploadBody, start: int, end: int) -> Body:
    return lambda: reading.part(start, end)


def range_headers(start: int, end: int) -> dict[str, str]:
    return {**OCTETS, "Content-Length": str(end - start), "Content-Range": f"{start}-{end - 1}"}
