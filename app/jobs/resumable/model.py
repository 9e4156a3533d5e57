"""What is known of a resumable upload besides its bytes, as a value and as the JSON of its file. Pure."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Self

EMPTY_LIFETIME = timedelta(hours=1)  # of an upload without a byte, which takes the place of another
LIFETIME = timedelta(hours=24)  # from the last byte; whoever carries a disk across may need the night


@dataclass(frozen=True, slots=True)
class UploadChecksum:
    """What the bytes of one request must have: the name of an algorithm of hashlib, and the digest."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class UploadState:
    """`job`: the job that the upload is of; "" for a part of a concatenation. `length`: None until it is known.
    `metadata` and `concat`: the client's own words, told back to it. `checksum`: what the whole must have. `explicit`:
    the client itself says when it is complete, whatever the length. `hold`: the archive stays when its job has ended,
    so that another can push it. `trusted`: while bytes come in that have still to be proven, where they begin.
    `complete`: the last byte is here. `pushes`: further jobs that read the archive that is held.
    `submitter`: the name of the token that began it. `path`: of the file on the client's side, "" if it
    does not say."""

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
        """Our own file: an unknown member is of a later release and is left out. Raises ValueError, TypeError."""
        members: dict[str, Any] = json.loads(raw)
        known = {name: members[name] for name in cls.__dataclass_fields__ if name in members}
        return cls(**{**known, "pushes": tuple(known.get("pushes", ()))})

    def write(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def takes_room(self) -> bool:
        """Whether its bytes are here, and no job's."""
        return not self.complete or self.is_part or self.hold

    @property
    def is_part(self) -> bool:
        return self.concat == "partial"


def new_id() -> str:
    """128 random bits: who knows an upload's address may write to it."""
    return secrets.token_hex(16)
