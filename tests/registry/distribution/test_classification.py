"""The table of failures, in the code and in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import OUTAGES, Failure
from app.registry.distribution.classification import (
    PROBATION_SECONDS,
    TABLE,
    Again,
    Course,
    Rule,
    Verdict,
    failure_of,
    is_over,
)

PAGE = Path(__file__).parents[3] / "app" / "docs" / "pushing.md"


def problem_of(rule: Rule) -> str:
    return ", ".join(f"`{code}`" for code in rule.codes) + (" ↻" if rule.retryable else "")


def test_every_failure_has_its_rule_and_the_documentation_shows_it() -> None:
    assert set(TABLE) == set(Failure)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| ")]
    shown = {row[0]: row[1:] for row in rows if len(row) == 5 and row[0] != "class"}
    assert shown == {
        failure.value: (rule.responses, rule.again, rule.verdict, problem_of(rule)) for failure, rule in TABLE.items()
    }


def test_what_an_error_says_before_anybody_judges_it_is_what_the_table_says() -> None:
    assert {failure for failure, rule in TABLE.items() if rule.verdict is Verdict.OUTAGE} == OUTAGES


def test_no_status_is_without_a_class() -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        for status in range(100, 1000):
            assert failure_of(method, status) in TABLE


@pytest.mark.parametrize("rule", TABLE.values(), ids=[failure.value for failure in TABLE])
def test_a_request_that_may_be_refused_is_not_sent_again_for_more_than_a_minute(rule: Rule) -> None:
    late = Course(tries=2, elapsed=PROBATION_SECONDS, patience_over=False)
    assert is_over(rule, late) is (rule.verdict is not Verdict.OUTAGE)
    first = Course(tries=1, elapsed=PROBATION_SECONDS, patience_over=False)
    assert is_over(rule, first) is (rule.again is Again.NEVER)
