"""What a release is made of is written down, and can be compared with advisories where there is no network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from deploy import advisories, sbom

ROOT = Path(__file__).parents[1]


def advisory(name: str = "Demo.Package", **affected: Any) -> dict[str, Any]:
    span = {"type": "ECOSYSTEM", "events": affected.pop("events", [{"introduced": "0"}])}
    package = {"ecosystem": affected.pop("ecosystem", "PyPI"), "name": name}
    return {"id": "PYSEC-1", "aliases": ["CVE-1"], "affected": [{"package": package, "ranges": [span], **affected}]}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.lock"
    file.write_text("demo-package==1.5.0 ; python_version < '4' \\\n    --hash=sha256:00\nother[extra]==2\n")
    return file


@pytest.mark.parametrize(
    ("events", "is_found"),
    [
        ([{"introduced": "0"}], True),
        ([{"introduced": "0"}, {"fixed": "1.5.0"}], False),
        ([{"introduced": "0"}, {"fixed": "1.5.1"}], True),
        ([{"introduced": "1.5.0"}, {"last_affected": "1.5.0"}], True),
        ([{"introduced": "0"}, {"last_affected": "1.4.9"}], False),
        ([{"introduced": "1.5.1"}], False),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.4"}, {"fixed": "2"}], True),
        ([{"fixed": "2"}, {"introduced": "1.4"}, {"fixed": "1.0"}, {"introduced": "0"}], True),
        ([{"introduced": "1.5.0rc1"}, {"fixed": "1.5.0.post1"}], True),
        ([{"introduced": "nonsense"}], True),
    ],
)
def test_a_range_is_read_as_osv_means_it(lock: Path, events: list[dict[str, str]], is_found: bool) -> None:
    found = list(advisories.findings(advisories.pins([lock]), [advisory(events=events)]))
    assert bool(found) is is_found


def test_versions_ecosystems_and_withdrawn_advisories_count(lock: Path) -> None:
    none: list[dict[str, str]] = []
    packages = advisories.pins([lock])
    assert list(advisories.findings(packages, [advisory(events=none, versions=["1.5", "x"])]))
    assert not list(advisories.findings(packages, [advisory(events=none, versions=["1.4"])]))
    assert not list(advisories.findings(packages, [advisory(ecosystem="npm")]))
    assert not list(advisories.findings(packages, [{**advisory(), "withdrawn": "2026-01-01T00:00:00Z"}]))


@pytest.mark.parametrize("form", ["file", "list", "directory", "yaml", "zip"])
def test_a_database_comes_in_every_form_and_what_is_found_is_told(
    form: str, lock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / {"directory": "database", "yaml": "database", "zip": "all.zip"}.get(form, "one.json")
    text = json.dumps([advisory()] if form == "list" else advisory())
    if form in {"directory", "yaml"}:
        (database / "vulns").mkdir(parents=True)
        (database / "vulns" / f"one.{'yaml' if form == 'yaml' else 'json'}").write_text(text)
    elif form == "zip":
        with zipfile.ZipFile(database, "w") as archive:
            archive.writestr("one.json", text)
    else:
        database.write_text(text)
    assert advisories.main([str(database), str(lock)]) == 1
    assert capsys.readouterr().out == "demo-package 1.5.0: PYSEC-1, CVE-1; no version has it fixed\n"


def test_what_tells_nothing_is_no_good_news(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.lock").write_text("# nothing\n")
    (tmp_path / "good.json").write_text(json.dumps(advisory("unrelated")))
    for name, text in (("bad.json", "{"), ("other.json", "[1]"), ("none.json", "[]"), ("bad.yaml", "a: [")):
        (tmp_path / name).write_text(text)
        assert advisories.main([str(tmp_path / name), str(lock)]) == 2
    assert advisories.main([str(tmp_path / "good.json"), str(lock)]) == 0
    assert advisories.main([str(tmp_path / "good.json")]) == 0
    for arguments in ([], ["--help"], ["gone"], ["empty"], ["good.json", "gone.lock"], ["good.json", "empty.lock"]):
        assert advisories.main([str(tmp_path / argument) for argument in arguments]) == 2


def test_the_documents_name_every_package_of_the_lock_and_the_base_image(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, ROOT / "deploy" / "sbom.py", tmp_path], check=True, capture_output=True)
    assert done.stdout.count(b"components") == 2
    wheel, image = (
        json.loads((tmp_path / f"tarmac-{__version__}{end}.cdx.json").read_text()) for end in ("", "-image")
    )
    pinned = set(advisories.pins([sbom.LOCK]))
    named = {part["name"] for part in wheel["components"]}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in named} >= pinned
    assert named >= {"swagger-ui-dist", "tus-js-client"}
    assert [part["name"] for part in image["components"] if part["type"] == "container"] == ["docker.io/library/python"]
    assert "/work/" not in json.dumps([wheel, image])
