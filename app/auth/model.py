"""Who asks: the name, the roles and the bounds of a token, and what a job keeps of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.errors import Forbidden, join_limited
from app.oci import Reference

STORED_PER_JOB = 4  # an archive as it was sent, the plain tar of it, and what earlier jobs kept
MAX_REFUSED_SHOWN = 5  # destinations that one message names


class Role(StrEnum):
    """What a token may do. `push`: send archives, and see and steer what it sent. `read`: see everything, change
    nothing. `admin`: everything."""

    READ = "read"
    PUSH = "push"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Quota:
    """`jobs`: that are received, queued or run at once. `upload_bytes`: of one upload. `stored_bytes`: of all its
    archives that lie here. None: no bound of its own."""

    jobs: int | None = None
    upload_bytes: int | None = None
    stored_bytes: int | None = None

    @property
    def most_stored(self) -> int | None:
        """Return the bound of what lies here; if none is given, it follows from the other two."""
        if self.stored_bytes is not None or self.jobs is None or self.upload_bytes is None:
            return self.stored_bytes
        return STORED_PER_JOB * self.jobs * self.upload_bytes


@dataclass(frozen=True, slots=True)
class Submitter:
    """What a job keeps of who sent it. `name` of the token, "" where there are none; `address` it came from, as the
    socket has it; `repositories` it may be pushed to, none: all."""

    name: str = ""
    address: str = ""
    repositories: tuple[str, ...] = ()

    def check(self, destinations: tuple[Reference, ...]) -> None:
        """Raises Forbidden where one of them lies outside."""
        refused = [str(destination) for destination in destinations if not self.may_use(destination.repository)]
        if not refused:
            return
        raise Forbidden(
            f"the token of {self.name} may push below {', '.join(self.repositories)} only, and not to "
            f"{join_limited(refused, MAX_REFUSED_SHOWN)}; pass `prefix`, `rename` or `tag`"
        )

    def may_use(self, repository: str) -> bool:
        """Whole components count: `team` allows `team` and `team/x`, not `teams`."""
        return not self.repositories or any(
            repository == prefix or repository.startswith(f"{prefix}/") for prefix in self.repositories
        )


def is_too_many(own: int, others: int, most: int) -> bool:
    """Return whether one token with `own` of `most` places has more than half of those that the others have left."""
    return 2 * own > most - others + 1


NO_QUOTA = Quota()
NOBODY = Submitter()


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's. Where there are no tokens, everybody is an administrator without a name."""

    submitter: Submitter = NOBODY
    roles: frozenset[Role] = frozenset({Role.ADMIN})
    quota: Quota = NO_QUOTA

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
        """Whether it is to see nothing of what others do."""
        return bool(self.submitter.repositories) and not self.sees_all

    @property
    def may_push(self) -> bool:
        return self.is_admin or Role.PUSH in self.roles

    def namespaced_key(self, key: str | None) -> str | None:
        """An idempotency key as it is stored: two tokens with the same one do not meet. A key has no line break."""
        return key if key is None or not self.name else f"{self.name}\n{key}"


EVERYBODY = Caller()

__all__ = ["EVERYBODY", "NOBODY", "NO_QUOTA", "STORED_PER_JOB", "Caller", "Quota", "Role", "Submitter", "is_too_many"]
