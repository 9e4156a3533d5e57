"""Forms (RFC 7578) as a stream: parts come one after the other, a part's bytes come in the pieces they arrived in.

Nothing is held but the piece that was read last. Starlette's `request.form()` would write every file to a temporary
file first (measured: 0.2-0.3 GB/s, and a second copy on disk).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.problems import MalformedRequest
from app.errors import UploadIncomplete

MAX_PARTS = 100  # a request of more archives is better sent as several
MAX_HEADERS = 8  # of one part; browsers and curl send at most three
MAX_TEXT_BYTES = 64 << 10  # one option


@dataclass(frozen=True, slots=True)
class _Begin:
    name: str
    filename: str | None


class _End:
    """A part is complete."""


_Event = _Begin | _End | bytes


class _Collector:
    """What the parser tells, as a queue of events. It holds at most what one piece of the body brings."""

    def __init__(self) -> None:
        self.events: deque[_Event] = deque()
        self.complete = False
        self._parts = 0
        self._field = b""
        self._value = b""
        self._disposition = b""

    def part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MalformedRequest(f"the form has more than {MAX_PARTS} parts")
        self._disposition = b""

    def header_begin(self) -> None:
        self._field = self._value = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value

    def headers_finished(self) -> None:
        kind, parameters = parse_options_header(self._disposition.decode("latin-1"))
        if kind != b"form-data" or b"name" not in parameters:
            raise MalformedRequest("a part of the form lacks `Content-Disposition: form-data; name=…`")
        filename = parameters.get(b"filename", b"").decode(errors="replace")
        self.events.append(_Begin(parameters[b"name"].decode(errors="replace"), filename or None))

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(data[start:end])  # of the whole piece: no copy

    def part_end(self) -> None:
        self.events.append(_End())

    def end(self) -> None:
        self.complete = True


class Form:
    """A form under way. `parts` once; of each part its `chunks` (what is not read of it is passed over) or `text`."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        """Raises MalformedRequest where `content_type` lacks a usable boundary."""
        _, parameters = parse_options_header(content_type)
        self._body = body
        self._told = _Collector()
        callbacks = ("part_begin", "part_data", "part_end", "headers_finished", "end")
        headers = ("header_begin", "header_field", "header_value", "header_end")
        try:
            self._parser = MultipartParser(
                parameters.get(b"boundary") or b"",
                {f"on_{name}": getattr(self._told, name) for name in (*callbacks, *headers)},  # type: ignore[arg-type]
                max_header_count=MAX_HEADERS,
            )
        except FormParserError as error:
            raise MalformedRequest(f"the form cannot be read: {error}") from None
        if not parameters.get(b"boundary"):
            raise MalformedRequest("the form's Content-Type lacks its boundary")

    async def parts(self) -> AsyncIterator[Part]:
        """Raises UploadIncomplete where the body ends before the form's closing boundary."""
        while (event := await self._next()) is not None:
            if isinstance(event, _Begin):
                part = Part(event.name, event.filename, self)
                yield part
                async for _ in part.chunks():
                    pass

    async def piece(self) -> bytes | None:
        """The next piece of the part under way; None at its end."""
        event = await self._next()
        return event if isinstance(event, bytes) else None

    async def _next(self) -> _Event | None:
        while not self._told.events:
            if not await self._feed():
                return None
        return self._told.events.popleft()

    async def _feed(self) -> bool:
        """Parse what comes next. False: the body is at its end, and so is the form."""
        chunk = await anext(self._body, b"")
        if not chunk and self._told.complete:
            return False
        if not chunk:
            # The parser's own `finalize` takes a form that was cut off for a complete one.
            raise UploadIncomplete("the body ended before the form's closing boundary; send it again")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(f"the form is malformed: {error}") from None
        return True


class Part:
    """One part of a form."""

    def __init__(self, name: str, filename: str | None, form: Form) -> None:
        self.name = name
        self.filename = filename
        self._form = form
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self._ended:
            piece = await self._form.piece()
            if piece is None:
                self._ended = True
            else:
                yield piece

    async def text(self) -> str:
        """The whole part. Raises MalformedRequest where it is long or not UTF-8."""
        value = b""
        async for piece in self.chunks():
            value += piece
            if len(value) > MAX_TEXT_BYTES:
                raise MalformedRequest(f"option `{self.name:.100}` has more than {MAX_TEXT_BYTES} bytes")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise MalformedRequest(f"option `{self.name:.100}` is not UTF-8") from None


__all__ = ["Form", "Part"]
