from __future__ import annotations

import pytest

from app.api.requests.byte_range import ByteRange, RangeNotSatisfiable, parse_range

SIZE = 100


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=99-", (99, 100)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-100", (0, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=0-9999999999999999999", (0, 100)),
        ("Bytes= 1-2 ", (1, 3)),
    ],
)
def test_one_range_is_cut_to_the_content(header: str, expected: tuple[int, int]) -> None:
    assert parse_range(header, SIZE) == ByteRange(*expected)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=1--2",
        "bytes=5-4",
        "bytes=+1-2",
        "bytes=１-２",
        "items=0-1",
        "0-1",
        "bytes=0-1,2-3",
        "bytes=0-0" + ",0-0" * 10_000,
        "bytes=" + "9" * 10_000 + "-",
        "bytes=0-" + "9" * 20,
    ],
)
def test_what_is_no_single_range_asks_for_everything(header: str | None) -> None:
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)],
)
def test_a_range_outside_of_the_content_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, size)
