"""ConfiguredRegistry: a registry that jobs may name."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from app.auth.model import Submitter
from app.errors import Forbidden, UnknownRegistry
from app.oci import Reference
from app.push import Destination
from app.registry import Registry

OWN_DIGITS = 16  # of the SHA-256 of a token's name, which may contain characters that no repository name has


@dataclass(frozen=True, slots=True)
class ConfiguredRegistry:
    """A registry. Requests refer to it by `name`; `url` is for display and contains no secret.

    `staging_repository` receives blobs whose repository is not known yet; an empty name turns staging off. A token that
    is bound to repositories has a separate staging repository below it. Blobs in another staging repository are from
    other submitters: their existence does not prove that the token has their bytes.

    `under_way` takes the id of a job: within its block the destination keeps what the job needs. `keep` is called with
    the repositories and references of images that a job left in place."""

    name: str
    url: str
    destination: Destination
    registry: Registry
    staging_repository: str = ""
    under_way: Callable[[str], AbstractContextManager[object]] = nullcontext
    keep: Callable[[Iterable[tuple[str, str]]], Awaitable[None]] | None = None

    def staging_of(self, submitter: Submitter) -> str:
        """Return the staging repository for blobs of `submitter`; "" if it may not stage."""
        if not self.staging_repository or not submitter.may_use(self.staging_repository):
            return ""
        if not submitter.repositories:
            return self.staging_repository
        own = hashlib.sha256(submitter.name.encode()).hexdigest()[:OWN_DIGITS]
        return f"{self.staging_repository}/{own}"

    def is_staging(self, repository: str) -> bool:
        staging = self.staging_repository
        return bool(staging) and (repository == staging or repository.startswith(f"{staging}/"))

    def may_mount(self, submitter: Submitter, repository: str) -> bool:
        """Return whether blobs of `repository` may be mounted for `submitter`."""
        if submitter.repositories and self.is_staging(repository):
            return repository == self.staging_of(submitter)
        return submitter.may_use(repository)

    def check(self, submitter: Submitter, destinations: tuple[Reference, ...]) -> None:
        """Raise Forbidden if `submitter` may not push to one of `destinations`."""
        submitter.check(destinations)
        if submitter.repositories and any(self.is_staging(destination.repository) for destination in destinations):
            raise Forbidden(
                f"cannot push to {self.staging_repository}: it is the `staging_repository`, and the token of "
                f"{submitter.name} is bound to repositories; push to another repository"
            )


def pick_registry(registries: Mapping[str, ConfiguredRegistry], name: str) -> ConfiguredRegistry:
    """Return the registry named `name`. Raises UnknownRegistry, which lists the configured names."""
    if name in registries:
        return registries[name]
    known = ", ".join(sorted(registries)) or "none"
    raise UnknownRegistry(f"unknown registry: {name[:100]!r}; configured are: {known}")
