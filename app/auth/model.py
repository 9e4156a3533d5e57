"""Callers: the name, roles and quotas of a token, and what a job stores of its submitter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.errors import Forbidden, join_limited
from app.oci import Reference

STORED_PER_JOB = 4  # the archive as sent, its plain tar, and archives of earlier jobs
MAX_REFUSED_SHOWN = 5  # destinations named in one message


class Role(StrEnum):
    """The permissions of a token.

    `push`: send archives, and read and control its own jobs. `read`: read everything, change nothing. `admin`:
    everything."""

    READ = "read"
    PUSH = "push"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of a token; None: no limit for this token.

    `jobs`: received, queued or running at the same time. `upload_bytes`: of one upload. `stored_bytes`: of all its
    stored archives."""

    jobs: int | None = None
    upload_bytes: int | None = None
    stored_bytes: int | None = None

    @property
    def most_stored(self) -> int | None:
        """Return the limit of stored bytes; if it is not set, it is derived from the other two."""
        if self.stored_bytes is not None or self.jobs is None or self.upload_bytes is None:
            return self.stored_bytes
        return STORED_PER_JOB * self.jobs * self.upload_bytes


@dataclass(frozen=True, slots=True)
class Submitter:
    """What a job stores of its sender.

    `name`: of the token, "" without tokens. `address`: of the client's socket. `repositories`: prefixes it may push to;
    empty: all."""

    name: str = ""
    address: str = ""
    repositories: tuple[str, ...] = ()

    def check(self, destinations: tuple[Reference, ...]) -> None:
        """Raise Forbidden if a destination is outside the permitted repositories."""
        refused = [str(destination) for destination in destinations if not self.may_use(destination.repository)]
        if not refused:
            return
        raise Forbidden(
            f"the token of {self.name} may push below {', '.join(self.repositories)} only, and not to "
            f"{join_limited(refused, MAX_REFUSED_SHOWN)}; pass `prefix`, `rename` or `tag`"
        )

    def may_use(self, repository: str) -> bool:
        """Return whether the repository is permitted. `team` permits `team` and `team/x`, not `teams`."""
        return not self.repositories or any(
            repository == prefix or repository.startswith(f"{prefix}/") for prefix in self.repositories
        )


def is_too_many(own: int, others: int, most: int) -> bool:
    """Return whether a token with `own` of `most` slots has more than half of those not used by others."""
    return 2 * own > most - others + 1


NO_QUOTA = Quota()
NOBODY = Submitter()


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of one request. Without tokens, every caller is an administrator without a name.

    `default_prefix`: the option `prefix` of a request that does not name it."""

    submitter: Submitter = NOBODY
    roles: frozenset[Role] = frozenset({Role.ADMIN})
    quota: Quota = NO_QUOTA
    default_prefix: str = ""

    @property
    def name(self) -> str:
        return self.submitter.name

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles

    @property
    def sees_all(self) -> bool:
        return self.is_admin or Role.READ in self.roles

    @property
    def is_bound(self) -> bool:
        """Return whether the caller may not see the jobs of others."""
        return bool(self.submitter.repositories) and not self.sees_all

    @property
    def may_push(self) -> bool:
        return self.is_admin or Role.PUSH in self.roles

    @property
    def may_delete(self) -> bool:
        """Return whether it may delete images of the image store; a bound token only in its repositories."""
        return self.is_admin or (self.may_push and bool(self.submitter.repositories))

    def namespaced_key(self, key: str | None) -> str | None:
        """Return an idempotency key as stored: it includes the token's name, so equal keys of two tokens differ.

        A key contains no line break."""
        return key if key is None or not self.name else f"{self.name}\n{key}"


EVERYBODY = Caller()

__all__ = ["EVERYBODY", "NOBODY", "NO_QUOTA", "STORED_PER_JOB", "Caller", "Quota", "Role", "Submitter", "is_too_many"]
