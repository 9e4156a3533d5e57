"""The only YAML reader for bytes from outside: the small part of YAML that programs write as configuration.

Read are block mappings, block lists, empty `[]` and `{}`, scalars on one line (plain, 'single', "double"), comments
and one `---` at the start. Anchors, aliases, tags, merge keys, several documents, tabs, block scalars and filled flow
collections are refused: with them small files grow large, and two readers differ in what they see. A plain scalar is
text as it stands (`1.10` is no number); only null, `~` and nothing at all are None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from app.errors import LimitExceeded, MalformedArchive

MAX_BYTES = 1 << 20  # the list of 20,000 images has about as many
MAX_LINES = 60_000  # 20,000 images in as many repositories, and what stands between them
MAX_DEPTH = 16  # charts.yaml has five levels
_SHOWN = 80  # characters of a line in a message

Node: TypeAlias = "dict[str, Node] | list[Node] | str | None"

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE = "<<"
# possessive, so that a quote without an end is not tried again from every place
_SINGLE = re.compile(r"'((?:[^']|'')*+)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\["\\/])*+)"')
_ESCAPE = re.compile(r"\\(.)")
_EMPTY_FLOW = re.compile(r"\[ *+]|\{ *+}")
_PLAIN_START = re.compile(r"[^,\[\]{}#&*!|>'\"%@`?:-]|[?:-][^ ]")
_REST = re.compile(r" ++#.*|")  # what may follow a value


def read_yaml(raw: bytes, *, what: str) -> Node:
    """Parse `raw` (UTF-8). `what` names the document in messages. Raises LimitExceeded, MalformedArchive."""
    return _Reader(what, read_lines(raw, what=what)).document()


def read_lines(raw: bytes, *, what: str) -> list[str]:
    """The lines of a small text. Raises LimitExceeded, and MalformedArchive for control characters and for what only
    some readers take for the end of a line."""
    if len(raw) > MAX_BYTES:
        raise LimitExceeded(f"{what} has {len(raw)} bytes; at most {MAX_BYTES} are read")
    if raw.count(b"\n") > MAX_LINES:
        raise LimitExceeded(f"{what} has {raw.count(10)} lines; at most {MAX_LINES} are read")
    try:
        lines = [line.removesuffix("\r") for line in raw.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise MalformedArchive(f"{what} is not UTF-8 at byte {error.start}") from None
    for number, line in enumerate(lines, 1):
        if not line.isprintable():
            raise MalformedArchive(f"line {number} of {what} holds a tab or a control character")
    return lines


@dataclass(frozen=True, slots=True)
class _Line:
    """`text` has no space at either end and is not empty."""

    number: int
    indent: int
    text: str

    @property
    def is_item(self) -> bool:
        return self.text == "-" or self.text.startswith("- ")


class _Reader:
    def __init__(self, what: str, lines: list[str]) -> None:
        self._what = what
        self._at = 0
        self._lines = [
            _Line(number, len(line) - len(line.lstrip(" ")), line.strip(" "))
            for number, line in enumerate(lines, 1)
            if not line.lstrip(" ").startswith("#") and line.strip(" ")
        ]

    def document(self) -> Node:
        if self._lines and self._lines[0].text.partition(" #")[0].rstrip(" ") == "---":
            self._at = 1
        for line in self._lines[self._at :]:
            if not line.indent and line.text.startswith(("---", "...")):
                raise self._refused(line, "starts or ends another document")
        node = self._below(-1, 0)
        self._check_end(-1)
        return node

    def _next(self) -> _Line | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _below(self, indent: int, depth: int) -> Node:
        """What the following lines hold, as far as they are indented more than `indent`."""
        line = self._next()
        return None if line is None or line.indent <= indent else self._node(line, depth + 1)

    def _node(self, line: _Line, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"line {line.number} of {self._what} lies deeper than {MAX_DEPTH} levels")
        if line.is_item:
            return self._list(line.indent, depth)
        if _split(line.text) is not None:
            return self._mapping(line.indent, depth)
        self._at += 1
        return self._value(line, line.text)

    def _list(self, indent: int, depth: int) -> list[Node]:
        items: list[Node] = []
        while (line := self._next()) is not None and line.indent == indent and line.is_item:
            rest = line.text[1:].lstrip(" ")
            if _is_empty(rest):
                self._at += 1
                items.append(self._below(indent, depth))
            else:  # as if it stood on a line of its own: it may be the first of several lines
                self._lines[self._at] = _Line(line.number, indent + len(line.text) - len(rest), rest)
                items.append(self._node(self._lines[self._at], depth + 1))
        self._check_end(indent)
        return items

    def _mapping(self, indent: int, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        while (line := self._next()) is not None and line.indent == indent and not line.is_item:
            key, rest = self._entry(line)
            if key in members:
                raise self._refused(line, "has a key that stands there already")
            self._at += 1
            members[key] = self._below_key(indent, depth) if _is_empty(rest) else self._value(line, rest)
        self._check_end(indent)
        return members

    def _below_key(self, indent: int, depth: int) -> Node:
        """A list may stand right below its key."""
        line = self._next()
        is_list = line is not None and line.indent == indent and line.is_item
        return self._below(indent - is_list, depth)

    def _check_end(self, indent: int) -> None:
        line = self._next()
        if line is not None and line.indent > indent:
            raise self._refused(line, "is not indented as what it belongs to")

    def _entry(self, line: _Line) -> tuple[str, str]:
        split = _split(line.text)
        if split is None:
            raise self._refused(line, "is no `key: value`")
        key = self._value(line, split[0])
        if not isinstance(key, str) or split[0] == _MERGE:
            raise self._refused(line, "has a key that is not read")
        return key, split[1]

    def _value(self, line: _Line, text: str) -> Node:
        if found := _EMPTY_FLOW.match(text):
            self._check_rest(line, text[found.end() :])
            return [] if text[0] == "[" else {}
        if text[0] in "'\"":
            return self._quoted(line, text)
        plain = text.partition(" #")[0].rstrip(" ")
        if not _PLAIN_START.match(text) or ": " in plain or plain.endswith(":"):
            raise self._refused(line, "is not of the plain YAML that is read")
        return None if plain in _NULLS else plain

    def _quoted(self, line: _Line, text: str) -> str:
        found = (_SINGLE if text[0] == "'" else _DOUBLE).match(text)
        if found is None:
            raise self._refused(line, "has a quote without an end, or an escape that is not read")
        self._check_rest(line, text[found.end() :])
        return found[1].replace("''", "'") if text[0] == "'" else _ESCAPE.sub(r"\1", found[1])

    def _check_rest(self, line: _Line, rest: str) -> None:
        if not _REST.fullmatch(rest):
            raise self._refused(line, "goes on after its value")

    def _refused(self, line: _Line, why: str) -> MalformedArchive:
        """Without the value: it may be a password, as in what such files are made from."""
        shown = line.text.partition(": ")[0][:_SHOWN]
        return MalformedArchive(f"line {line.number} of {self._what} {why}", content=f"{shown!r}")


def _is_empty(rest: str) -> bool:
    return not rest or rest.startswith("#")


def _split(text: str) -> tuple[str, str] | None:
    """Key, as it stands, and what follows the colon; None where `text` is no entry of a mapping."""
    if text[0] in "'\"":
        found = (_SINGLE if text[0] == "'" else _DOUBLE).match(text)
        end = 0 if found is None else found.end()
        after = text[end:].lstrip(" ")
        is_entry = bool(end) and (after == ":" or after.startswith(": "))
        return (text[:end], after[1:].lstrip(" ")) if is_entry else None
    head = text.partition(" #")[0].rstrip(" ")
    place = f"{head} ".find(": ")
    return None if place < 1 else (head[:place].rstrip(" "), text[place + 1 :].lstrip(" "))
