"""Values as Go programs read them from YAML and write them. Pure.

Covered are the types of plain scalars (go-yaml v2, resolve.go), their texts (sigs.k8s.io/yaml, yaml.go) and JSON
(encoding/json)."""

from __future__ import annotations

import json
import math
import re
import struct
from decimal import Decimal
from typing import Any

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_SPECIAL = {
    spelling: value
    for value, spellings in {
        math.nan: (".nan", ".NaN", ".NAN"),
        math.inf: (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"),
        -math.inf: ("-.inf", "-.Inf", "-.INF"),
    }.items()
    for spelling in spellings
}
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SEPARATED = re.compile(r"(?<=[0-9])_(?=[0-9])")
_MAX_DIGITS = 400  # of a number; the time of Python's `int` grows with the square
_SINGLE_DIGITS = 9  # distinguish any two numbers of single precision
_EXPONENTS = range(-4, 6)  # of numbers that are written without an exponent
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def resolve_scalar(text: str) -> bool | int | float | str:
    """Return go-yaml's value of the plain scalar `text`: `yes` is true, `010` is 8, `1:30` and dates are texts."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _SPECIAL:
        return _SPECIAL[text]
    if not text or text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS or _DATE.fullmatch(text):
        return text
    plain = _SEPARATED.sub("", text) if text[0] == "." else text.replace("_", "")
    integer = _integer(plain)
    if integer is not None:
        return integer
    if _FLOAT.fullmatch(plain) and math.isfinite(number := float(plain)):
        return number
    return text


def _integer(plain: str) -> int | None:
    found = _INTEGER.fullmatch(plain)
    if found is None:
        return None
    sign, *digits = found.groups()
    base, text = next((base, text) for base, text in zip((16, 2, 8, 10), digits, strict=True) if text)
    number = int(sign + text, base)
    # a number outside int64 and, without a sign, uint64 is read as a float, if it has the form of one
    return number if -(1 << 63) <= number < (1 << 63 if sign else 1 << 64) else None


def text_of(value: bool | int | float | str) -> str:
    """Return the text of a resolved scalar in a field of type string.

    Floats are converted to single precision: `1.10` is `1.1`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _single(value) if isinstance(value, float) else str(value)


def _single(number: float) -> str:
    """Return strconv.FormatFloat(number, 'g', -1, 32)."""
    if math.isnan(number):
        return "NaN"
    try:
        packed = struct.pack("<f", number)
    except OverflowError:
        packed = struct.pack("<f", math.copysign(math.inf, number))
    (single,) = struct.unpack("<f", packed)
    if math.isinf(single):
        return "+Inf" if single > 0 else "-Inf"
    shortest = next(
        text for digits in range(_SINGLE_DIGITS) if struct.pack("<f", float(text := f"{single:.{digits}e}")) == packed
    )
    mantissa, exponent = shortest.split("e")
    return f"{Decimal(shortest):f}" if int(exponent) in _EXPONENTS else f"{mantissa}e{exponent}"


def to_json(value: Any) -> bytes:
    """Return json.Marshal of lists, texts, booleans, integers and structs (dictionaries here).

    json.Marshal sorts the keys of a Go map; the caller must sort those."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES).encode()
