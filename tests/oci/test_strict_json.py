from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import LimitExceeded, MalformedArchive, TarmacError
from app.oci import count_values, refuse_lookalikes, strict_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def read(raw: bytes) -> object:
    return strict_json(raw, what="the document", limit=1 << 20)


@given(VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert read(json.dumps(value).encode()) == value
    assert read(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"[1,]",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"// no\n{}",
        b"NaN",
        b'{"a": NaN}',
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b'{"a": -1e999}',
        b"0123",
        b"+1",
        b"0x10",
        b"1_000",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": 1, "\\u0061": 2}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'["\\udc00\\ud800"]',
        b'"a\nb"',
        b'"\x00"',
        b"9" * 21,
        b"-" + b"9" * 20,
        b"9" * 5000,
        b"\x00",
        b"{}\x00",
    ],
)
def test_what_other_readers_would_take_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedArchive):
        read(raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_deep_nesting_is_refused_instead_of_running_out_of_stack(raw: bytes) -> None:
    with pytest.raises(MalformedArchive):
        read(raw)


def test_a_pair_of_surrogate_escapes_is_one_character() -> None:
    assert read(b'"\\ud83d\\ude80"') == "\U0001f680"


def test_the_largest_sizes_of_the_specifications_are_read() -> None:
    assert read(str(2**64 - 1).encode()) == 2**64 - 1


def test_a_document_above_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LimitExceeded, match=r"11 bytes.*10"):
        strict_json(b"x" * 11, what="the document", limit=10)
    assert strict_json(b'"12345678"', what="the document", limit=10) == "12345678"


def test_a_long_number_costs_no_time() -> None:
    started = time.process_time()
    for number in (b"1" * 1_000_000, b"0." + b"1" * 1_000_000, b"1e" + b"1" * 1_000_000):
        try:
            read(number)
        except TarmacError:
            continue
    assert time.process_time() - started < 5


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_an_error_of_the_tree(raw: bytes) -> None:
    try:
        value = read(raw)
    except TarmacError:
        return
    assert json.loads(raw) == value


@pytest.mark.parametrize("key", ["Layers", "LAYERS", "layer\u017f", "la\u0079erS"])
def test_a_key_that_go_takes_for_a_field_is_refused(key: str) -> None:
    with pytest.raises(MalformedArchive, match="'layers'"):
        refuse_lookalikes({key: []}, ("layers", "config"), "the manifest")


def test_the_field_itself_and_unknown_keys_are_no_lookalikes() -> None:
    refuse_lookalikes({"layers": [], "layer": 1, "org.example.Layers": 2}, ("layers", "config"), "the manifest")


@pytest.mark.parametrize("value", [b"{},", b"[],", b'"",', b"1,"])
def test_more_values_than_any_document_has_are_refused_before_they_are_made(value: bytes) -> None:
    with pytest.raises(LimitExceeded, match="300000 values"):
        strict_json(b"[" + value * 300_000 + b"1]", what="x", limit=1 << 21)


def test_values_are_counted_as_at_least_as_many_as_there_are() -> None:
    for raw, values in {b"1": 1, b"[]": 1, b"[1,2]": 3, b'{"a":{"b":[]},"c":1}': 4}.items():
        assert count_values(raw) >= values
