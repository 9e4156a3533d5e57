"""What an archive may cost at most: every limit stops at its number, and the hostile archives of the past are cheap."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.archive import DEFAULT_LIMITS, TarIndex, index_file
from app.errors import LimitExceeded
from tests.archive.tar_blocks import END, Bytes, extension, feed, file, header, index, link, outcome, pax, record

_CHAIN = pax(("mtime", "1")) + extension(b"L", b"b\0") + extension(b"K", b"c\0")


def test_members_are_counted_also_where_a_name_repeats() -> None:
    limits = replace(DEFAULT_LIMITS, members=3)
    index(header("d/", 0, b"5") * 3 + END, limits)
    with pytest.raises(LimitExceeded, match="3 members"):
        index(header("d/", 0, b"5") * 4 + END, limits)


def test_a_member_larger_than_an_archive_may_be_is_refused() -> None:
    limits = replace(DEFAULT_LIMITS, unpacked_bytes=512)
    index(file("a", bytes(512)) + END, limits)
    with pytest.raises(LimitExceeded, match=r"'a'.*513 bytes.*512"):
        index(file("a", bytes(513)) + END, limits)


def test_headers_and_extensions_together_have_a_limit() -> None:
    limits = replace(DEFAULT_LIMITS, header_bytes=2048)
    index(pax(("path", "b")) + file("a") + file("c") + END, limits)
    with pytest.raises(LimitExceeded, match="2048 bytes"):
        index(pax(("path", "b")) + file("a") + file("c") + file("d") + END, limits)
    with pytest.raises(LimitExceeded, match="2048 bytes"):
        index(pax(("comment", "x"), type_=b"g") * 3 + END, limits)


@pytest.mark.parametrize("type_", [b"x", b"g", b"L", b"K"])
def test_an_extension_that_claims_gigabytes_is_refused_at_its_header(type_: bytes) -> None:
    with pytest.raises(LimitExceeded, match=r"byte 512.*8589934591 bytes.*65536"):
        index(file("a") + header("ext", 8589934591, type_) + file("b") + END)


@pytest.mark.parametrize("chain", [_CHAIN, _CHAIN + extension(b"K", b"c\0") * 2000])
def test_chained_extensions_are_refused(chain: bytes) -> None:
    limits = replace(DEFAULT_LIMITS, extensions_per_member=2)
    index(_CHAIN[:2048] + file("a") + END, limits)
    with pytest.raises(LimitExceeded, match=r"2 extension.*byte 2048"):
        index(chain + file("a") + END, limits)


def test_a_pax_header_has_a_limit_of_records() -> None:
    index(extension(b"x", record("a", "b") * 64) + file("a") + END)
    with pytest.raises(LimitExceeded, match="64 PAX"):
        index(extension(b"x", record("a", "b") * 65) + file("a") + END)


def _hostile() -> Iterator[tuple[str, bytes]]:
    yield "300,000 PAX digits", extension(b"x", b"1" * 60_000) + file("a")
    yield "sixty headers of digits", extension(b"x", b"1" * 20_000) * 60
    yield "a million PAX records", extension(b"x", b"6 a=b\n" * 10_000) * 100 + file("a")
    yield "2,000 chained headers", pax(("path", "a")) * 2000 + file("a")
    yield "2,000 chained long names", extension(b"L", b"a\0") * 2000 + file("a")
    yield "global headers without end", pax(*((f"k{n}", "v") for n in range(60)), type_=b"g") * 400
    yield "a negative size", header("a", b"\xff" * 10 + b"\xfe\x00") + file("b")
    yield "2**80 bytes", header("a", b"\x80\0\x01" + bytes(9)) + file("b")
    yield "a name of many parts", pax(("path", "a/" * 32_000)) + file("a")
    yield "a target of many parts", pax(("linkpath", "../" * 21_000)) + link("a", "b")
    yield "one name 10,000 times", file("a", b"x") * 10_000
    yield "equals signs only", extension(b"x", b"60000 " + b"=" * 59_000) + file("a")
    yield "no equals sign", extension(b"x", b"60000 " + b"k" * 59_993 + b"\n") + file("a")


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in _hostile()])
def test_a_hostile_archive_is_decided_quickly_and_in_little_memory(data: bytes) -> None:
    tracemalloc.start()
    started = time.process_time()
    told = outcome(lambda: feed(data, len(data)))
    spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(told, TarIndex) or len(str(told)) < 2000
    assert spent < 5
    assert peak < 32 << 20


def test_links_that_repeat_and_fork_are_followed_once_each() -> None:
    data = b"".join(link(f"l{n}", f"{'./' * more}l{n + 1}") for n in range(7) for more in range(16)) + file("l7", b"x")
    archive = index_file(Bytes(data), len(data))
    started = time.process_time()
    for _ in range(200):
        assert archive.extent("l0") == archive.extent("l7")
    assert time.process_time() - started < 10


def test_large_members_cost_one_read_each() -> None:
    data = b"".join(file(f"f{n}", bytes(100_000)) for n in range(50)) + END
    source = Bytes(data)
    assert len(list(index_file(source, len(data)).files())) == 50
    assert source.reads <= 51


@pytest.mark.parametrize(
    "data", [pax(("path", "n" * 4097)) + file("a"), pax(("linkpath", "n" * 4097)) + link("a", "b")]
)
def test_a_name_that_no_file_system_takes_is_refused(data: bytes) -> None:
    index(pax(("path", "n" * 4096)) + file("a") + END)
    with pytest.raises(LimitExceeded, match="4096 characters"):
        index(data + END)


def test_all_names_together_have_a_limit() -> None:
    limits = replace(DEFAULT_LIMITS, name_bytes=4)
    index(file("ab") + link("c", "d") + END, limits)
    with pytest.raises(LimitExceeded, match="4 characters"):
        index(file("ab") + link("c", "de") + END, limits)
