"""The parts of a split archive in a form as one stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from app.api.requests.multipart import Form, Part
from app.api.requests.options import OPTIONS, plain_name
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.continued import PEEK_BYTES, can_follow, is_padding, may_be_archive, name_parts
from app.archive.split import (
    HEAD_BYTES,
    TAIL_BYTES,
    FileEnds,
    PartName,
    PartSeries,
    check_order,
    missing_part,
    start_series,
    starts_new_archive,
)
from app.errors import ArchiveError, InvalidRequest

ARCHIVE_PART = "archive"
MIN_ARCHIVE_BYTES = 512  # a tar has at least one block


class _PeekedPart:
    """A part of the form with its first bytes read ahead."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.is_archive = plain_name(part.name) == ARCHIVE_PART or (part.is_file and part.name not in OPTIONS)
        self.called = (part.filename or part.name).replace("\\", "/").rpartition("/")[2]
        self.name = PartName.of_series(self.called)
        self._is_all = False
        self.size = 0
        self._chunks = part.chunks()
        self._ahead: list[bytes] = []
        self._head = b""
        self._tail = b""

    @property
    def ends(self) -> FileEnds:
        """Return whether the bytes read so far end an archive."""
        return FileEnds(self._head[:HEAD_BYTES], self._tail, self.size)

    async def peek(self, size: int = HEAD_BYTES) -> FileEnds:
        """Read ahead to more than `size`, or all where there is less. What is small is whole after this."""
        while self.size <= size and not self._is_all:
            chunk = await anext(self._chunks, None)
            self._is_all = chunk is None
            if chunk is not None:
                self._ahead.append(chunk)
                self._seen(chunk)
        return self.ends

    async def can_follow(self, first: FileEnds, *, is_whole: bool) -> bool:
        """Whether it can be the next part of the archive that `first` begins. `is_whole`: that has its end."""
        if is_whole:
            return is_padding((await self.peek()).head)
        if (await self.peek()).starts_an_archive:
            await self.peek(PEEK_BYTES)
        head = b"".join(self._ahead)
        is_archive = may_be_archive(head, is_all=self._is_all)
        return not is_archive and can_follow(head, sniff(first.head[:SNIFF_BYTES]))

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
        self._first = self._part = first
        self._series: PartSeries | None = None
        self._names = [first.called]
        self._size = 0
        is_first = first.name is not None and first.name.may_be_first
        self.filename = first.name.stem if first.name is not None and is_first else first.part.filename

    async def chunks(self, is_whole: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Yield its content. `is_whole`: whether what was yielded until an empty chunk is a complete archive.

        Raises MissingContent if a part is missing, MalformedArchive."""
        await self._begin()
        while True:
            async for chunk in self._content():
                yield chunk
            yield b""  # whatever is wrong with it is raised here, before another part is taken
            following = await self._following()
            if following is None:
                break
            if not (
                self._is_in_series(following) or await following.can_follow(self._first.ends, is_whole=await is_whole())
            ):
                self._form.put_back(following)
                break
            self._append(following)
        if self._series is not None:
            self._series.end(self._size)

    async def skip(self) -> None:
        """Read to the end of an archive that was refused: the parts of its series belong to it."""
        following: _PeekedPart | None = self._part
        while following is not None:
            async for _ in following.read():
                pass
            following = await self._form.next()
            if following is not None and not self._is_in_series(following):
                self._form.put_back(following)
                return

    def explain(self, error: ArchiveError) -> None:
        """Add to `error` which parts were read as one archive."""
        if len(self._names) > 1:
            error.args = (f"{error.args[0]}; {name_parts(self._names)}",)

    async def _begin(self) -> None:
        name = self._first.name
        if name is None:
            return
        ends = await self._first.peek()
        if not (name.may_be_first or ends.starts_an_archive):
            raise missing_part(name.previous, name)
        self._series = start_series(name, ends)

    async def _content(self) -> AsyncIterator[bytes]:
        """Of the part under way; a description of the others is no content."""
        is_content = self._part is not self._first or self._series is None or not self._series.described
        async for chunk in self._part.read():
            if is_content:
                self._size += len(chunk)
                yield chunk

    async def _following(self) -> _PeekedPart | None:
        """Return the part after this one, if it may belong to the same archive."""
        part = await self._form.next()
        if part is not None and part.is_archive and not await self._is_new(part):
            return part
        self._form.put_back(part)
        return None

    async def _is_new(self, part: _PeekedPart) -> bool:
        if self._series is None or self._series.described or not self._is_in_series(part):
            return False
        return starts_new_archive(self._first.ends, self._part.ends, await part.peek())

    def _is_in_series(self, part: _PeekedPart) -> bool:
        return self._series is not None and part.name is not None and part.name.continues(self._series.last)

    def _append(self, part: _PeekedPart) -> None:
        if self._series is not None and part.name is not None and self._is_in_series(part):
            self._series = self._series.append(part.name)
        else:
            check_order(self._part.called, part.called)
        self._names.append(part.called)
        self._part = part


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
