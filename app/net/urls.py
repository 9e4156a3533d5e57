"""Values from HTTP headers and settings: registry URLs, Location, Range, Retry-After. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urljoin, urlsplit

from app.errors import Failure, InvalidReference, InvalidRequest, RegistryRejected
from app.oci import DOCKER_HUB, Digest, parse_repository

CUT = "…"  # marks a shortened text
MAX_SHOWN_CHARACTERS = 2 << 10  # characters shown of a registry's message
MAX_URL = 16 << 10  # signed storage URLs have 2-8 KiB
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
HUB_API = "registry-1.docker.io"  # docker.io itself serves a web page
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", HUB_API})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")
_VISIBLE = re.compile(r"[!-~]+")


def printable(text: str, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return at most `limit` characters, and escape as \\x… what could control a terminal, a log or a page."""
    cut = text if len(text) <= limit else text[:limit] + CUT
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in cut
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, to which credentials are bound. An IPv6 host has no brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str, what: str) -> Origin:
        """Return the origin of an untrusted absolute URL; `what` is its label. Raises RegistryRejected."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host, port, parts = "", None, None, urlsplit("")
        if scheme not in _DEFAULT_PORTS or not host or len(url) > MAX_URL or not _VISIBLE.fullmatch(url):
            raise _not_a_url(what, url)
        if parts.username is not None or parts.password is not None:
            raise RegistryRejected(f"{what} at {host} contains a user name or password; it is not followed")
        return cls(scheme, host.lower(), _DEFAULT_PORTS[scheme] if port is None else port)

    @property
    def authority(self) -> str:
        """Return host[:port], without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class RegistryUrl:
    """A registry as configured.

    `scheme` is None if the setting has none. `path` is a prefix of every repository, without slashes at its ends.
    """

    host: str
    port: int | None = None
    path: str = ""
    scheme: str | None = None

    @property
    def name(self) -> str:
        """Return host[:port], as in image references."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def is_docker_hub(self) -> bool:
        return self.host in _HUB_NAMES

    def origins(self) -> tuple[Origin, ...]:
        """Return the origins to try, best first. Plain http is tried only for a loopback host without a scheme."""
        if self.scheme is not None:
            schemes: tuple[str, ...] = (self.scheme,)
        else:
            schemes = ("https", "http") if self.is_loopback else ("https",)
        host = HUB_API if self.is_docker_hub else self.host
        return tuple(
            Origin(scheme, host, _DEFAULT_PORTS[scheme] if self.port is None else self.port) for scheme in schemes
        )

    def __str__(self) -> str:
        return (f"{self.scheme}://" if self.scheme else "") + "/".join(filter(None, (self.name, self.path)))


def parse_registry_url(text: str, setting: str) -> RegistryUrl:
    """Parse `host[:port][/path]`, `http://…` or `https://…`.

    Raises InvalidRequest with the name of `setting`, without secrets.
    """
    written = text.strip()
    scheme = written.partition("://")[0].lower() if "://" in written else None
    if not _VISIBLE.fullmatch(written):  # urlsplit would silently drop line ends and tabs
        raise InvalidRequest(f"{setting} is empty or contains spaces or control characters; use host[:port][/path]")
    if scheme not in {None, "http", "https"}:
        raise InvalidRequest(f"{setting} has the scheme {scheme!r:.40}; use host[:port][/path], http://… or https://…")
    try:
        parts = urlsplit(written if scheme else f"//{written}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidRequest(f"{setting} is not of the form host[:port][/path]; check host and port") from None
    if "@" in parts.netloc:
        raise InvalidRequest(f"{setting} contains a user name or password; use the settings for credentials")
    if parts.query or parts.fragment:
        raise InvalidRequest(f"{setting} contains a query or fragment; use host[:port][/path]")
    if not _HOST.fullmatch(parts.netloc.rpartition(":")[0] if port is not None else parts.netloc):
        raise InvalidRequest(f"{setting} has no valid host; use host[:port][/path], as registry.local:5000/team")
    return RegistryUrl(host.lower(), port, _parse_path(parts.path, setting), scheme)


def _parse_path(path: str, setting: str) -> str:
    trimmed = path.strip("/")
    try:
        return parse_repository(trimmed) if trimmed else ""
    except InvalidReference:
        raise InvalidRequest(
            f"{setting} has the path {trimmed!r:.200}, which cannot start a repository name; use lower case letters, "
            "digits and separators, in parts divided by single slashes"
        ) from None


def _not_a_url(what: str, text: str) -> RegistryRejected:
    return RegistryRejected(
        f"{what} '{printable(text, 200)}' is not an http or https URL; check the registry's configuration, and the "
        "proxy in front of it",
        failure=Failure.REFUSED_NOW,
    )


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def join_url(base: str, reference: str, what: str) -> str:
    """Return the absolute URL; `what` is a label for the error. Raises RegistryRejected."""
    try:
        return urljoin(base, reference)
    except ValueError:
        raise _not_a_url(what, reference) from None


def resolve_location(base: str, location: str, registry: Origin) -> str:
    """Return the absolute URL of a Location header, which may be relative (distribution-spec), with its query.

    If a proxy terminates TLS and the registry does not know it, the registry writes http:// with its own name. The
    response arrived over https, so https is kept. Raises RegistryRejected.
    """
    if not _VISIBLE.fullmatch(location):
        raise _not_a_url("the Location", location)
    url = join_url(base, location, "the Location")
    origin = Origin.of(url, "the Location")
    if registry.scheme == "https" and origin.scheme == "http" and origin.host == registry.host:
        url = str(registry) + url[len("http://") :].removeprefix(urlsplit(url).netloc)
    return url


def with_digest(location: str, digest: Digest) -> str:
    """Return the URL that commits an upload session; the session's own query is unchanged, byte for byte."""
    return f"{location}{'&' if '?' in location else '?'}digest={quote(str(digest), safe='')}"


def parse_range_header(value: str | None) -> int | None:
    """Return how many bytes a session has by its Range header (`0-1299`: 1300), None if that is not readable. `0-0`
    counts as 0, because registries also send it for an empty session.
    """
    match = _RANGE.fullmatch(value.strip()) if value else None
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last else 0


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, from a number or an HTTP date, or None if the value is missing or unreadable."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
