"""Options from wherever they come."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from app.api.requests.options import MAX_PATHS, MAX_WAIT_SECONDS, OPTIONS, Options, parse_wait
from app.errors import InvalidRequest
from app.push import PushOptions


def options(*pairs: tuple[str, str]) -> Options:
    made = Options()
    made.add_all(pairs)
    return made


def of_json(**members: Any) -> Options:
    made = Options()
    made.add_json({"paths": ["/a"], **members})
    return made


def test_every_option_of_a_push_can_be_given_here() -> None:
    assert {field.name for field in fields(PushOptions)} <= set(OPTIONS)


def test_an_unknown_option_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"tgg.*layer_compression"):
        options(("tgg", "a"))


def test_the_same_option_twice_must_have_one_value() -> None:
    assert options(("tag", "a:1"), ("tag", "a:1")).job_request().options.tag == "a:1"
    with pytest.raises(InvalidRequest, match="different values"):
        options(("tag", "a:1"), ("tag", "b:1"))


def test_repeatable_options_keep_every_value() -> None:
    request = options(("images", "a*"), ("images", "b*"), ("label", "k=v"), ("label", "l=w=x")).job_request()
    assert request.options.images == ("a*", "b*")
    assert request.labels == {"k": "v", "l": "w=x"}


@pytest.mark.parametrize("labels", [["k"], ["=v"], ["k=v", "k=w"], ["k=" + "v" * 300]])
def test_a_label_is_key_and_value_and_has_one(labels: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="label"):
        options(*(("label", label) for label in labels)).job_request()


@pytest.mark.parametrize("text", ["sha256:12", "md5:" + "a" * 32, "a" * 64])
def test_a_checksum_is_sha256_and_64_hex(text: str) -> None:
    with pytest.raises(InvalidRequest, match="checksum"):
        options(("checksum", text)).job_request()


def test_an_option_is_not_read_without_end() -> None:
    with pytest.raises(InvalidRequest, match="more than"):
        options(*(("images", str(number)) for number in range(2_001)))


def test_json_gives_options_in_its_own_types() -> None:
    request = of_json(
        dry_run=True, platforms=["linux/amd64", "linux/arm64"], rename={"a:1": "b:1"}, label=["k=v"], tag=None, wait=1.5
    ).job_request()
    assert request.paths == ("/a",)
    assert request.options.dry_run
    assert request.options.tag is None
    assert [str(platform) for platform in request.options.platforms] == ["linux/amd64", "linux/arm64"]
    assert request.options.rename == (("a:1", "b:1"),)
    assert request.labels == {"k": "v"}


@pytest.mark.parametrize("paths", [None, [], "/a", [1], ["/a"] * (MAX_PATHS + 1)])
def test_paths_are_a_list_of_texts(paths: Any) -> None:
    with pytest.raises(InvalidRequest, match="paths"):
        Options().add_json({"paths": paths})


@pytest.mark.parametrize("value", [[[]], {"a": []}, [None]])
def test_an_option_of_json_is_no_structure(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be a text"):
        of_json(rename=value)


def test_a_json_false_is_false() -> None:
    assert not of_json(dry_run=False).job_request().options.dry_run


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", "", str(MAX_WAIT_SECONDS + 1)])
def test_a_wait_is_a_bounded_number_of_seconds(text: str) -> None:
    with pytest.raises(InvalidRequest, match="wait"):
        parse_wait(text)


def test_a_preference_to_wait_is_the_option_unless_that_is_given() -> None:
    asked = options()
    asked.add_prefer_header(['respond-async, wait="7"', "handling=lenient"])
    assert asked.wait_seconds() == 7
    asked = options(("wait", "3"))
    asked.add_prefer_header(["wait=7"])
    assert asked.wait_seconds() == 3
    assert options().wait_seconds() is None


def test_a_digest_field_and_another_checksum_contradict_each_other() -> None:
    asked = options(("checksum", "sha256:" + "0" * 64))
    with pytest.raises(InvalidRequest, match="checksum"):
        asked.add_digest_headers(["sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=:"])
