"""The prose of the code: verbs first, terms of the glossary, few idioms; and short subjects of commits."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "app" / "docs" / "glossary.md"
MAX_IDIOMS = 2  # of each thousand words
MAX_SUBJECT = 60  # characters
LONG_SUBJECTS_UNTIL = "b9b7470"  # the rule is newer than this commit

# Words of the column "do not use" that plain English needs in other meanings.
AMBIGUOUS = {"answer", "attached", "but", "call", "fault", "field", "gate", "go", "knowledge", "letter", "look"}
AMBIGUOUS |= {"memory", "note", "place", "reach", "room", "sweep", "take", "to", "turn", "waiting", "way"}
AMBIGUOUS |= {"word", "words"}
# Constructions that are rare in technical English, and were frequent here.
IDIOMS = {
    "where, instead of if": r"\bwhere\b",
    "told, tells": r"\b(?:told|tells?|telling)\b",
    "is no X": r"\b(?:is|are|was|were|be) no\b(?! (?:longer|more)\b)",
    "stands": r"\b(?:stands?|stood|standing)\b(?!-alone)",
    "lies": r"\b(?:lies?|lain|lying)\b",
    "goes": r"(?<![\w.-])(?:go|goes|gone|went)\b(?!-)",
    "as X has it": r"\bas (?:\S+ ){1,5}(?:has|have) (?:it|them)\b",
    "anew": r"\banew\b",
    "whoever": r"\b(?:who|what|which|where|whom)ever\b",
    "beside": r"\bbesides?\b",
    "of its own": r"\bof (?:its|their|his|our|one's|a) own\b",
    "has to, is to": r"\b(?:has|have|had|is|are|was|were) to\b(?! (?:the|a|an)\b)",
    "leading Of, To": r"(?:^|[.:;?] )(?-i:Of|To) ",
    "nobody": r"\b(?:nobody|somebody|no one)\b",
    "holds": r"\b(?:holds?|held|holding)\b",
    "comes": r"\b(?:comes?|came|coming)\b",
    "one who": r"\b(?:ones?|those|that) who\b",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def prose() -> tuple[tuple[str, str], ...]:
    """Docstrings and comments of app, each with its file; code in backticks is left out."""
    return tuple(
        (file.relative_to(ROOT).as_posix(), re.sub(r"`[^`]*`", "X", text))
        for file in sorted((ROOT / "app").rglob("*.py"))
        for text in _texts(file.read_text(encoding="utf-8"))
    )


def _texts(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function | ast.ClassDef | ast.Module):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


def unused_terms() -> list[str]:
    rows = [line.strip().strip("|").split("|") for line in GLOSSARY.read_text(encoding="utf-8").splitlines()]
    columns = [row[2] for row in rows if len(row) == 3][2:]
    terms = {term.strip() for column in columns for term in re.split(r"[,/]", column)}
    return sorted(terms - {""} - AMBIGUOUS)


def test_no_prose_of_the_code_uses_a_term_that_the_glossary_replaces() -> None:
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, unused_terms()))})\b", re.IGNORECASE)
    found = [(file, match[0], text[:200]) for file, text in prose() if (match := pattern.search(text))]
    assert found == []


def test_idioms_are_as_rare_as_in_technical_english() -> None:
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in IDIOMS.values()]
    hits = [(file, text[:200]) for file, text in prose() if any(pattern.search(text) for pattern in patterns)]
    words = sum(len(re.findall(r"[A-Za-z][\w'-]*", text)) for _, text in prose())
    assert len(hits) <= words * MAX_IDIOMS / 1000, "\n".join(map(str, hits))


def test_the_subjects_of_commits_are_short() -> None:
    """A clone may have a part of the history, or none."""
    command = ["git", "log", "--no-merges", "--format=%s", f"{LONG_SUBJECTS_UNTIL}.."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert [subject for subject in done.stdout.splitlines() if len(subject) > MAX_SUBJECT] == []
