"""The file name in Content-Disposition, as clients write it. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from python_multipart.multipart import parse_options_header

_PARAMETER = re.compile(r""";[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)""")
_ENCODED = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.+)", re.IGNORECASE)


def filename_of(disposition: str) -> str | None:
    """Of the whole field, as Latin-1. The encoded form (RFC 8187) goes first; "" is a file without a name, None no
    file."""
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
