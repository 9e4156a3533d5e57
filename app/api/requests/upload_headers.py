"""The header fields of resumable uploads of tus 1.0 and of the IETF draft. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.api.problems import MalformedRequest
from app.api.requests.options import REPEATABLE, Options
from app.errors import InvalidRequest
from app.jobs.resumable import HASHES, UploadChecksum

TUS_VERSION = "1.0.0"
INTEROP_VERSIONS = frozenset({"5", "6", "7", "8"})  # draft -03, -05, -06 and the newest; earlier ones need a 104
PARTIAL_UPLOAD = "application/partial-upload"
OFFSET_STREAM = "application/offset+octet-stream"
MAX_METADATA_KEYS = 64
_DIGITS = re.compile(r"[0-9]{1,15}")
_ID = re.compile(r"/uploads/([0-9a-f]{32})/?(?:[?#].*)?\Z")
_DIGEST_BYTES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
# What clients add about a file; these are not options of a push.
_ABOUT_THE_FILE = frozenset({"filename", "name", "filetype", "type", "relativepath", "lastmodified", "size"})
HOLD = "hold"


def parse_number(headers: Mapping[str, str], name: str) -> int | None:
    """Return a count of bytes. Raises MalformedRequest."""
    text = headers.get(name)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text.strip()):
        raise MalformedRequest(f"{name} is {text!r:.40}; it must be a number of bytes")
    return int(text)


def parse_boolean(headers: Mapping[str, str], name: str) -> bool | None:
    """Return the boolean of a structured field, `?1` or `?0`. Raises MalformedRequest for others, such as `true`."""
    text = headers.get(name)
    if text is None:
        return None
    word = text.partition(";")[0].strip()
    if word not in ("?0", "?1"):
        raise MalformedRequest(f"{name} is {text!r:.40}; it must be ?1 or ?0")
    return word == "?1"


def is_true(text: str) -> bool:
    return text.lower() in ("true", "1", "yes", "on")


@dataclass(frozen=True, slots=True)
class UploadMetadata:
    """`Upload-Metadata` of tus. `raw` is the field as it was sent."""

    raw: str
    values: Mapping[str, str]

    @classmethod
    def parse(cls, raw: str) -> UploadMetadata:
        """Parse the field. Raises InvalidRequest."""
        values: dict[str, str] = {}
        for pair in filter(None, (part.strip() for part in raw.split(","))):
            key, _, encoded = pair.partition(" ")
            if key in values or len(values) >= MAX_METADATA_KEYS:
                raise InvalidRequest(f"Upload-Metadata has the key {key!r:.40} twice, or more than {MAX_METADATA_KEYS}")
            try:
                values[key] = base64.b64decode(encoded.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise InvalidRequest(f"Upload-Metadata: the value of {key!r:.40} is not UTF-8 in base64") from None
        return cls(raw, values)

    @property
    def filename(self) -> str:
        return self.values.get("filename") or self.values.get("name", "")

    @property
    def hold(self) -> bool:
        return is_true(self.values.get(HOLD, ""))

    def add_to(self, options: Options) -> None:
        """Add the options; a repeatable one has a value per line. Raises InvalidRequest for unknown options."""
        for name, value in self.values.items():
            if name.lower() in _ABOUT_THE_FILE or name == HOLD:
                continue
            for text in value.splitlines() if name in REPEATABLE else [value]:
                options.add(name, text)


def parse_upload_checksum(headers: Mapping[str, str]) -> UploadChecksum | None:
    """Return the checksum in `Upload-Checksum` of tus. Raises MalformedRequest."""
    field = headers.get("upload-checksum")
    if field is None:
        return None
    algorithm, _, encoded = field.strip().partition(" ")
    if algorithm not in HASHES:
        raise MalformedRequest(f"Upload-Checksum: {algorithm!r:.40} is not known; known are {', '.join(HASHES)}")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != _DIGEST_BYTES[algorithm]:
        raise MalformedRequest(f"Upload-Checksum is not a digest of {algorithm} in base64")
    return UploadChecksum(algorithm, digest)


def parse_concat(concat: str) -> tuple[str, ...]:
    """Return the ids in `Upload-Concat: final;URL URL …`; URLs may be absolute. Raises InvalidRequest."""
    kind, _, urls = concat.partition(";")
    found = [_ID.search(url) for url in urls.split()]
    if kind.strip() != "final" or not found or not all(found):
        raise InvalidRequest("Upload-Concat must be `partial`, or `final;` and the addresses of the parts")
    return tuple(match[1] for match in found if match)


__all__ = ["UploadMetadata", "is_true", "parse_boolean", "parse_concat", "parse_number", "parse_upload_checksum"]
