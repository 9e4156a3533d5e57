"""Parser for WWW-Authenticate (RFC 9110 11.6.1).

It accepts several challenges in one or more headers, quoted strings and odd spacing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_HEADER = 8 << 10  # usual challenges have less than 500 characters
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a term of the grammar, not a secret
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_TOKEN68 = re.compile(r"\s+[A-Za-z0-9._~+/-]+=*\s*(?=,|$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge. `scheme` and the names in `parameters` are lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return all challenges in the values of WWW-Authenticate headers, in order.

    Parsing of a header ends at its first error.
    """
    return tuple(challenge for value in values for challenge in _parse(value[:MAX_HEADER]))


def _parse(text: str) -> Iterable[Challenge]:
    position = 0
    while scheme := _SCHEME.match(text, position):
        position = scheme.end()
        if token68 := _TOKEN68.match(text, position):
            position = token68.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, position):
            position = parameter.end()
            quoted = parameter[2]
            value = parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(parameter[1].lower(), value)
        yield Challenge(scheme[1].lower(), MappingProxyType(parameters))
