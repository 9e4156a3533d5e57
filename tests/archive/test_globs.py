from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive import globs
from app.archive.globs import MAX_GLOB_CHARACTERS, Globs
from app.errors import LimitExceeded

TEXT = st.text(alphabet="ab*?[]!-/.:", max_size=8)


@given(patterns=st.lists(TEXT, min_size=1, max_size=5), name=TEXT)
def test_a_name_matches_as_with_the_standard_library(patterns: list[str], name: str) -> None:
    expected = name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    assert Globs(patterns, "images").match(name) == expected


@pytest.mark.parametrize("pattern", ["*" * MAX_GLOB_CHARACTERS + "a", "*[ab]" * MAX_GLOB_CHARACTERS])
def test_patterns_that_are_too_long_together_are_refused(pattern: str) -> None:
    with pytest.raises(LimitExceeded):
        Globs([pattern], "images")
    half = len(pattern) // 2
    with pytest.raises(LimitExceeded):
        Globs([pattern[:half] + "x", pattern[half:] + "y*"], "images")


def test_names_are_refused_once_their_patterns_have_cost_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globs, "MAX_STEPS", 100)
    wanted = Globs(["*[ab]*", "exact"], "images")  # 6 characters
    assert wanted.match("exact")
    assert not wanted.match("0123456789")
    with pytest.raises(LimitExceeded):
        wanted.match("0123456789")


def test_whole_names_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globs, "MAX_STEPS", 0)
    wanted = Globs([f"team/app{number}:1" for number in range(1000)], "images")
    assert wanted.match("team/app999:1")
    assert not wanted.match("team/app1000:1")
