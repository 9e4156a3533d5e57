"""The metadata of a Helm chart: Chart.yaml as Helm reads it into chart.Metadata, and the output of `helm push`.

Members are read as sigs.k8s.io/yaml does for the types of the fields (helm, pkg/chart/v2/metadata.go, dependency.go).
The config blob is json.Marshal of the struct; the annotations are those of pkg/registry/chart.go. Pure.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.archive.helm.go_values import resolve_scalar, text_of, to_json
from app.archive.yaml import Node, Plain

CHART_YAML = "Chart.yaml"
REQUIREMENTS_YAML = "requirements.yaml"  # of charts with apiVersion v1; read into the same struct
_PREFIX = "org.opencontainers.image."
_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(0x2000 + n) for n in range(11)}
_UNPRINTABLE = frozenset(
    {"Cc", "Cf", "Co", "Cs"}
)  # categories; unassigned characters may be newer than Python's tables


class UnfitNode(Exception):
    """A node of another kind than its field; Helm does not load such a chart."""


@dataclass(frozen=True, slots=True)
class ChartMetadata:
    """`members` are the members of the struct that are not empty, in its order."""

    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.members.get("name", ""))

    @property
    def version(self) -> str:
        return str(self.members.get("version", ""))

    @property
    def config(self) -> bytes:
        return to_json(self.members)

    def annotations(self, created: str) -> dict[str, str]:
        """Return the manifest annotations of `helm push`, sorted. `created`: RFC 3339, empty if it is not known."""
        members = self.members
        own = {
            "description": members.get("description", ""),
            "title": self.name,
            "version": self.version,
            "url": members.get("home", ""),
            "created": created,
            "source": next(iter(members.get("sources", ())), ""),
            "authors": ", ".join(_author(maintainer) for maintainer in members.get("maintainers", ())),
        }
        found = {_PREFIX + key: text for key, text in own.items() if text.strip()}
        fixed = {_PREFIX + "title", _PREFIX + "version"}
        found |= {key: text for key, text in members.get("annotations", {}).items() if key not in fixed}
        return dict(sorted(found.items()))


def _author(maintainer: Mapping[str, str]) -> str:
    email = maintainer.get("email")
    return maintainer.get("name", "") + (f" ({email})" if email else "")


def read_metadata(*documents: Mapping[str, Node]) -> tuple[ChartMetadata, tuple[str, ...]]:
    """Return the merged metadata of `documents`, and the members that are omitted because Helm cannot read them.

    Later documents override earlier ones."""
    reader = _StructReader(_METADATA)
    for document in documents:
        reader.add(document)
    return ChartMetadata(reader.members()), tuple(reader.unfit)


Reader = Callable[[Node], Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """`read` raises UnfitNode. `empty` is written for an empty value; if it is None, the member is omitted."""

    read: Reader
    empty: str | None = None


class _StructReader:
    """Collects the members of a struct.

    encoding/json matches a key with a field by name, ignoring case. It reads keys in sorted order, and the last one
    wins."""

    def __init__(self, fields: Mapping[str, _Field]) -> None:
        self.unfit: dict[str, None] = {}
        self._fields = fields
        self._names = {name.casefold(): name for name in fields}
        self._values: dict[str, Any] = {}

    def add(self, node: Mapping[str, Node]) -> None:
        for key in sorted(node):
            name = self._names.get(key.casefold())
            if name is None or node[key] is None:
                continue
            try:
                self._values[name] = self._fields[name].read(node[key])
            except UnfitNode:
                self.unfit[name] = None

    def members(self) -> dict[str, Any]:
        found = {name: self._values.get(name) or known.empty for name, known in self._fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _read_text(node: Node) -> str:
    if isinstance(node, Plain):
        return text_of(resolve_scalar(node))
    if isinstance(node, str | None):
        return node or ""
    raise UnfitNode


def _read_line(node: Node) -> str:
    """Return a text as Helm's sanitizeString does: each kind of space becomes a space, unprintable characters are
    removed."""
    spaced = (" " if character in _SPACES else character for character in _read_text(node))
    return "".join(character for character in spaced if unicodedata.category(character) not in _UNPRINTABLE)


def _read_flag(node: Node) -> bool:
    value = resolve_scalar(node) if isinstance(node, Plain) else node
    if isinstance(value, bool):
        return value
    raise UnfitNode


def _read_any(node: Node) -> Any:
    """Return the value that Go reads into an interface{}."""
    if isinstance(node, dict):
        return {key: _read_any(node[key]) for key in sorted(node)}
    if isinstance(node, list):
        return [_read_any(item) for item in node]
    value = resolve_scalar(node) if isinstance(node, Plain) else node
    if isinstance(value, float) and not math.isfinite(value):
        raise UnfitNode
    return value


def _read_texts(node: Node) -> dict[str, str]:
    if not isinstance(node, dict):
        raise UnfitNode
    texts = {_read_text(key): _read_text(value) for key, value in node.items()}
    return dict(sorted(texts.items()))


def _list_of(read: Reader) -> Reader:
    def read_list(node: Node) -> Sequence[Any]:
        if not isinstance(node, list):
            raise UnfitNode
        return [read(item) for item in node]

    return read_list


def _struct_of(fields: Mapping[str, _Field]) -> Reader:
    def read_struct(node: Node) -> dict[str, Any]:
        if not isinstance(node, dict):
            raise UnfitNode
        reader = _StructReader(fields)
        reader.add(node)
        if reader.unfit:
            raise UnfitNode
        return reader.members()

    return read_struct


_LINE, _TEXT, _LINES = _Field(_read_line), _Field(_read_text), _Field(_list_of(_read_line))
_MAINTAINER = {"name": _LINE, "email": _LINE, "url": _LINE}
_DEPENDENCY = {
    "name": _Field(_read_line, empty=""),
    "version": _LINE,
    "repository": _Field(_read_line, empty=""),
    "condition": _LINE,
    "tags": _LINES,
    "enabled": _Field(_read_flag),
    "import-values": _Field(_list_of(_read_any)),
    "alias": _TEXT,
}
_METADATA = {
    "name": _LINE,
    "home": _LINE,
    "sources": _LINES,
    "version": _TEXT,
    "description": _LINE,
    "keywords": _LINES,
    "maintainers": _Field(_list_of(_struct_of(_MAINTAINER))),
    "icon": _LINE,
    "apiVersion": _Field(_read_text, empty="v1"),
    "condition": _LINE,
    "tags": _LINE,
    "appVersion": _LINE,
    "deprecated": _Field(_read_flag),
    "annotations": _Field(_read_texts),
    "kubeVersion": _LINE,
    "dependencies": _Field(_list_of(_struct_of(_DEPENDENCY))),
    "type": _TEXT,
}
