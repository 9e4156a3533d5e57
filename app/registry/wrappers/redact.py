"""Removal of secrets from error messages.

A registry or token service may repeat in an error what it received: a debugging proxy that echoes headers, or a page
that quotes the request. Such messages appear in the job's document, the log and the database.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar
from urllib.parse import quote, quote_plus

from app.errors import RegistryError
from app.net.urls import CUT, printable
from app.registry import BlobContent, Registry
from app.registry.auth import Credentials
from app.registry.auth.basic import basic_value
from app.registry.wrappers.forwarding import ForwardingRegistry

T = TypeVar("T")

HIDDEN = "[hidden]"
MIN_SECRET_LENGTH = (
    3  # characters; shorter secrets are not redacted, because that would destroy every sentence and hide nothing
)
MAX_CUT_CHARACTERS = 8 << 10  # characters before a cut that are searched; nothing shown is that long
MAX_TOKENS = 1000  # issued tokens; they live for minutes, so the oldest are useless


class SecretScrubber:
    """The secrets of one registry in every form in which they are sent.

    Configured credentials are kept for ever; of the issued tokens the last MAX_TOKENS are kept.
    """

    def __init__(self) -> None:
        self._configured: set[str] = set()
        self._given: dict[str, None] = {}

    def add(self, credentials: Credentials | None) -> None:
        if credentials is None:
            return
        if credentials.username:
            self._keep_configured(basic_value(credentials).partition(" ")[2])
        for secret in (credentials.password, credentials.identity_token):
            encoded = base64.b64encode(secret.encode()).decode("ascii")
            quoted = (quote(secret, safe=""), quote_plus(secret), html.escape(secret), json.dumps(secret)[1:-1])
            for form in (secret, printable(secret, len(secret)), encoded, *quoted):
                self._keep_configured(form)

    def add_header(self, value: str | None) -> None:
        """Add the secret of an Authorization header."""
        if value is not None:
            self._keep_given(value.partition(" ")[2])

    def scrub(self, text: str) -> str:
        for form in sorted(self._forms(), key=len, reverse=True):  # the longest first: one may contain another
            text = text.replace(form, HIDDEN)
        whole, *rest = text.split(CUT)
        for part in rest:
            whole = self._without_begun(whole) + CUT + part
        return whole

    def scrub_error(self, error: RegistryError) -> None:
        """Remove the secrets from the message of `error`."""
        error.args = tuple(self.scrub(str(arg)) for arg in error.args)

    def _without_begun(self, text: str) -> str:
        """Remove the beginning of a secret at the end of `text`, which was cut there."""
        begins = max(0, len(text) - MAX_CUT_CHARACTERS)
        found = [position for form in self._forms() if (position := _begun(form, text, begins)) is not None]
        return text[: min(found)] + HIDDEN if found else text

    def _forms(self) -> Iterator[str]:
        yield from self._configured
        yield from self._given

    def _keep_configured(self, form: str) -> None:
        if len(form) >= MIN_SECRET_LENGTH:
            self._configured.add(form)

    def _keep_given(self, form: str) -> None:
        if len(form) < MIN_SECRET_LENGTH or form in self._configured:
            return
        self._given.pop(form, None)
        self._given[form] = None
        while len(self._given) > MAX_TOKENS:
            del self._given[next(iter(self._given))]


def _begun(form: str, text: str, position: int) -> int | None:
    """Return the position, from `position` on, at which `text` ends with the beginning of `form`; None if there is
    none.
    """
    while (position := text.find(form[:MIN_SECRET_LENGTH], position)) >= 0:
        if form.startswith(text[position:]):
            return position
        position += 1
    return None


class RedactingRegistry(ForwardingRegistry):
    """A Registry whose errors never contain one of the `secrets`."""

    def __init__(self, registry: Registry, secrets: SecretScrubber) -> None:
        super().__init__(registry)
        self._secrets = secrets

    async def _forward(self, name: str, verb: Callable[[], Awaitable[T]], content: BlobContent | None = None) -> T:
        return await self.redacted(verb)

    async def redacted(self, verb: Callable[[], Awaitable[T]]) -> T:
        try:
            return await verb()
        except RegistryError as error:
            self._secrets.scrub_error(error)
            raise
