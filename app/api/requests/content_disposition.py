"""The file name in Content-Disposition. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from python_multipart.multipart import parse_options_header

_PARAMETER = re.compile(r""";[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)""")
_ENCODED = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.+)", re.IGNORECASE)


def filename_of(disposition: str) -> str | None:
    """Return the file name in a field, read as Latin-1: "" for a file without a name, None if there is no file.

    The encoded form (RFC 8187) takes precedence.
    """
    encoded = _encoded_filename(disposition)
    if encoded is not None:
        return encoded
    plain = parse_options_header(disposition)[1].get(b"filename")
    return None if plain is None else plain.decode(errors="replace")


def _encoded_filename(disposition: str) -> str | None:
    for match in _PARAMETER.finditer(disposition):
        if match[1].lower() == "filename*":
            value = _ENCODED.fullmatch(match[2].strip())
            return value and unquote(value[2], value[1])
    return None


__all__ = ["filename_of"]
