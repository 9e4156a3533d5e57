"""Options as they are typed."""

from __future__ import annotations

import pytest

from app.archive import Compression
from app.errors import InvalidReference, InvalidRequest
from app.oci import Platform
from app.push import PushOptions
from app.push.options import MAX_VALUE_LENGTH, MAX_VALUES


def test_nothing_given_is_the_defaults() -> None:
    assert PushOptions.parse({}) == PushOptions()
    assert PushOptions.parse({"tag": []}) == PushOptions()


def test_every_option_is_read() -> None:
    options = PushOptions.parse(
        {
            "tag": ["override:v3"],
            "rename": ["nginx:1=team/nginx:1", "a=b:2", "a=b:2"],
            "prefix": ["/mirror/x/"],
            "images": ["*/nginx:*", "a*"],
            "platforms": ["linux/amd64, linux/arm64/v8"],
            "layer_compression": ["zstd"],
            "format": ["oci-archive"],
            "dry_run": ["True"],
            "on_existing_tag": ["skip"],
        }
    )
    assert options == PushOptions(
        tag="override:v3",
        rename=(("nginx:1", "team/nginx:1"), ("a", "b:2")),
        prefix="mirror/x",
        images=("*/nginx:*", "a*"),
        platforms=(Platform("linux", "amd64"), Platform("linux", "arm64", "v8")),
        layer_compression=Compression.ZSTD,
        format="oci-archive",
        dry_run=True,
        on_existing_tag="skip",
    )


@pytest.mark.parametrize("text", ["false", "0", "no", "off"])
def test_dry_run_can_be_said_off(text: str) -> None:
    assert PushOptions.parse({"dry_run": [text], "prefix": ["/"]}) == PushOptions()


def test_the_same_value_twice_is_once() -> None:
    assert PushOptions.parse({"tag": ["a:1", "a:1"]}).tag == "a:1"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nonsense", ["1"]),
        ("tag", ["a:1", "b:1"]),
        ("rename", ["a:1"]),
        ("rename", ["=a:1"]),
        ("images", [""]),
        ("platforms", ["amd64"]),
        ("platforms", ["linux/amd64", "linux/arm64"]),
        ("layer_compression", ["xz"]),
        ("format", ["tar"]),
        ("dry_run", [""]),
        ("on_existing_tag", ["maybe"]),
        ("on_existing_tag", ["Skip"]),
        ("media_types", ["OCI"]),
        ("verify", ["everything"]),
        ("allow_missing", ["perhaps"]),
        ("images", ["*"] * (MAX_VALUES + 1)),
        ("images", ["*" * (MAX_VALUE_LENGTH + 1)]),
    ],
)
def test_a_wrong_value_is_refused_naming_the_option(name: str, values: list[str]) -> None:
    with pytest.raises(InvalidRequest, match=f"option `{name}`"):
        PushOptions.parse({name: values})


@pytest.mark.parametrize(
    ("name", "value"),
    [("tag", "app"), ("tag", "UPPER:v1"), ("tag", "../../x:v1"), ("rename", "a=b"), ("prefix", "a//b")],
)
def test_a_wrong_name_is_refused_naming_the_option(name: str, value: str) -> None:
    with pytest.raises(InvalidReference, match=f"option `{name}`"):
        PushOptions.parse({name: [value]})
