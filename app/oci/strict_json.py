"""The only JSON reader for untrusted bytes.

`json.loads` alone accepts NaN, UTF-16, duplicate keys (the last one wins, so readers differ) and lone surrogates. It
raises RecursionError for deep nesting and ValueError for long numbers. Here each of these is MalformedArchive.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from app.errors import LimitExceeded, MalformedArchive

MAX_VALUES = 300_000  # 15 MiB of `[],` became 5 million lists of 56 bytes; a manifest.json of 4,000 images has 100,000


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a duplicate key")
    return members


def _integer(text: str) -> int:
    if len(text) > 20:  # 2**64 has 20 digits; no field of the specifications is larger
        raise ValueError("a number has more than 20 digits")
    return int(text)


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def count_values(raw: bytes) -> int:
    """Return an upper bound of the number of values in a JSON document, without parsing it."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") + 1


def strict_json(raw: bytes, *, what: str, limit: int, values: int = MAX_VALUES) -> Any:
    """Parse `raw` (UTF-8, at most `limit` bytes and `values` values). `what` names the document in messages.

    Raises LimitExceeded, MalformedArchive."""
    if len(raw) > limit:
        raise LimitExceeded(f"{what} has {len(raw)} bytes; at most {limit} are read")
    if count_values(raw) > values:
        raise LimitExceeded(f"{what} has more than {values} values")
    try:
        text = raw.decode("utf-8", errors="strict")
        if text.startswith("\ufeff"):
            raise ValueError("it starts with a byte order mark")
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_real,
            object_pairs_hook=_refuse_duplicates,
        )
        if "\\u" in text:  # valid UTF-8 can contain a lone surrogate only as an escape
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedArchive(f"{what} is not valid JSON: it is not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise MalformedArchive(f"{what} is not valid JSON: {error}") from None
    return value


@lru_cache(maxsize=64)  # one entry per kind of object; 100,000 descriptors use it
def _exactly(fields: tuple[str, ...]) -> frozenset[str]:
    return frozenset(fields)


def refuse_lookalikes(members: Mapping[str, Any], fields: tuple[str, ...], what: str) -> None:
    """Raise MalformedArchive if a key differs from one of `fields` only in letter case.

    Go's JSON reader, which registries and most tools use, reads `Layers` as `layers`; the last of the two wins."""
    if members.keys() <= _exactly(fields):
        return
    known = {field.casefold(): field for field in fields}
    for key in members:
        field = known.get(key.casefold(), key)
        if field != key:
            raise MalformedArchive(f"{what} has the key {key!r}, which some JSON readers read as {field!r}")
