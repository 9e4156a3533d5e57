"""What app/docs/formats.md says of each producer, held to a small archive of it (tests/support/producers.py)."""

from __future__ import annotations

import json
import re

import pytest

from app.archive import FORMATS
from app.docs import pages
from app.errors import UnknownFormat
from tests.support.archives import Node, tar
from tests.support.opening import opened
from tests.support.producers import INSTALLERS, PRODUCERS, flux, kitops, model_kit, tekton

PAGE = pages()["formats"].text


def rows(heading: str) -> dict[str, list[str]]:
    """The table of a section, by the first cell of a row."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    table = [line.strip("|").split(" | ") for line in section[1].splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in table[1:]}


PRODUCED, INSTALLED = rows("Producers"), rows("Installers and bundles")


def test_every_row_is_a_case_and_every_format_has_a_row() -> None:
    assert list(PRODUCED) == list(PRODUCERS)
    assert list(INSTALLED) == list(INSTALLERS)
    assert {row[0].strip("`") for row in PRODUCED.values()} == {known.name for known in FORMATS}


@pytest.mark.parametrize("made_with", PRODUCERS)
def test_an_archive_of_a_producer_is_read_as_the_table_says(made_with: str) -> None:
    archive = opened(PRODUCERS[made_with].build())
    assert f"`{archive.format}`" == PRODUCED[made_with][0]
    assert sorted(name for entry in archive.images for name in entry.called) == sorted(PRODUCERS[made_with].names)
    assert not [note for note in archive.notes if "not pushed" in note and "zarf" not in note]


@pytest.mark.parametrize("made_with", INSTALLERS)
def test_what_holds_archives_is_refused_with_the_members_that_hold_images(made_with: str) -> None:
    with pytest.raises(UnknownFormat) as refused:
        opened(INSTALLERS[made_with].build())
    for member in INSTALLERS[made_with].holds:
        assert member.rpartition("/")[2] in str(refused.value)


@pytest.mark.parametrize("node", [flux(), tekton(), model_kit()])
def test_what_an_artifact_says_of_its_layers_is_kept(node: Node) -> None:
    archive = opened(tar(kitops({"ghcr.io/team/x": {"v1": node}})))
    assert [manifest.raw for manifest in archive.manifests.values()] == [node.raw]
    assert json.loads(node.raw)["layers"]


def test_kits_are_called_by_their_tags_and_those_without_one_are_told() -> None:
    first, second, untagged = model_kit(), tekton(), flux()
    kits = {"ghcr.io/team/model": {"v1": first, "latest": first}, "localhost/other": {"v2": second}}
    archive = opened(tar(kitops(kits, [untagged])))
    called = ("ghcr.io/team/model:v1", "ghcr.io/team/model:latest"), ("localhost/other:v2",)
    assert tuple(entry.called for entry in archive.images) == called
    assert untagged.digest in archive.notes[0]
