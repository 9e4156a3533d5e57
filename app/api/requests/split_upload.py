"""The parts of a split archive in a form as one stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.api.requests.multipart import Form, Part
from app.api.requests.options import OPTIONS, plain_name
from app.archive.split import (
    HEAD_BYTES,
    TAIL_BYTES,
    FileEnds,
    PartName,
    PartSeries,
    missing_part,
    start_series,
    starts_new_archive,
)
from app.errors import InvalidRequest

ARCHIVE_PART = "archive"
MIN_ARCHIVE_BYTES = 512  # a tar has at least one block


class _PeekedPart:
    """A part of the form with its first bytes read ahead."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.is_archive = plain_name(part.name) == ARCHIVE_PART or (part.is_file and part.name not in OPTIONS)
        self.name = PartName.parse((part.filename or "").replace("\\", "/").rpartition("/")[2])
        self.size = 0
        self._chunks = part.chunks()
        self._ahead: list[bytes] = []
        self._head = b""
        self._tail = b""

    @property
    def ends(self) -> FileEnds:
        """Return whether the bytes read so far end an archive."""
        return FileEnds(self._head[:HEAD_BYTES], self._tail, self.size)

    async def peek(self) -> FileEnds:
        """Read ahead to more than HEAD_BYTES, or to the end. A small part is complete after this."""
        async for chunk in self._chunks:
            self._ahead.append(chunk)
            self._seen(chunk)
            if self.size > HEAD_BYTES:
                break
        return self.ends

    async def is_left_out(self) -> bool:
        """Return whether this is the empty file of a form without a choice. Raises InvalidRequest for a text."""
        if not self.is_archive or self.part.filename:
            return False
        ends = await self.peek()
        if not self.part.is_file and 0 < ends.size < MIN_ARCHIVE_BYTES and not ends.starts_an_archive:
            raise InvalidRequest(
                f"the form's part `{self.part.name:.100}` holds {ends.size} bytes of text, no file; curl sends a file "
                "with @, as -F archive=@x.tar"
            )
        return ends.size == 0

    async def read(self) -> AsyncIterator[bytes]:
        for chunk in self._ahead:
            yield chunk
        self._ahead.clear()
        async for chunk in self._chunks:
            self._seen(chunk)
            yield chunk

    def _seen(self, chunk: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        self._tail = (self._tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
        self.size += len(chunk)


class FormArchive:
    """An archive of the form, in one part or in several."""

    def __init__(self, form: FormParts, first: _PeekedPart) -> None:
        self._form = form
        self._first = first
        name = first.name
        is_first = name is not None and name.may_be_first and not name.is_ambiguous
        self.filename = name.stem if name is not None and is_first else first.part.filename

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of all parts. Raises MissingContent if a part is missing, MalformedArchive."""
        if self._first.name is None:
            async for chunk in self._first.read():
                yield chunk
            return
        async for chunk in self._joined(self._first, self._first.name):
            yield chunk

    async def _joined(self, first: _PeekedPart, name: PartName) -> AsyncIterator[bytes]:
        ends = await first.peek()
        if not (name.may_be_first or name.is_ambiguous or ends.starts_an_archive):
            raise missing_part(name.previous, name)
        series = start_series(name, ends)
        size = 0
        part: _PeekedPart | None = first
        while part is not None:
            async for chunk in part.read():
                if not (series.described and part is first):
                    size += len(chunk)
                    yield chunk
            part, series = await self._following(first, part, series)
        series.end(size)

    async def _following(
        self, first: _PeekedPart, last: _PeekedPart, series: PartSeries
    ) -> tuple[_PeekedPart | None, PartSeries]:
        part = await self._form.next()
        name = part.name if part is not None and part.is_archive else None
        if part is None or name is None or not name.continues(series.last):
            self._form.put_back(part)
            return None, series
        if not series.described and starts_new_archive(first.ends, last.ends, await part.peek(), name):
            self._form.put_back(part)
            return None, series
        return part, series.append(name)


class FormParts:
    """The parts of a form in order: options, and archives, in which the parts of a split one are joined."""

    def __init__(self, form: Form) -> None:
        self._parts = form.parts()
        self._ahead: _PeekedPart | None = None

    async def __aiter__(self) -> AsyncIterator[Part | FormArchive]:
        while (part := await self.next()) is not None:
            yield FormArchive(self, part) if part.is_archive else part.part

    async def next(self) -> _PeekedPart | None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead
        async for part in self._parts:
            opened = _PeekedPart(part)
            if not await opened.is_left_out():
                return opened
        return None

    def put_back(self, part: _PeekedPart | None) -> None:
        self._ahead = part
