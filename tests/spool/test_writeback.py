"""Bytes are sent on to the disk in windows, each once."""

from __future__ import annotations

import ctypes

import pytest

from app.spool import writeback
from app.spool.writeback import WINDOW_BYTES, Writeback


def test_each_window_is_begun_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []

    def record(_: int, offset: ctypes.c_int64, size: ctypes.c_int64, flags: ctypes.c_uint) -> None:
        assert flags.value == 2
        begun.append((offset.value, size.value))

    monkeypatch.setattr(writeback, "_sync_file_range", record)
    file = Writeback()
    for size in (1, WINDOW_BYTES - 1, WINDOW_BYTES + 7, WINDOW_BYTES + 8, 3 * WINDOW_BYTES):
        file.advance(0, size)
    assert begun == [(0, WINDOW_BYTES + 7), (WINDOW_BYTES + 7, 2 * WINDOW_BYTES - 7)]


def test_where_the_system_has_no_such_call_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writeback, "_sync_file_range", None)
    Writeback().advance(-1, 2 * WINDOW_BYTES)


def test_a_refusal_is_no_error() -> None:
    Writeback().advance(-1, 2 * WINDOW_BYTES)
