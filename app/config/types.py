"""Value types of settings: sizes and ages with units, lists, files, addresses."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from app.errors import InvalidReference, InvalidRequest, RegistryRejected
from app.net.egress import parse_allowed_origin
from app.net.urls import Origin
from app.oci import parse_repository

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{suffix}": factor ** (power + 1)
    for power, letter in enumerate("kmgt")
    for suffix, factor in (("b", 1000), ("ib", 1024))
}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
MAX_PORT = 65535
ANY_ORIGIN = "*"
UNIX_PEER = "unix"  # among trusted networks: every process that may open TARMAC_SOCKET
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_OF_CONTAINER_TOOLS = re.compile(r"/(?:v2|_ping|version|images|v1\.[0-9]+)(?:/|$)")
_PAGE_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
)
_AMOUNT = re.compile(r"([0-9]{1,18})\s*([A-Za-z]*)")


def _amount(value: object, units: Mapping[str, int], example: str) -> object:
    if not isinstance(value, str):
        return value
    match = _AMOUNT.fullmatch(value.strip())
    if match is None or (factor := units.get(match[2].lower())) is None:
        raise ValueError(f"must be a number with an optional unit, for example {example}")
    return int(match[1]) * factor


def is_open_to_others(directory: Path) -> bool:
    """Return whether users other than the owner may replace files in `directory`.

    A sticky bit does not help, because the service trusts the existing files there."""
    return bool(directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def parse_bytes(value: object) -> object:
    return _amount(value, _UNITS, "10737418240 or 10GiB")


def parse_age(value: object) -> object:
    seconds = _amount(value, _SECONDS, "30d, 12h or 90s")
    return timedelta(seconds=seconds) if isinstance(seconds, int) else seconds


def _parse_roots(value: object) -> object:
    return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value


def _check_root(path: Path) -> Path:
    if not path.is_absolute() or not path.is_dir():
        raise ValueError(f"{str(path)!r} must be the absolute path of an existing directory")
    return path.resolve()


def _check_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"file not found: {str(path)!r}")
    return path


def _check_repository(text: str) -> str:
    try:
        return parse_repository(text) if text else ""
    except InvalidReference as error:
        raise ValueError(str(error)) from None


def _check_url(url: str) -> str:
    """Check `host[:port][/path]`, with or without a scheme. Errors do not quote it: it may contain a password."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is not a URL; write host[:port][/path], http://… or https://…") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain credentials; set username and password instead")
    plain = re.fullmatch(r"[!-~]+", url) is not None and not (parts.query or parts.fragment)
    if parts.scheme not in ("", "http", "https") or not parts.hostname or not port_is_valid or not plain:
        raise ValueError("must be of the form host[:port][/path], http://… or https://…")
    return url


def _check_webhook(url: str) -> str:
    """Check an absolute URL, with any path and query. Errors do not quote it: it may contain a secret."""
    try:
        Origin.of(url, "the webhook's address")
    except RegistryRejected:
        raise ValueError("must be http://… or https://…, without a user name or password") from None
    return url


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _parse_list(value: object) -> object:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


def _check_host_name(text: str) -> str:
    name = text.lower().rstrip(".")
    if name != "*" and not re.fullmatch(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", name):
        raise ValueError("must be host names without a port, separated by commas, or * for any")
    return name


def _check_origin(text: str) -> str:
    try:
        return str(parse_allowed_origin(text))
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def is_base_path(text: str) -> bool:
    return _BASE_PATH.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def _check_base_path(text: str) -> str:
    if not is_base_path(text):
        raise ValueError(
            "must be a path such as /tarmac, without a slash at its end: letters, digits, `.`, `_`, `~` and `-`"
        )
    if _OF_CONTAINER_TOOLS.match(text):
        raise ValueError("must not begin with a path of container tools: /v2, /images, /version, /v1.43")
    return text


def _check_network(text: str) -> str:
    try:
        return text if text == UNIX_PEER else str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            f"must be networks such as 10.0.0.0/8, addresses, or `{UNIX_PEER}`, separated by commas"
        ) from None


def _check_page_origin(text: str) -> str:
    """Normalize an origin as browsers do: lower case, without the default port of the scheme."""
    match = _PAGE_ORIGIN.fullmatch(text.lower())
    if text == ANY_ORIGIN:
        return text
    if match is None or int(match["port"] or 0) > MAX_PORT:
        raise ValueError("must be origins such as https://host or https://host:port, separated by commas, or * for any")
    is_default = match["port"] is not None and int(match["port"]) == _DEFAULT_PORTS.get(match["scheme"])
    return text.lower().removesuffix(f":{match['port']}") if is_default else text.lower()


class LogLevel(StrEnum):
    """The least severe lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class AccessLog(StrEnum):
    """The responses that are logged; `ERRORS` are those with a status of 400 or above."""

    ALL = "all"
    ERRORS = "errors"
    NONE = "none"


class LogFormat(StrEnum):
    """JSON lines, or text for a person."""

    JSON = "json"
    TEXT = "text"


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Repository = Annotated[str, AfterValidator(_check_repository)]
Age = Annotated[timedelta, BeforeValidator(parse_age)]
ExistingFile = Annotated[Path, AfterValidator(_check_file)]
ExistingDirectory = Annotated[Path, AfterValidator(_check_root)]
Roots = Annotated[tuple[ExistingDirectory, ...], BeforeValidator(_parse_roots)]
Url = Annotated[str, AfterValidator(_check_url)]
WebhookUrl = Annotated[str, AfterValidator(_check_webhook)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_parse_list)]
BasePath = Annotated[str, AfterValidator(_check_base_path)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_check_network)], ...], BeforeValidator(_parse_list)]
PageOrigins = Annotated[tuple[Annotated[str, AfterValidator(_check_page_origin)], ...], BeforeValidator(_parse_list)]
LogLevelName = Annotated[LogLevel, BeforeValidator(_lower)]
LogFormatName = Annotated[LogFormat, BeforeValidator(_lower)]
AccessLogName = Annotated[AccessLog, BeforeValidator(_lower)]
Words = Annotated[tuple[str, ...], BeforeValidator(_parse_list)]
HostNames = Annotated[tuple[Annotated[str, AfterValidator(_check_host_name)], ...], BeforeValidator(_parse_list)]

__all__ = [
    "ANY_ORIGIN",
    "UNIX_PEER",
    "AccessLog",
    "AccessLogName",
    "Age",
    "BasePath",
    "Bytes",
    "ExistingDirectory",
    "ExistingFile",
    "HostNames",
    "LogFormat",
    "LogFormatName",
    "LogLevel",
    "LogLevelName",
    "Networks",
    "Origins",
    "PageOrigins",
    "Repository",
    "Roots",
    "Url",
    "WebhookUrl",
    "Words",
    "is_base_path",
    "parse_bytes",
]
