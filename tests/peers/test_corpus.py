"""Every archive that real tools made, pushed to a real registry and read back by another program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.__main__ import main
from tests.peers.corpus import Case, cases
from tests.peers.reading import Reader, check_landed, check_refused
from tests.support.docker_registry import DockerRegistry

CASES = tuple(cases())


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_an_archive_of_another_tool_lands_as_it_is_or_is_refused(
    case: Case,
    registry: DockerRegistry,
    skopeo: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    prefix = "c/" + case.file.lower()
    reader = Reader(skopeo, registry.address, prefix, tmp_path)
    record_property("peers", [case.file, case.tool, "refused: " + case.refusal if case.refusal else ""])
    arguments = [
        "push",
        str(case.path),
        "--registry-url",
        registry.url,
        "--prefix",
        prefix,
        "--data-dir",
        str(tmp_path),
    ]
    status = main([*arguments, *case.arguments, "--json"])
    job = json.loads(capsys.readouterr().out)
    if case.refusal is not None:
        check_refused(case.refusal, status, job, reader)
        return
    wanted = check_landed(reader, case, status, job)
    record_property("peers", [case.file, case.tool, ", ".join(sorted(wanted)) or "no images, which is no error"])


NAMELESS = tuple(case for case in CASES if case.arguments)


@pytest.mark.parametrize("case", NAMELESS, ids=[case.file for case in NAMELESS])
def test_an_archive_without_a_name_is_refused_where_none_is_given(
    case: Case, registry: DockerRegistry, skopeo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = "nameless/" + case.file.lower()
    arguments = ["--registry-url", registry.url, "--prefix", prefix, "--data-dir", str(tmp_path), "--json"]
    status = main(["push", str(case.path), *arguments])
    job = json.loads(capsys.readouterr().out)
    check_refused("missing_tag", status, job, Reader(skopeo, registry.address, prefix, tmp_path))


def test_the_corpus_is_whole() -> None:
    names = {case.file for case in CASES}
    assert names == {path.name for path in CASES[0].path.parent.iterdir()} - {"INDEX.md", "facts.json"}
    assert len(names) == 78
