"""Authorization per repository of a registry: the challenges received, and the headers that answer them.

A registry may use different challenges for different repositories: Artifactory has a token service for each of its
repository keys. A challenge for one repository therefore applies to all whose path begins with the same component,
until they send a challenge themselves. Before that, the challenge to the first request applies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from app.errors import RegistryAuth, RegistryRejected
from app.net.response import Response
from app.net.urls import Origin
from app.registry.auth import Authenticator, Credentials
from app.registry.auth.basic import BasicAuthenticator
from app.registry.auth.bearer import BearerAuthenticator, FetchToken
from app.registry.auth.challenge import Challenge, parse_challenges
from app.registry.distribution.responses import has_expired
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.redact import SecretScrubber

MAX_CACHED = 1000  # repositories with a stored challenge; a service that runs for months sees any number
MAX_SCOPES = 20  # per challenge
UNASKED = Challenge("basic", {})  # tried once if a registry rejects a request without a challenge
Scopes = tuple[str, ...]
Service = tuple[str, str | None, str | None]

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 401, a 403 to an expired authorization, or a 403 to a request without authorization.

    `sent`: the header of the request. `again`: the authorization was already renewed for this request.
    """

    response: Response
    sent: str | None
    again: bool


@dataclass(slots=True)
class Trial:
    """The challenge that one request answers instead of the known one for its repository.

    Other requests keep using the known challenge until the new one has succeeded.
    """

    challenge: Challenge | None = None


class Authorizations:
    """The authorizations of one registry."""

    def __init__(
        self, settings: HttpRegistrySettings, fetch: FetchToken, secrets: SecretScrubber, clock: Callable[[], float]
    ) -> None:
        self._settings, self._fetch, self._secrets, self.clock = settings, fetch, secrets, clock
        self._first: Challenge | None = None
        self._challenges: dict[str, Challenge] = {}  # keys: repositories, and first components of their paths
        self._scopes: dict[tuple[str, Scopes], Scopes] = {}  # additional scopes that a challenge asked for
        self._credentials: dict[str, Credentials | None] = {}
        self._authenticators: dict[tuple[Service, Credentials | None], Authenticator] = {}
        self._refused_unasked: dict[str, None] = {}

    @property
    def scheme(self) -> str:
        """Return the authentication scheme of the registry, or "none" before a challenge was received."""
        challenge = self._first or next(iter(self._challenges.values()), None)
        return challenge.scheme if challenge else "none"

    @property
    def is_asked_for(self) -> bool:
        """Return whether the registry asks for authorization at `/v2/`."""
        return self._first is not None

    def has_credentials(self, repository: str) -> bool:
        """Return whether the last lookup found credentials."""
        return self._credentials.get(repository) is not None

    def begin(self, response: Response) -> None:
        """Record the response to the first request, which has no authorization."""
        if response.status == 401:
            self._first = pick(response)

    async def value(self, repository: str, scopes: Scopes, trial: Trial) -> str | None:
        """Return the Authorization header for `scopes`, or None. Raises RegistryError."""
        challenge = trial.challenge or self._challenge_of(repository)
        if challenge is None:
            return None
        asked = (*scopes, *self._scopes.get((repository, scopes), ()))
        was_known = repository in self._credentials
        try:
            value = await (await self._authenticator(challenge, repository)).authorization(asked)
        except RegistryAuth:
            old = self._credentials.pop(repository, None)
            if not was_known:
                raise
            authenticator = await self._authenticator(challenge, repository)
            if self._credentials[repository] == old:
                raise
            value = await authenticator.authorization(asked)  # the password has changed since
        self._secrets.add_header(value)
        return value

    async def renew(self, refusal: Refusal, repository: str, scopes: Scopes, trial: Trial) -> str | None:
        """Return the header to try next, or the one just sent if no other exists.

        A challenge may be new, a token may have expired, and a credential helper may return new credentials.
        """
        wanted, sent = pick(refusal.response), refusal.sent
        if wanted is None and sent is None:
            return await self._unasked(repository, trial)
        if refusal.response.status != 401 and not has_expired(refusal.response):
            return sent
        if wanted is not None and self._is_new(wanted, trial.challenge or self._challenge_of(repository), refusal):
            if self._challenge_of(repository) is None:
                self._learn(repository, wanted)
            else:
                trial.challenge = wanted
        elif refusal.again:
            if wanted is None or not self._learn_scopes(wanted, repository, scopes):
                return sent
        elif sent is not None:
            for authenticator in self._authenticators.values():
                authenticator.refused(sent)
            self._credentials.pop(repository, None)
        return await self.value(repository, scopes, trial)

    def settle(self, response: Response, repository: str, trial: Trial) -> str:
        """Record the result of a request with a renewed authorization.

        Return a remark for the error of a rejection. A challenge that did not help is discarded: Harbor sends Basic to
        an account that lacks a right.
        """
        is_refused = response.status in {401, 403}
        if trial.challenge is UNASKED and is_refused:
            _keep(self._refused_unasked, repository, None)
        elif trial.challenge is not None and response.status != 401:
            self._learn(repository, trial.challenge)
        if is_refused and repository in self._refused_unasked:
            return "The registry did not ask for the configured credentials, and rejected them when they were sent"
        return ""

    def _challenge_of(self, repository: str) -> Challenge | None:
        known = self._challenges.get(repository) or self._challenges.get(_key(repository))
        return known or self._first

    def _is_new(self, wanted: Challenge, known: Challenge | None, refusal: Refusal) -> bool:
        """Return whether `wanted` asks for another authentication.

        Harbor sends Basic if a token has expired; then the token is renewed first.
        """
        if known is None or _service(known) == _service(wanted):
            return known is None
        return refusal.again or refusal.sent is None or (known.scheme, wanted.scheme) != ("bearer", "basic")

    def _learn(self, repository: str, challenge: Challenge) -> None:
        for name in (_key(repository), repository):
            _keep(self._challenges, name, challenge)

    def _learn_scopes(self, wanted: Challenge, repository: str, scopes: Scopes) -> bool:
        """Record the scopes in a challenge, and return whether any of them is new."""
        known = self._scopes.get((repository, scopes), ())
        more = tuple(scope for scope in scopes_in(wanted) if scope not in {*known, *scopes})
        if more:
            _keep(self._scopes, (repository, scopes), (*known, *more)[-MAX_SCOPES:])
        return bool(more)

    async def _unasked(self, repository: str, trial: Trial) -> str | None:
        """Return a Basic header, once per repository, if there are credentials and the registry sent no challenge."""
        if repository in self._refused_unasked or await self._find(repository) is None:
            return None
        trial.challenge = UNASKED
        return await self.value(repository, (), trial)

    async def _find(self, repository: str) -> Credentials | None:
        if not self._knows(repository):
            found = await self._settings.credentials.find(self._settings.url, repository)
            self._secrets.add(found)
            self._credentials[repository] = found
        return self._credentials[repository]

    async def _authenticator(self, challenge: Challenge, repository: str) -> Authenticator:
        credentials = await self._find(repository)
        key = (_service(challenge), credentials)
        if key not in self._authenticators:
            made = self._make_authenticator(challenge, credentials)
            _keep(self._authenticators, key, made)
        return self._authenticators[key]

    def _knows(self, repository: str) -> bool:
        """Return whether the credentials for `repository` have been looked up and are still valid."""
        found = self._credentials.get(repository)
        is_over = found is not None and found.good_until is not None and self.clock() >= found.good_until
        return repository in self._credentials and not is_over

    def _make_authenticator(self, challenge: Challenge, credentials: Credentials | None) -> Authenticator:
        if challenge.scheme == "bearer":
            return BearerAuthenticator(challenge, credentials, self._fetch, self.clock)
        return BasicAuthenticator(credentials)


def pick(response: Response) -> Challenge | None:
    """Return the challenge to answer, or None. Bearer is preferred to Basic unless its realm is not a URL."""
    challenges = parse_challenges(response.headers.get("www-authenticate", ()))
    bearers = [challenge for challenge in challenges if challenge.scheme == "bearer"]
    usable = next(filter(_is_usable, bearers), None)
    basic = next((challenge for challenge in challenges if challenge.scheme == "basic"), None)
    odd = next((challenge for challenge in bearers if challenge.parameters.get("realm")), None)
    return usable or basic or odd  # the error names the realm of `odd`


def scopes_in(challenge: Challenge) -> Scopes:
    """Return the scopes of a challenge, with actions in the order `pull,push`."""
    texts = challenge.parameters.get("scope", "").split()[:MAX_SCOPES]
    return tuple(dict.fromkeys(map(_ordered, filter(str.isascii, texts))))


def _ordered(scope: str) -> str:
    name, _, actions = scope.rpartition(":")
    return f"{name}:{','.join(sorted(actions.split(',')))}" if name else scope


def _is_usable(challenge: Challenge) -> bool:
    try:
        Origin.of(challenge.parameters.get("realm", ""), "the token service (realm)")
    except RegistryRejected:
        return False
    return True


def _service(challenge: Challenge) -> Service:
    """Return the parts that all challenges of one token service share; scope and error belong to one request."""
    return challenge.scheme, challenge.parameters.get("realm"), challenge.parameters.get("service")


def _key(repository: str) -> str:
    """Return the key for all repositories with the same first path component. It cannot be a repository name."""
    return f"{repository.partition('/')[0]}/"


def _keep(known: dict[K, V], key: K, value: V) -> None:
    known.pop(key, None)
    while len(known) >= MAX_CACHED:
        del known[next(iter(known))]
    known[key] = value
