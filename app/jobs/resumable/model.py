"""UploadState: what is known of a resumable upload except its bytes, as a value and as the JSON of its file. Pure."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Self

EMPTY_LIFETIME = timedelta(hours=1)  # for an upload without a byte, which blocks a slot
LIFETIME = timedelta(hours=24)  # since the last byte; carrying a disk across may take a night


@dataclass(frozen=True, slots=True)
class UploadChecksum:
    """The required checksum of the bytes of one request: the name of a hashlib algorithm, and the digest."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class UploadState:
    """The state of an upload.

    `job`: the job of the upload; "" for a part of a concatenation. `length`: None until it is known. `metadata` and
    `concat`: text of the client, returned to it unchanged. `checksum`: required checksum of the whole. `explicit`: the
    client signals completion itself, regardless of the length. `hold`: the archive is retained after its job, so that
    another job can push it. `trusted`: while bytes arrive whose checksum is not verified yet, their start. `complete`:
    the last byte has been received. `pushes`: further jobs that read the retained archive. `submitter`: the name of the
    token that began it. `path`: of the file on the client's side, "" if unknown."""

    id: str
    job: str
    name: str
    length: int | None = None
    metadata: str = ""
    concat: str = ""
    checksum: str | None = None
    hold: bool = False
    explicit: bool = False
    trusted: int | None = None
    complete: bool = False
    pushes: tuple[str, ...] = ()
    submitter: str = ""
    path: str = ""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Parse the JSON of a state file. Unknown members are from a later release and are ignored.

        Raises ValueError, TypeError."""
        members: dict[str, Any] = json.loads(raw)
        known = {name: members[name] for name in cls.__dataclass_fields__ if name in members}
        return cls(**{**known, "pushes": tuple(known.get("pushes", ()))})

    def write(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def takes_room(self) -> bool:
        """Return whether its bytes are stored here and do not belong to a job."""
        return not self.complete or self.is_part or self.hold

    @property
    def is_part(self) -> bool:
        return self.concat == "partial"


def new_id() -> str:
    """Return 128 random bits in hex: a client that knows the address of an upload may write to it."""
    return secrets.token_hex(16)
