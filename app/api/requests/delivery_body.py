"""The body of `POST /deliveries`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import InvalidRequest
from app.jobs import JobRequest
from app.jobs.bounds import MAX_PATH, shorten
from app.jobs.deliveries import DeliveryFile
from app.push import PushOptions

EXAMPLE = '{"name": "disk 7", "files": [{"path": "a.tar"}, {"path": "manual.pdf", "left_out": "no archive"}]}'
MAX_REASON = 200  # characters
MAX_SIZE = (1 << 63) - 1
_MEMBERS = ("name", "labels", "files")
_OF_FILE = ("path", "size", "left_out")


def parse_delivery(members: Mapping[str, Any]) -> tuple[str | None, Mapping[str, str], tuple[DeliveryFile, ...]]:
    """Return name, labels and files. Raises InvalidRequest."""
    _check_members(members, _MEMBERS, "")
    name, labels, files = members.get("name"), _given(members, "labels", {}), _given(members, "files", [])
    if not (name is None or isinstance(name, str)):
        raise InvalidRequest("`name` must be a text")
    if not (isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())):
        raise InvalidRequest("`labels` must be an object with texts")
    if not isinstance(files, list):
        raise InvalidRequest(f"`files` must be a list of objects, as {EXAMPLE}")
    checked = JobRequest(PushOptions(), labels=labels).labels
    return name, checked, tuple(_files(files))


def _given(members: Mapping[str, Any], name: str, default: Any) -> Any:
    value = members.get(name)
    return default if value is None else value


def _files(files: list[Any]) -> Iterator[DeliveryFile]:
    for number, file in enumerate(files):
        place = f"files[{number}]."
        if not isinstance(file, dict):
            raise InvalidRequest(f"`files[{number}]` must be an object, as {EXAMPLE}")
        _check_members(file, _OF_FILE, place)
        path, size, reason = file.get("path"), file.get("size"), file.get("left_out")
        if not (isinstance(path, str) and path):
            raise InvalidRequest(f"`{place}path` must be a text")
        if not (size is None or (type(size) is int and 0 <= size <= MAX_SIZE)):
            raise InvalidRequest(f"`{place}size` must be a number of bytes")
        if not (reason is None or isinstance(reason, str)):
            raise InvalidRequest(f"`{place}left_out` must be a text: why the file is not sent")
        yield DeliveryFile(shorten(path, MAX_PATH), size, reason and shorten(reason, MAX_REASON))


def _check_members(members: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    unknown = sorted(set(members) - set(known))
    if unknown:
        raise InvalidRequest(f"unknown member `{place}{unknown[0]:.100}`; known are {', '.join(known)}")


__all__ = ["EXAMPLE", "parse_delivery"]
