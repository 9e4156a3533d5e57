"""Reference: the name of an image (distribution-spec, "Pulling manifests"; Docker's normalization of short names)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from app.errors import InvalidReference, MalformedArchive
from app.oci.digest import Digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_BARE_DIGEST = re.compile(r"(?:sha256:)?[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
)
MAX_REFERENCE = 1024  # the maximum lengths of host, repository, tag and digest together, rounded up
MAX_REPOSITORY = 255  # distribution-spec: many clients limit host and name together to 255 characters
DOCKER_HUB = "docker.io"
_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


def parse_repository(text: str) -> str:
    """Return `text` if it is a repository path such as `library/nginx`. Raises InvalidReference with a hint."""
    if len(text) > MAX_REPOSITORY:
        raise InvalidReference(
            f"repository {text[:80]!r}… has {len(text)} characters; at most {MAX_REPOSITORY} are allowed"
        )
    if _REPOSITORY.fullmatch(text):
        return text
    hint = "; use lower case" if _REPOSITORY.fullmatch(text.lower()) else ""
    raise InvalidReference(f"{text!r} is not a valid repository name{hint}")


def parse_tag(text: str) -> str:
    """Return `text` if it is a tag. Raises InvalidReference."""
    if _TAG.fullmatch(text):
        return text
    raise InvalidReference(
        f"{text!r:.200} is not a valid tag: up to 128 letters, digits, `_`, `.`, `-`, not starting with `.` or `-`"
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry/repository[:tag][@digest]`. The registry is for display only; a push never connects to it."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse every form that tools write. Raises InvalidReference.

        Forms: `nginx`, `nginx:1.25`, `org/app:1`, `host:5000/a/b:v1`, `repo@sha256:…`, `repo:tag@sha256:…`. Docker Hub
        short names are completed (`nginx` is docker.io/library/nginx). If tag and digest are both absent, the tag is
        `latest`, as in other tools."""
        if len(text) > MAX_REFERENCE:
            raise InvalidReference(
                f"the image name {text[:80]!r}… has {len(text)} characters; at most {MAX_REFERENCE} are allowed"
            )
        if _BARE_DIGEST.fullmatch(text):  # Docker, too, reads these as identifiers and never as names
            raise InvalidReference(f"{text!r} is a digest without a repository; use repository@digest")
        name, at, digest_text = text.partition("@")
        try:
            digest = Digest.parse(digest_text) if at else None
        except MalformedArchive as error:
            raise InvalidReference(f"{text!r:.300} is not a valid image name: {error}") from None
        registry, path = _split_registry(name)
        path, colon, tag = path.partition(":")
        if registry.lower() in _HUB_ALIASES:
            registry, path = DOCKER_HUB, path if "/" in path else f"library/{path}"
        if not colon and digest is None:
            tag, colon = "latest", ":"
        return cls(registry, parse_repository(path), parse_tag(tag) if colon else None, digest)

    @classmethod
    def parse_destination(cls, text: str, option: str) -> Reference:
        """Parse `repo:tag` as written: no host, no `library/`, no default tag. The registry is empty.

        Raises InvalidReference that names `option`."""
        repository, colon, tag = text.rpartition(":")
        if "@" in text or not colon or "/" in tag:
            raise InvalidReference(f"{option} {text!r:.300} must be of the form repo:tag, such as team/app:1.2")
        try:
            return cls("", parse_repository(repository), parse_tag(tag))
        except InvalidReference as error:
            raise InvalidReference(f"{option} {text!r:.300} is not valid: {error}") from None

    @classmethod
    def parse_path(cls, text: str) -> Reference:
        """Parse a name in a registry's storage: `repository:tag` or `repository@digest`, used unchanged.

        Raises InvalidReference."""
        repository, at, digest = text.partition("@")
        if not at:
            return cls.parse_destination(text, "the name")
        try:
            return cls("", parse_repository(repository), None, Digest.parse(digest))
        except (InvalidReference, MalformedArchive) as error:
            raise InvalidReference(f"the name {text!r:.300} is not valid: {error}") from None

    def at(self, registry: str, repository: str) -> Reference:
        """Return the same tag or digest in another registry and repository."""
        return replace(self, registry=registry, repository=repository)

    @property
    def familiar(self) -> str:
        """Return the short form that people type: `nginx:1.25` for docker.io/library/nginx:1.25."""
        if self.registry != DOCKER_HUB:
            return str(self)
        short = self.repository.removeprefix("library/")
        return str(replace(self, registry="", repository=self.repository if "/" in short else short))

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return "/".join(filter(None, (self.registry, self.repository))) + tag + digest


def _split_registry(name: str) -> tuple[str, str]:
    """Split off the registry by Docker's rule.

    The first component is a host if it contains `.` or `:`, is `localhost`, or has upper-case letters."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(char in ".:" for char in first) or first != first.lower()):
        if not _HOST.fullmatch(first):
            raise InvalidReference(f"{name!r:.300} does not start with a valid registry host")
        return first, rest
    return DOCKER_HUB, name
