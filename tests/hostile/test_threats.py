"""Every threat of the table has its proof, and the proof is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tests.hostile
from tests.hostile.catalogue import GROUPS

ROOT = Path(__file__).parents[2]
TABLE = tests.hostile.__doc__ or ""
ROWS = dict(re.findall(r"^(T[0-9]+) +(.*(?:\n     .*)*)", TABLE, re.MULTILINE))


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_table_has_the_rows_that_concern_archives_and_paths() -> None:
    assert list(ROWS) == [*(f"T{number}" for number in range(1, 11)), "T14"]


@pytest.mark.parametrize("row", ROWS)
def test_a_threat_has_a_proof_that_exists(row: str) -> None:
    *_, control, proofs = re.sub(r",\n +", ", ", ROWS[row]).splitlines()
    assert control.strip()
    for proof in proofs.strip().split(", "):
        file, _, name = proof.partition("::")
        assert file in GROUPS or (ROOT / file).is_file(), proof
        assert not name or name in names_in(file), proof
