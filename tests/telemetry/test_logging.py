"""`configure_logging`: levels, formats, and lines of other libraries."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import structlog

from app.telemetry.logging import configure_logging

LEVELS = ("debug", "info", "warning", "error")


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("level", LEVELS)
def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str], level: str) -> None:
    configure_logging(level, text=False)
    for name in LEVELS:
        getattr(structlog.get_logger("app.x"), name)("x.happened", place=name)
    assert [line["level"] for line in written(capsys)] == list(LEVELS[LEVELS.index(level) :])


@pytest.mark.parametrize("level", LEVELS)
def test_other_libraries_write_warnings_and_errors_at_most(capsys: pytest.CaptureFixture[str], level: str) -> None:
    configure_logging(level, text=False)
    for name in LEVELS:
        logging.getLogger("httpcore.http11").log(logging.getLevelNamesMapping()[name.upper()], "header %s", "geheim")
    lines = written(capsys)
    assert [line["level"] for line in lines] == (["error"] if level == "error" else ["warning", "error"])
    assert {(line["event"], line["message"]) for line in lines} == {("library.message", "header geheim")}


def test_a_json_line_has_its_time_level_logger_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(text=False)
    structlog.get_logger("app.x").info("x.happened", job="1", code=None)
    (line,) = written(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "x.happened", "level": "info", "logger": "app.x", "job": "1", "code": None}


def test_text_that_is_not_for_a_terminal_has_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(text=True)
    structlog.get_logger("app.x").info("x.happened", job="1")
    text = capsys.readouterr().err
    assert "x.happened" in text
    assert "\x1b" not in text
