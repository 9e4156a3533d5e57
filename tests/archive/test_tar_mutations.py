"""Valid archives, bent: whatever comes of it, it comes soon, is the same however the bytes arrive, and is an index of
extents inside the archive or an error of the tree."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive import MemberKind, TarIndex
from app.errors import TarmacError
from tests.archive.tar_blocks import END, Bytes, extension, feed, file, header, link, outcome, pax
from tests.support import archives

SEEDS = (
    file("a", b"1" * 700) + link("l", "a") + header("d/", 0, b"5") + file("d/f", b"x") + END,
    pax(("path", "ü" * 90), ("size", "5")) + file("a", b"12345") + link("h", "a", b"1") + END,
    extension(b"L", b"n" * 120 + b"\0") + extension(b"K", b"t" * 120 + b"\0") + link("l", "t") + file("e") + END,
    archives.tar([archives.Member("p", b"content", pax={"comment": "x"}), archives.Member("q", hardlink="p")]),
    archives.docker_save([archives.tagged(archives.image({"a": b"1"}), "a:1")]),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        # half of all strokes fall on the first blocks, where the headers are
        place = draw(st.integers(0, len(data)) | st.integers(0, min(1536, len(data))))
        end = min(len(data), place + draw(st.sampled_from((1, 2, 12, 100, 512, 513, 1024, 4096))))
        stroke = draw(st.sampled_from(("flip", "set", "cut", "drop", "repeat", "splice", "seal")))
        if stroke == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif stroke == "set":
            data[place:end] = draw(st.binary(min_size=end - place, max_size=end - place)) if end - place < 99 else b""
        elif stroke == "cut":
            del data[place:]
        elif stroke == "drop":
            del data[place:end]
        elif stroke == "repeat":
            data[place:place] = data[place:end]
        elif stroke == "splice":
            data[place:place] = draw(st.sampled_from(SEEDS))[: end - place]
        elif stroke == "seal":
            _seal(data, place // 512 * 512)
    return bytes(data)


def _seal(data: bytearray, at: int) -> None:
    """Give the header at `at` its right checksum, so that a stroke before gets past it."""
    if at + 512 <= len(data):
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])


@settings(max_examples=250)
@given(mutated(), st.integers(1, 1600))
def test_a_bent_archive_is_read_or_refused_and_always_the_same(data: bytes, step: int) -> None:
    whole = outcome(lambda: feed(data, max(1, len(data))))
    assert outcome(lambda: feed(data, step)) == whole
    if isinstance(whole, TarIndex):
        _check(whole, data)


def _check(index: TarIndex, data: bytes) -> None:
    ends = 0
    for member in index.files():
        assert member.extent.offset % 512 == 0
        assert member.extent.offset + member.extent.size <= len(data)
    for member in sorted(index.files(), key=lambda one: one.extent.offset):
        assert member.extent.offset >= ends  # no byte belongs to two files
        ends = member.extent.offset + member.extent.size
    for name in index.members:
        with suppress(TarmacError):
            index.read(name, Bytes(data), 1 << 20)


@settings(max_examples=150)
@given(mutated())
def test_what_is_taken_is_what_the_standard_library_lists(data: bytes) -> None:
    index = outcome(lambda: feed(data, max(1, len(data))))
    if not isinstance(index, TarIndex):
        return
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errors="backslashreplace") as oracle:
        listed = [(info.offset_data, info.size) for info in oracle.getmembers() if info.isfile()]
    ours = sorted((member.extent.offset, member.extent.size) for member in index.files())
    assert ours == listed


@settings(max_examples=100)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert outcome(lambda: feed(data, 7)) == outcome(lambda: feed(data, 3000))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=140)
HONEST = NAMES.filter(lambda name: not name.startswith("/") and not set(name.split("/")) & {"", ".", ".."})


@settings(max_examples=60)
@given(
    st.dictionaries(HONEST, st.binary(max_size=1100), max_size=8),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 2000),
)
def test_what_the_standard_library_writes_is_read_back(contents: dict[str, bytes], style: int, step: int) -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=style) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    data = held.getvalue()
    index = feed(data, step)
    assert list(index.members) == list(contents)
    assert all(member.kind is MemberKind.FILE for member in index.files())
    for name, content in contents.items():
        assert index.read(name, Bytes(data), 2000) == content


@pytest.mark.parametrize("seed", SEEDS)
def test_every_single_cut_is_told_or_harmless(seed: bytes) -> None:
    whole = feed(seed, len(seed))
    last = max(
        member.extent.offset + -(-member.extent.size // 512) * 512
        for members in whole.members.values()
        for member in members
    )
    for cut in range(0, len(seed), 37):
        told = outcome(lambda cut=cut: feed(seed[:cut], 1000))  # type: ignore[misc]
        if isinstance(told, TarIndex):
            assert cut % 512 == 0 or cut >= last + 1024  # the end was there
            assert cut >= last or len(told.members) < len(whole.members)
