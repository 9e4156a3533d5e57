"""The YAML that programs write is read as they meant it; what readers differ in, or what grows, is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive.formats.plain_yaml import MAX_BYTES, MAX_DEPTH, MAX_LINES, Node, read_yaml
from app.errors import LimitExceeded, MalformedArchive
from tests.support.opening import taken_in

CORPUS = Path(__file__).parents[2] / "data" / "corpus"


def read(text: str) -> Node:
    return read_yaml(text.encode(), what="x.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# nothing\n\n   # here\n", None),
        ("---\n", None),
        ("--- # a comment\na: b\n", {"a": "b"}),
        ("a", "a"),
        ("a # b: c", "a"),
        ("{}", {}),
        ("[ ]", []),
        ("a: []\nb: { } # none\n", {"a": [], "b": {}}),
        ("a: 1.10\nb: true\nc: 0x10\n", {"a": "1.10", "b": "true", "c": "0x10"}),
        ("a:\nb: ~\nc: null\nd: ''\n", {"a": None, "b": None, "c": None, "d": ""}),
        ("127.0.0.1:5559:\n  images:\n", {"127.0.0.1:5559": {"images": None}}),
        ("url: https://charts.example.com/a#b\n", {"url": "https://charts.example.com/a#b"}),
        ("a::b: -1\n", {"a::b": "-1"}),
        ("a: b   # said ' and \"\n", {"a": "b"}),
        ("'it''s': 'a # b: c' # d\n", {"it's": "a # b: c"}),
        ('"a\\"b" : "\\\\ \\/ [x]"\n', {'a"b': "\\ / [x]"}),
        ("- a\n-\n- # none\n-   b\n", ["a", None, None, "b"]),
        ("a:\n- 1\n- 2\nb:\n  - 3\n", {"a": ["1", "2"], "b": ["3"]}),
        ("- a: 1\n  b:\n  - 2\n-\n  c: 3\n", [{"a": "1", "b": ["2"]}, {"c": "3"}]),
        ("- - a\n  - b\n- - c\n", [["a", "b"], ["c"]]),
        ("a:\r\n  - b\r\n", {"a": ["b"]}),
        ("a:\n  b\n", {"a": "b"}),
        ("  a: 1\n  b: 2\n", {"a": "1", "b": "2"}),
        ("a: \N{SNOWMAN}\n", {"a": "\N{SNOWMAN}"}),
    ],
)
def test_what_programs_write_is_read_as_they_meant_it(text: str, expected: Node) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: &x b",  # anchor
        "a: *x",  # alias
        "a: !!str b",  # tag
        "!x",
        "<<: a",  # merge key
        "<<:\n  a: b",
        "a: 1\na: 2",  # duplicate key
        "a: 1\n'a': 2",
        "a: 1\n---\nb: 2",  # several documents
        "a: 1\n...\n",
        "--- a",
        "%YAML 1.2\n---\na: b",
        "a:\tb",  # tabs
        "\ta: b",
        "a: b\x00",
        "a: b\x85c: d",  # the end of a line to YAML 1.1
        "a: b\u2028c: d",
        "\ufeffa: b",
        "a: b\rc: d",
        "a: |\n  b",  # block scalars
        "a: >-\n  b",
        "a: {b: c}",  # filled flow collections
        "a: [b]",
        "[a]: b",
        "a: [] b",
        "a: []#",
        "a: 'b",  # quotes
        'a: "b',
        'a: "\\x41"',
        "a: 'b' c",
        "a: 'b'#c",
        "'a'b: c",
        "'a' 'b': c",
        "a: b: c",
        "a: b:",
        "a: - b",
        "a: ? b",
        "? a\n: b",  # complex keys
        ": a",
        ":",
        "~: a",
        "null: a",
        "a: @b",
        "a: `b",
        "a:\n  b\n  c",  # scalars over several lines
        "- a\n  b",
        "a\nb",
        "a: b\n  c: d",
        "a:\n    b: 1\n  c: 2",  # indentation that fits nothing
        "  a: 1\nb: 2",
        "a: 1\n- b",
        "- b\na: 1",
        "a: 1\nb",
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(MalformedArchive, match=r"x\.yaml"):
        read(text)


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(MalformedArchive, match=r"x\.yaml is not UTF-8"):
        read_yaml(b"a: \xff", what="x.yaml")


def test_a_refusal_tells_the_line_and_not_the_value_which_may_be_a_secret() -> None:
    with pytest.raises(MalformedArchive) as refused:
        read("a: b\n# c\n  password: *hunter2\n")
    assert "line 3 of x.yaml" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_large_document_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitExceeded, match=f"at most {MAX_BYTES}"):
        read_yaml(b"#" * (MAX_BYTES + 1), what="x.yaml")
    with pytest.raises(LimitExceeded, match=f"at most {MAX_LINES}"):
        read_yaml(b"\n" * (MAX_LINES + 1), what="x.yaml")
    assert read_yaml(b"#" * MAX_BYTES, what="x.yaml") is None
    assert read_yaml(b"-\n" * MAX_LINES, what="x.yaml") == [None] * MAX_LINES


@pytest.mark.parametrize("style", ["- " * 16, "".join(" " * depth + "a:\n" for depth in range(16))])
def test_a_deep_document_is_refused(style: str) -> None:
    assert MAX_DEPTH == 16
    with pytest.raises(LimitExceeded, match="deeper than 16 levels"):
        read(style + (" " * 16) + "a")


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * (1 << 19) + "b",
        "'" + "''" * (1 << 18),
        '"' + '\\"' * (1 << 18),
        "[" + " " * (1 << 19),
        ": " * (1 << 18),
    ],
    ids=["spaces", "single quotes", "double quotes", "a bracket", "colons"],
)
def test_a_long_line_takes_no_longer_than_its_length(text: str) -> None:
    """It would take hours where a pattern tries every place again."""
    said = ""
    try:
        assert read(text) is not None
    except MalformedArchive as error:
        said = str(error)
    assert len(said) < 300


def test_the_lists_of_real_bundles_are_read() -> None:
    for file in ("mindthegap-bundle.tar", "mindthegap-image-bundle.tar"):
        index, source = taken_in((CORPUS / file).read_bytes())
        raw = index.read("images.yaml", source, MAX_BYTES)
        assert raw is not None
        assert read_yaml(raw, what=file) == {
            "127.0.0.1:5559": {"images": {"bench/app": ["1.0", "2.0"], "bench/multi": ["1"]}}
        }


PIECES = [
    "a",
    "b: ",
    ":",
    "-",
    "- ",
    "  ",
    "\n",
    "\n  ",
    "\n- ",
    "'",
    '"',
    "\\",
    "#",
    " #",
    "[]",
    "{}",
    "&",
    "*",
    "~",
    "<<",
    "---",
    "\t",
    "1",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(MalformedArchive, LimitExceeded):
        read(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(MalformedArchive, LimitExceeded):
        read_yaml(raw, what="x.yaml")


TEXTS = st.text("abz019 .:/#'\"\\-~[]{}&*!|>%@`,?", max_size=12)
NODES: st.SearchStrategy[Node] = st.recursive(
    st.none() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=12,
)


def written(node: Node, indent: int = 0) -> str:
    """`node` as a program would write it, below a key or a dash."""
    pad = "\n" + " " * indent
    if isinstance(node, dict) and node:
        return "".join(f"{pad}{json.dumps(key)}:{written(value, indent + 2)}" for key, value in node.items())
    if isinstance(node, list) and node:
        return "".join(f"{pad}-{written(value, indent + 2)}" for value in node)
    if isinstance(node, str):
        return " '" + node.replace("'", "''") + "'" if len(node) % 2 else " " + json.dumps(node)
    return {"None": " null", "[]": " []", "{}": " {}"}[str(node)]


@given(NODES)
def test_what_is_written_is_what_is_read(node: Node) -> None:
    assert read(written(node)) == node
