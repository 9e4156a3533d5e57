"""JobRequest: what a client asks for, and the fingerprint by which two requests are compared. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.errors import InvalidRequest, MalformedArchive
from app.jobs.model import NO_LABELS
from app.jobs.serialization import options_members
from app.oci import Digest
from app.push import PushOptions

MAX_LABELS = 64  # every document and an index contain them
RETRY_OPTIONS = ("tag", "rename", "prefix", "registry", "images", "platforms", "on_existing_tag")
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
MAX_LABEL_VALUE = 256
MAX_IDEMPOTENCY_KEY = 255
MOST_PRIORITY = 10  # and the minimum, negated; enough to separate a nightly mirror from an urgent fix


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request. `checksum`: `sha256:<hex>` of its only archive as sent; `paths`: patterns on the server.

    Raises InvalidRequest."""

    options: PushOptions
    registry: str = "default"
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS, hash=False)
    checksum: str | None = None
    paths: tuple[str, ...] = ()
    priority: int = 0
    delivery: str | None = None

    def __post_init__(self) -> None:
        if not -MOST_PRIORITY <= self.priority <= MOST_PRIORITY:
            raise InvalidRequest(
                f"option `priority` is {self.priority}; it must be from -{MOST_PRIORITY} to {MOST_PRIORITY}"
            )
        if len(self.labels) > MAX_LABELS:
            raise InvalidRequest(f"too many labels: {len(self.labels)}; at most {MAX_LABELS} are allowed")
        for key, value in self.labels.items():
            if not _LABEL_KEY.fullmatch(key):
                raise InvalidRequest(f"label key {key!r:.100} must be up to 63 letters, digits, `.`, `_`, `/`, `-`")
            if len(value) > MAX_LABEL_VALUE or not value.isprintable():
                raise InvalidRequest(f"label {key} must have at most {MAX_LABEL_VALUE} printable characters")
        self.expected()

    def expected(self) -> Digest | None:
        """Return the checksum as a digest. Raises InvalidRequest."""
        if self.checksum is None:
            return None
        try:
            digest = Digest.parse(self.checksum.lower())
        except MalformedArchive as error:
            raise InvalidRequest(f"option `checksum`: {error}") from None
        if digest.algorithm != "sha256":
            raise InvalidRequest("option `checksum` must be of the form sha256:<64 hex>")
        return digest

    def fingerprint(self, digests: Sequence[Digest] = ()) -> str:
        """Return a hash of the request and of the `digests` of its archives as sent.

        File names do not count, because the images do not depend on them."""
        members = {
            "options": options_members(self.options),
            "registry": self.registry,
            "labels": dict(self.labels),
            "checksum": self.checksum,
            "paths": self.paths,
            "priority": self.priority,
            "archives": [str(digest) for digest in digests],
        }
        return hashlib.sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """Options of a retry. `given`: names of options that replace those of the job; the others stay."""

    options: PushOptions = field(default_factory=PushOptions, hash=False)
    given: frozenset[str] = frozenset()
    registry: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.given and self.registry is None

    def replace_in(self, options: PushOptions) -> PushOptions:
        """Return `options` with the given ones. A new `rename` ends an earlier `tag`, which would hide it."""
        if "rename" in self.given and "tag" not in self.given:
            options = replace(options, tag=None)
        return replace(options, **{name: getattr(self.options, name) for name in self.given})


def check_idempotency_key(key: str | None) -> None:
    """Raise InvalidRequest for a malformed Idempotency-Key."""
    if key is not None and not (0 < len(key) <= MAX_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters")


def parse_label(text: str) -> tuple[str, str]:
    """Parse `key=value` of a filter. Raises InvalidRequest."""
    key, equals, value = text.partition("=")
    if not equals or not _LABEL_KEY.fullmatch(key):
        raise InvalidRequest(f"label {text!r:.100} must be of the form key=value")
    return key, value
