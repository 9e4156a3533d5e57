"""Every archive that real tools made, pushed to Pulp and read back, as at docker-registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.__main__ import main
from tests.interop.conftest import Site
from tests.interop.reader import PulpReader
from tests.peers.corpus import Case, cases
from tests.peers.reading import check_landed, check_refused

CASES = tuple(cases())


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_an_archive_of_another_tool_lands_at_pulp_or_is_refused(
    case: Case,
    site: Site,
    skopeo: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = "c/" + case.file.lower()
    reader = PulpReader(skopeo, site.nginx.url.removeprefix("http://"), prefix, tmp_path)
    for name, value in site.environ(site.nginx.url).items():
        monkeypatch.setenv(name, value)
    status = main(["push", str(case.path), "--prefix", prefix, "--data-dir", str(tmp_path), *case.arguments, "--json"])
    job = json.loads(capsys.readouterr().out)
    if case.refusal is not None:
        check_refused(case.refusal, status, job, reader)
    else:
        check_landed(reader, case, status, job)
