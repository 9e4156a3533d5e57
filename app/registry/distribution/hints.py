"""Advice for known kinds of rejections: the last sentence of an error message. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from app.errors import ArchiveError
from app.net.exchange_errors import PROXY_LOGIN
from app.net.urls import HUB_API
from app.oci import Descriptor, parse_manifest
from app.oci.media_types import NON_DISTRIBUTABLE

CREDENTIALS = (
    "Check the user name and password configured for this registry, and that the account may use this repository"
)
NO_RIGHT = (
    "The registry accepts the credentials, but not for {}: check the account's rights there, and that the project and "
    "the repository exist"
)
EXPIRED = "Renew the password configured for this registry"
CHANGED_TYPE = "The tag has a manifest of another media type; delete it at the registry, or pass another tag"
RIGHTS = "The configured account may not do this; check its rights, quota and project"
CSRF = (
    "The request was mistaken for one of a browser. Tarmac sends no cookies; find out what adds a session cookie: a "
    "proxy in front of the registry, or a login page"
)
READ_ONLY = (
    "The registry currently accepts no pushes: it is read-only, as during maintenance, or a proxy cache. Retry later"
)
LOCKED = "The image or the repository may be locked, or the registry may be full"
HUB_NAME = "Docker Hub requires names of two parts, NAMESPACE/REPOSITORY; name the image with `tag` or `rename`"
SPEAKS_HTTPS = "The server uses https; write https:// in the registry's address"
MISSING_REPOSITORY = "The repository or project may be missing; create it at the registry first"
URLS = (
    "The manifest has layers with `urls`, or layers that must not be distributed. Distribution accepts them only if "
    "its setting validation.manifests.urls allows the URLs"
)
SCHEMA_1 = "Few registries still accept manifests of schema 1; pull the image with a current tool and save it again"

BY_STATUS: Mapping[int, str] = MappingProxyType(
    {
        407: PROXY_LOGIN,
        413: "The registry, or a proxy in front of it, limits the size of a request",
        421: "The server does not serve this host name; check the registry's address and the proxy in front of it",
        426: "The server requires another protocol; if the registry's address begins with http://, write https://",
        451: "The registry may not store this content for legal reasons; ask its operator",
        507: "The registry has no space left; free some there",
        511: "The network requires a login before it forwards requests; log this machine in",
    }
)
_CSRF_WORDS = re.compile(r"csrf|xsrf|cross.?site.request", re.IGNORECASE)
_OWN_CODE = re.compile(r"(?!UNSUPPORTED\b)[A-Z][A-Z_ ]+: ")
_LOCKED_WORDS = re.compile(r"\bdisallowed\b", re.IGNORECASE)  # ACR sends one response for both locked and full
_NAME = re.compile(r"/v2/(.+)/(?:blobs|manifests|tags|referrers)/")
_HTTPS_WORDS = re.compile(r"\bhttp request (?:was sent )?to (?:an )?https (?:server|port)", re.IGNORECASE)
_READ_ONLY_WORDS = re.compile(r"read.?only mode|\bis (?:\w+ ){0,3}read.?only|\bmaintenance\b", re.IGNORECASE)


def wants_https(status: int, text: str) -> bool:
    """Return whether the message is the one of Go's server and nginx to plain http at an https port."""
    return status == 400 and _HTTPS_WORDS.search(text) is not None


def speaks_of_csrf(status: int, text: str) -> bool:
    return status in {400, 401, 403, 419} and _CSRF_WORDS.search(text) is not None


def is_read_only(status: int, request: tuple[str, str], text: str) -> bool:
    """Return whether a registry currently rejects all pushes.

    `request`: method and target, with the query of a mount.
    """
    method, target = request
    opens = method == "POST" and "/blobs/uploads/" in target and "mount=" not in target
    tags = method == "PUT" and "/manifests/" in target
    writes = method in {"POST", "PUT", "PATCH"}
    if status == 405:  # with a code other than the method's, it does not concern how a blob is sent
        return opens or tags or (writes and _OWN_CODE.match(text) is not None)
    return status in {400, 403} and writes and _READ_ONLY_WORDS.search(text) is not None


def hint_for_now(text: str) -> str:
    """Return why a registry that `is_read_only` may reject pushes."""
    return LOCKED if _LOCKED_WORDS.search(text) else READ_ONLY


def hint_of_name(host: str, path: str) -> str:
    """Return what is wrong with the name of a repository to which the account has no right, or ""."""
    name = _NAME.match(path)
    return HUB_NAME if name and host == HUB_API and name[1].count("/") != 1 else ""


def hint_of_manifest(descriptor: Descriptor, raw: bytes) -> str:
    """Return why a registry may reject this manifest, or ""."""
    if ".manifest.v1+" in descriptor.media_type and "docker" in descriptor.media_type:
        return SCHEMA_1
    try:
        blobs = tuple(parse_manifest(raw, descriptor).blobs)
    except ArchiveError:
        return ""
    return URLS if any(blob.urls or blob.media_type in NON_DISTRIBUTABLE for blob in blobs) else ""
