from __future__ import annotations

import pytest

from app.registry.auth.challenge import Challenge, parse_challenges

BEARER = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"'


def read(*values: str) -> list[tuple[str, dict[str, str]]]:
    return [(challenge.scheme, dict(challenge.parameters)) for challenge in parse_challenges(values)]


def test_a_bearer_challenge_is_read_with_the_commas_inside_its_scope() -> None:
    assert read(BEARER) == [
        (
            "bearer",
            {
                "realm": "https://auth.example/token",
                "service": "registry.example",
                "scope": "repository:a/b:pull,push",
            },
        )
    ]


def test_several_challenges_may_stand_in_one_header_or_in_several() -> None:
    one = read(f'Basic realm="x", {BEARER}')
    assert one == read('Basic realm="x"', BEARER)
    assert [scheme for scheme, _ in one] == ["basic", "bearer"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Basic", [("basic", {})]),
        ("BASIC REALM=x", [("basic", {"realm": "x"})]),
        (r'Bearer realm="a \"b\" \\ c"', [("bearer", {"realm": 'a "b" \\ c'})]),
        ('Bearer realm = "x" ,  service= y', [("bearer", {"realm": "x", "service": "y"})]),
        ('Bearer realm="x",,service=y', [("bearer", {"realm": "x", "service": "y"})]),
        ("Negotiate YWJj==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Bearer realm="never ends', [("bearer", {})]),
        ("", []),
        ('="x"', []),
    ],
)
def test_odd_challenges_are_read_as_far_as_they_make_sense(value: str, expected: list[object]) -> None:
    assert read(value) == expected


def test_an_endless_challenge_is_cut() -> None:
    assert len(read("Basic, " * 100_000)) < 2000


def test_a_challenge_is_a_value() -> None:
    assert parse_challenges(["Basic"]) == (Challenge("basic", {}),)
