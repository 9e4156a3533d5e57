"""YAML is read as text; what readers differ in, or what grows, is refused."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive.yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Plain, read_members, read_yaml
from app.errors import LimitExceeded, MalformedArchive
from tests.support.opening import taken_in

CORPUS = Path(__file__).parents[1] / "data" / "corpus"


def read(text: str) -> Node:
    return read_yaml(text.encode(), what="x.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# nothing\n\n   # here\n", None),
        ("---\n", None),
        ("--- # a comment\na: b\n", {"a": "b"}),
        ("%YAML 1.2\n---\na: b\n...\n", {"a": "b"}),
        ("\ufeffa: b", {"a": "b"}),
        ("a", "a"),
        ("a # b: c", "a"),
        ("{}", {}),
        ("[ ]", []),
        ("a: []\nb: { } # none\n", {"a": [], "b": {}}),
        ("a: {b: c, 'd': [e, ~]}\n", {"a": {"b": "c", "d": ["e", None]}}),
        ("a: 1.10\nb: true\nc: 0x10\nd: 1:30\n", {"a": "1.10", "b": "true", "c": "0x10", "d": "1:30"}),
        ("a:\nb: ~\nc: null\nd: ''\n", {"a": None, "b": None, "c": None, "d": ""}),
        ("127.0.0.1:5559:\n  images:\n", {"127.0.0.1:5559": {"images": None}}),
        ("url: https://charts.example.com/a#b\n", {"url": "https://charts.example.com/a#b"}),
        ("a::b: -1\n", {"a::b": "-1"}),
        ("a: b   # said ' and \"\n", {"a": "b"}),
        ("'it''s': 'a # b: c' # d\n", {"it's": "a # b: c"}),
        ('"a\\"b" : "\\\\ \\/ [x] \\u263a\\x41"\n', {'a"b': "\\ / [x] \u263aA"}),
        ("- a\n-\n- # none\n-   b\n", ["a", None, None, "b"]),
        ("a:\n- 1\n- 2\nb:\n  - 3\n", {"a": ["1", "2"], "b": ["3"]}),
        ("- a: 1\n  b:\n  - 2\n-\n  c: 3\n", [{"a": "1", "b": ["2"]}, {"c": "3"}]),
        ("- - a\n  - b\n- - c\n", [["a", "b"], ["c"]]),
        ("a:\r\n  - b\r\n", {"a": ["b"]}),
        ("a:\n  b\n  c\n", {"a": "b c"}),
        ("a: b\n  c: d\n".replace(": d", ""), {"a": "b c"}),
        ('a: "b\n\n  c"\n', {"a": "b\nc"}),
        ("a: |\n  b\n  c\nd: >-\n  e\n  f\n", {"a": "b\nc\n", "d": "e f"}),
        ("  a: 1\n  b: 2\n", {"a": "1", "b": "2"}),
        ("? a\n: b\n", {"a": "b"}),
        ("1: a\ntrue: b\n", {"1": "a", "true": "b"}),
        ("'<<': a\n'~': b\n", {"<<": "a", "~": "b"}),
        ("a: &x b\n", {"a": "b"}),  # an anchor that nothing refers to
        ("a: \N{SNOWMAN}\n", {"a": "\N{SNOWMAN}"}),
    ],
)
def test_yaml_is_read_and_its_scalars_are_texts(text: str, expected: Node) -> None:
    assert read(text) == expected
    assert read_members(text.encode(), what="x.yaml") == (expected, ()) if isinstance(expected, dict) else True


def test_scalars_without_quotes_can_be_told_from_others() -> None:
    value = read("[1.10, '1.10', \"1.10\", >\n 1.10\n]".replace(">\n 1.10\n", "yes"))
    assert isinstance(value, list)
    assert [isinstance(item, Plain) for item in value] == [True, False, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x b\nc: *x",  # alias
        "&x [*x]",
        "a: !!str b",  # tag
        "!x",
        "! a",
        "%TAG ! tag:example.com,2000:\n---\n!x a",
        "!!map {a: b}",
        "<<: a",  # merge key
        "<<:\n  a: b",
        "a: 1\na: 2",  # duplicate key
        "a: 1\n'a': 2",
        "- {a: 1, a: 2}",
        "a: 1\n---\nb: 2",  # several documents
        "--- a\n--- b",
        "a: 1\n...\nb: 2",
        "%YAML 3.0\n---\na: b",
        "\ta: b",  # tabs
        "a:\n\t- b",
        "a: b\x00",
        "a: \x1b[1m",
        "a: [] b",
        "a: 'b",  # quotes
        'a: "b',
        'a: "\\q"',
        'a: "\\ud800"',
        "a: 'b' c",
        "'a'b: c",
        "'a' 'b': c",
        "a: b: c",
        "a: - b",
        "a: b:\n  c",
        "[a]: b",  # complex keys
        "? {a: b}\n: c",
        ": a",
        "~: a",
        "null: a",
        "a: @b",
        "a: `b",
        "a: {b",
        "a: [b}",
        "a\nb: c",
        "a:\n    b: 1\n  c: 2",  # indentation that fits nothing
        "  a: 1\nb: 2",
        "a: 1\n- b",
        "- b\na: 1",
        "a: 1\nb",
    ],
)
def test_what_readers_differ_in_or_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(MalformedArchive, match=r"x\.yaml"):
        read(text)


@pytest.mark.parametrize("raw", [b"a: \xff", b"a: \xed\xa0\x80", b"a: \xc0\xaf", b"\xfe\xff\x00a\xd8\x00\x00b"])
def test_what_is_no_text_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedArchive, match=r"x\.yaml"):
        read_yaml(raw, what="x.yaml")


def test_a_refusal_tells_the_line_and_not_the_value_which_may_be_a_secret() -> None:
    for value in ("*hunter2", "!hunter2 a", "'hunter2", "[hunter2", "%hunter2", "a: hunter2"):
        with pytest.raises(MalformedArchive) as refused:
            read(f"a: b\n# c\n  password: {value}\n".replace("  password", "password"))
        assert re.search(r"line [34] of x\.yaml", str(refused.value)), refused.value
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "members", "problem"),
    [
        ("a: 1\na: 2\n", {"a": "2"}, None),  # the last counts
        ("a: 1\n---\n*x\n", {"a": "1"}, None),  # a second document is not looked at
        ("a: &x 1\nb: [*x]\nc: 3\n", {"a": "1", "c": "3"}, "line 2 of x.yaml"),
        ("a: !!str 1\nb: 2\n", {"b": "2"}, "line 1 of x.yaml"),
        ("a: {~: 1}\nb: 2\n", {"b": "2"}, "line 1 of x.yaml"),
        ("<<: {a: 1}\nb: 2\n", {"b": "2"}, "line 1 of x.yaml"),
        ("a: 1\nb: 'c\n", {"a": "1"}, "line 3 of x.yaml"),
        (f"a: 1\nb: {'[' * MAX_DEPTH}", {"a": "1"}, "16 levels"),
    ],
)
def test_of_a_mapping_that_is_not_read_whole_the_other_members_are_read(
    text: str, members: Node, problem: str | None
) -> None:
    read_so_far, problems = read_members(text.encode(), what="x.yaml")
    assert read_so_far == members
    assert problem in problems[0] if problem else not problems


@pytest.mark.parametrize("text", ["", "- a", "a", "*x", "a: b\x00"])
def test_what_is_no_mapping_has_no_members(text: str) -> None:
    with pytest.raises(MalformedArchive):
        read_members(text.encode(), what="x.yaml")


def test_a_large_document_is_refused() -> None:
    with pytest.raises(LimitExceeded, match=f"{MAX_BYTES}"):
        read_yaml(b"#" * (MAX_BYTES + 1), what="x.yaml")
    with pytest.raises(LimitExceeded, match="10"):
        read_yaml(b"#" * 11, what="x.yaml", limit=10)
    with pytest.raises(LimitExceeded, match=f"{MAX_NODES}"):
        read_yaml(b"-\n" * MAX_NODES, what="x.yaml")
    assert read_yaml(b"#" * MAX_BYTES, what="x.yaml") is None
    assert read_yaml(b"-\n" * (MAX_NODES - 1), what="x.yaml") == [None] * (MAX_NODES - 1)


@pytest.mark.parametrize(
    "text",
    [
        "- " * 16 + "a",
        "".join(" " * depth + "a:\n" for depth in range(16)) + " " * 16 + "a",
        "[" * 1_000_000,
        "{a: " * 250_000,
        "[{" * 500_000,
        "? " * 500_000,
        "- " * 500_000,
        "? [" * 300_000,
    ],
    ids=["list", "mapping", "flow lists", "flow mappings", "both", "keys", "lists", "keys of lists"],
)
def test_a_deep_document_is_refused_before_it_takes_long(text: str) -> None:
    assert MAX_DEPTH == 16
    with pytest.raises(LimitExceeded, match="16 levels"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * (1 << 19) + "b",
        "'" + "''" * (1 << 18),
        '"' + '\\"' * (1 << 18),
        "[" + " " * (1 << 19),
        ": " * (1 << 18),
        "a:" * (1 << 18),
        "a: >\n" + "  b\n" * (1 << 17),
        "{" + "a, " * (1 << 15),
        "&a " * (1 << 18),
        "a:\n" + "\n" * (1 << 19),
    ],
    ids=["spaces", "single", "double", "bracket", "colons", "keys", "folded", "flow", "anchors", "lines"],
)
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    """It would take hours if the time grew with the square."""
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
    with suppress(MalformedArchive, LimitExceeded):
        read_members(raw, what="x.yaml")


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
