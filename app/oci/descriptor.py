"""Descriptor and Platform (image-spec descriptor.md, image-index.md)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from app.errors import DigestMismatch, InvalidRequest, MalformedArchive
from app.oci.digest import Digest
from app.oci.strict_json import refuse_lookalikes

_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)  # RFC 6838 4.2
MAX_SIZE = 2**63 - 1  # a larger size crashed other clients (GHSA-f36w-mj3v-6jqv)
_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")
NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


def parse_media_type(text: object, what: str) -> str:
    """Return `text` if it is an RFC 6838 type/subtype without parameters. Raises MalformedArchive.

    A media type is sent as a header, so no other form is accepted."""
    if isinstance(text, str) and _MEDIA_TYPE.fullmatch(text):
        return text
    raise MalformedArchive(f"{what} has a media type that is not of the form type/subtype", content=f"{text!r:.100}")


@dataclass(frozen=True, slots=True)
class Platform:
    os: str
    architecture: str
    variant: str = ""
    os_version: str = field(default="", compare=False)  # of Windows; not used for selection

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parse `linux/amd64` or `linux/arm64/v8`. Raises InvalidRequest, because the text is an option's value."""
        parts = text.split("/")
        if len(parts) not in {2, 3} or not all(re.fullmatch(r"[a-z0-9_.]+", part) for part in parts):
            raise InvalidRequest(
                f"platform {text!r:.100} is not of the form os/architecture[/variant]; write it like linux/arm64/v8"
            )
        return cls(*parts)

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> Platform:
        """Read a `platform` object or an image config. Absent or invalid members become `unknown`."""

        def text(key: str, default: str) -> str:
            value = members.get(key)
            return value if isinstance(value, str) and value else default

        names = text("os", "unknown"), text("architecture", "unknown"), text("variant", "")
        return cls(*names, os_version=text("os.version", ""))

    @property
    def known(self) -> bool:
        """Return False for BuildKit's attestation manifests, whose platform is unknown/unknown."""
        return self.os != "unknown" or self.architecture != "unknown"

    @property
    def complete(self) -> bool:
        """Return whether os and architecture are both known; a runtime cannot select by one alone."""
        return "unknown" not in {self.os, self.architecture}

    def matches(self, wanted: Platform) -> bool:
        """Return whether an image for this platform satisfies `wanted`. `linux/arm64` matches every variant."""
        return (self.os, self.architecture) == (wanted.os, wanted.architecture) and wanted.variant in {
            "",
            self.variant,
        }

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Media type, digest and size in bytes of some content; the other fields are as in the document."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: NO_ANNOTATIONS, hash=False)
    urls: tuple[str, ...] = ()
    artifact_type: str | None = None
    data: bytes | None = None

    @classmethod
    def parse(cls, members: object, what: str) -> Descriptor:
        """Read a descriptor from a JSON object. `what` names it in messages. Raises MalformedArchive."""
        if not isinstance(members, dict):
            raise MalformedArchive(f"{what} is not a descriptor object")
        size = members.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise MalformedArchive(f"{what} has a size that is not a count of bytes", content=f"{size!r:.100}")
        refuse_lookalikes(members, _FIELDS, what)
        platform = members.get("platform")
        artifact_type = members.get("artifactType")
        digest = Digest.parse(members.get("digest"))
        return cls(
            media_type=parse_media_type(members.get("mediaType"), what),
            digest=digest,
            size=size,
            platform=Platform.of(platform) if isinstance(platform, dict) else None,
            annotations=parse_annotations(members.get("annotations"), what),
            urls=_strings(members.get("urls"), f"urls of {what}"),
            artifact_type=artifact_type if isinstance(artifact_type, str) and artifact_type else None,
            data=_inline(members.get("data"), (digest, size), what),
        )


def parse_annotations(value: object, what: str) -> Mapping[str, str]:
    if value is None:
        return NO_ANNOTATIONS
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return MappingProxyType(dict(value))
    raise MalformedArchive(f"the annotations of {what} are not an object of strings")


def _strings(value: object, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return tuple(value)
    raise MalformedArchive(f"the {what} are not a list of strings")


def _inline(value: object, content: tuple[Digest, int], what: str) -> bytes | None:
    """Decode `data`, an inline copy of the content (image-spec descriptor.md), and verify it against digest and size.

    Raises MalformedArchive, DigestMismatch."""
    if value is None:
        return None
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:  # binascii.Error, and characters outside ASCII
        data = None
    if data is None:
        raise MalformedArchive(f"the inline data of {what} is not base64")
    digest, size = content
    hasher = digest.hasher()
    hasher.update(data)
    if len(data) != size or hasher.hexdigest() != digest.encoded:
        raise DigestMismatch(f"the inline data of {what} does not match {digest} of {size} bytes")
    return data
