"""Text from outside, made safe to display: characters that control a terminal or the direction of text are escaped."""

from __future__ import annotations

import re
import unicodedata

_SHOWN_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, format, surrogates, unassigned, lines
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATER_FORMULA = re.compile(r"(?:(?<=;)|^)(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")  # also full-width signs


def visible(text: str) -> str:
    """Return `text` with each control, format and bidi character as `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _SHOWN_ESCAPED else char for char in text)


def csv_cell(text: str) -> str:
    """Return `text` as a cell that no spreadsheet takes for a formula.

    Where a comma is the decimal sign, spreadsheets divide a line at each semicolon, also within quotes."""
    shown = _LATER_FORMULA.sub("'", visible(text))
    return f"'{shown}" if text.startswith(_FORMULA) and not shown.startswith("'") else shown


def _escaped(char: str) -> str:
    number = ord(char)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


__all__ = ["csv_cell", "visible"]
