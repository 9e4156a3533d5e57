"""Every log line has a fixed event name, and the guide lists the events with their levels and fields."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from app.docs import pages
from tests.test_readme import codes, rows

APP = Path(__file__).parents[2] / "app"
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
ALWAYS = {"exc_info"}
NAME = re.compile(r"[a-z_]+\.[a-z_]+")


def log_calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Yield the place, the call and the level of each log line of the program."""
    for file in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                logger = ast.unparse(node.func.value)
                if logger == "_log" or "get_logger(" in logger or "getLogger(" in logger:
                    yield f"{file.relative_to(APP)}:{node.lineno}", node, LEVELS[node.func.attr]


def test_every_log_line_has_a_literal_event_name_and_named_fields() -> None:
    for place, call, _ in log_calls():
        assert len(call.args) == 1, place
        (name,) = call.args
        assert isinstance(name, ast.Constant), place
        assert isinstance(name.value, str), place
        assert NAME.fullmatch(name.value), f"{place}: {name.value}"
        assert all(keyword.arg is not None for keyword in call.keywords), place


def test_the_guide_lists_every_event_with_its_level_and_fields_and_no_other() -> None:
    logged = defaultdict(set)
    for _, call, level in log_calls():
        fields = frozenset(keyword.arg for keyword in call.keywords if keyword.arg) - ALWAYS
        logged[ast.literal_eval(call.args[0])].add((level, fields))
    listed = {
        codes(row[0])[0]: {(row[1], frozenset(codes(row[2])))} for row in rows(pages()["log-events"].text, "event")
    }
    assert listed == logged


def test_no_other_logger_is_used() -> None:
    found = [
        str(file.relative_to(APP))
        for file in sorted(APP.rglob("*.py"))
        if re.search(r"logging\.getLogger\(|\bprint\(.*stderr", file.read_text(encoding="utf-8"))
    ]
    assert set(found) <= {"main.py", "telemetry/logging.py", "__main__.py"} | {
        name for name in found if name.startswith("cli/")
    }
