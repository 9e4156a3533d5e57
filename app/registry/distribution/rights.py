"""Distinction between rejected credentials and a missing right, if the registry does not make it.

Quay, Gitea and Nexus respond 401 in both cases. Harbor's token service issues an anonymous token to a wrong password.
Without a repository the cases differ: a registry answers `/v2/` to every account it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from app.errors import Failure, RegistryAuth, RegistryDenied, RegistryError, with_hint
from app.registry.distribution import hints
from app.registry.distribution.session import AuthSession

P = ParamSpec("P")
T = TypeVar("T")


class HasSession(Protocol):
    @property
    def session(self) -> AuthSession: ...


R = TypeVar("R", bound=HasSession)
Verb = Callable[Concatenate[R, str, P], Coroutine[Any, Any, T]]
"""A method of a registry whose first argument is a repository."""


def explain_rights(verb: Verb[R, P, T]) -> Verb[R, P, T]:
    """Make `verb` raise RegistryDenied instead of RegistryAuth if the credentials are accepted elsewhere."""

    async def wrapper(registry: R, repository: str, /, *args: P.args, **named: P.kwargs) -> T:
        try:
            return await verb(registry, repository, *args, **named)
        except RegistryAuth as error:
            raise await _explain(error, registry.session, repository) from None

    update_wrapper(wrapper, verb)
    return wrapper


async def _explain(error: RegistryAuth, session: AuthSession, repository: str) -> RegistryError:
    if error.failure is not Failure.REFUSED or not await session.accepts_credentials(repository):
        return error
    message = str(error).removesuffix(hints.CREDENTIALS)
    return RegistryDenied(with_hint(message, hints.NO_RIGHT.format(repository)))
