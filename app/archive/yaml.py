"""The only YAML reader for untrusted bytes. It uses the events of libyaml's parser (PyYAML), the origin of go-yaml.

Aliases, tags, merge keys, several documents and deep nesting are rejected: they make small files large, or readers
differ on them. A scalar without quotes is a `Plain`, the text as written (`1.10` is not a number). Only null, `~` and
an empty scalar are None. Measured: 0.9 µs per node; `yaml.CSafeLoader` takes four times as long.
"""

from __future__ import annotations

from typing import TypeAlias

from yaml import AliasEvent, Event, MappingStartEvent, MarkedYAMLError, ScalarEvent, SequenceStartEvent, YAMLError
from yaml._yaml import CParser
from yaml.events import DocumentStartEvent, MappingEndEvent, SequenceEndEvent, StreamEndEvent
from yaml.reader import ReaderError

from app.errors import LimitExceeded, MalformedArchive

MAX_BYTES = 1 << 20  # the list of 20,000 images has about as many
MAX_NODES = 120_000  # 20,000 images in as many repositories, and the nodes between them
MAX_DEPTH = 16  # charts.yaml has five levels. libyaml's time grows with the square of the depth of `[[[…`
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "<<"

Node: TypeAlias = "dict[str, Node] | list[Node] | str | None"


class Plain(str):
    """A scalar without quotes: text that its reader may interpret as a number or a boolean."""

    __slots__ = ()


def read_yaml(raw: bytes, *, what: str, limit: int = MAX_BYTES) -> Node:
    """Parse the single document `raw` of at most `limit` bytes. `what` names it in messages.

    Raises LimitExceeded, MalformedArchive."""
    reader = _Reader(raw, what, limit)
    node = reader.document()
    if reader.problems:
        raise MalformedArchive(reader.problems[0])
    return node


def read_members(raw: bytes, *, what: str, limit: int = MAX_BYTES) -> tuple[dict[str, Node], tuple[str, ...]]:
    """Return the members of the mapping `raw` that can be read, and the problems of the others.

    As in Go, the last of several equal keys wins, and only the first document is read. Raises LimitExceeded if `raw` is
    too large, and MalformedArchive if it is not a mapping."""
    reader = _Reader(raw, what, limit, is_lenient=True)
    return reader.members(), tuple(reader.problems)


class _Reader:
    """Collects problems that do not end the parsing in `problems`."""

    def __init__(self, raw: bytes, what: str, limit: int, *, is_lenient: bool = False) -> None:
        if len(raw) > limit:
            raise LimitExceeded(f"{what} has {len(raw)} bytes; at most {limit} are read")
        self.problems: list[str] = []
        self._what = what
        self._is_lenient = is_lenient
        self._parser = CParser(raw)
        self._nodes = 0

    def document(self) -> Node:
        if not self._start():
            return None
        node = self._node(self._next(), 1)
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, StreamEndEvent):
            self._add_problem(after, "starts another document")
        return node

    def members(self) -> dict[str, Node]:
        members: dict[str, Node] = {}
        start = self._next() if self._start() else None
        if not isinstance(start, MappingStartEvent):
            raise MalformedArchive(f"{self._what} is not a mapping")
        try:
            while not isinstance(event := self._next(), MappingEndEvent):
                known = len(self.problems)
                key, value = self._key(event, 2), self._node(self._next(), 2)
                if key is not None and len(self.problems) == known:
                    members[key] = value
        except (LimitExceeded, MalformedArchive) as refusal:  # what was read so far counts
            self.problems.append(str(refusal))
        return members

    def _start(self) -> bool:
        """Return whether there is a document."""
        self._next()  # the start of the stream
        return isinstance(self._next(), DocumentStartEvent)

    def _next(self) -> Event:
        try:
            event = self._parser.get_event()
        except ReaderError as error:
            raise MalformedArchive(f"{self._what} is not a text at byte {error.position}: {error.reason}") from None
        except MarkedYAMLError as error:
            line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1} of "
            raise MalformedArchive(f"{line}{self._what} is not valid YAML: {error.problem}") from None
        except YAMLError:
            raise MalformedArchive(f"{self._what} is not valid YAML") from None
        assert event is not None  # except after the end of the stream
        return event

    def _node(self, event: Event, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise LimitExceeded(f"{self._what} has more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"{self._where(event)} is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, AliasEvent):
            self._add_problem(event, "has an alias, which is not supported; write out its value")
            return None
        if getattr(event, "tag", None) is not None:
            self._add_problem(event, "has a tag, which is not supported; remove it")
        if isinstance(event, MappingStartEvent):
            return self._mapping(depth)
        if isinstance(event, SequenceStartEvent):
            return self._list(depth)
        assert isinstance(event, ScalarEvent)
        if event.style:
            return str(event.value)
        return None if event.value in _NULLS else Plain(event.value)

    def _list(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key, value = self._key(event, depth + 1), self._node(self._next(), depth + 1)
            if key is None:
                continue
            if key in members and not self._is_lenient:
                self._add_problem(event, "has a duplicate key")
            members[key] = value
        return members

    def _key(self, event: Event, depth: int) -> str | None:
        key = self._node(event, depth)
        if isinstance(key, str) and not (isinstance(key, Plain) and key == _MERGE):
            return key
        self._add_problem(event, "has a key that is not supported: not a text, or a merge key")
        return None

    def _add_problem(self, event: Event, why: str) -> None:
        """Record a problem without the value, which may be a password in the files such documents are made from."""
        if not self.problems or self._is_lenient:
            self.problems.append(f"{self._where(event)} {why}")

    def _where(self, event: Event) -> str:
        line = 0 if event.start_mark is None else event.start_mark.line
        return f"line {line + 1} of {self._what}"
