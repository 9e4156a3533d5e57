"""`tarmac send` against a running service: several files, broken connections, a second run, refusals."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from app.__main__ import main
from app.auth.model import Role
from app.auth.token_file import TokenHolder
from app.auth.token_file_edit import add_holder
from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image, tagged
from tests.support.counting_proxy import CountingProxy

TOKEN = "correct-horse-battery"
LARGE = docker_save([tagged(image({"bin/app": b"app" * 1_000_000}), "example.com/team/large:1")])
SMALL = docker_save([tagged(image({"a": b"1"}), "example.com/team/small:1")])
OTHER = docker_save([tagged(image({"a": b"2"}), "example.com/team/other:1")])
CUT = 300_000  # bytes after which a connection breaks
Send = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("send")
    digest = hashlib.sha256(TOKEN.encode()).digest()
    add_holder(folder / "tokens", TokenHolder("ci", digest, frozenset({Role.PUSH, Role.READ})))
    with service(folder / "data", TARMAC_TOKENS_FILE=str(folder / "tokens")) as started:
        yield started


@pytest.fixture
def send(running: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Send:
    """Runs the command in an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TARMAC_SERVER", running.url)
    monkeypatch.setenv("TARMAC_TOKEN", TOKEN)

    def run(*arguments: str, **files: bytes) -> tuple[int, str, str]:
        for name, content in files.items():
            Path(f"{name}.tar").write_bytes(content)
        status = main(["send", *arguments, *(f"{name}.tar" for name in files)])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def line(running: Service) -> Iterator[CountingProxy]:
    with CountingProxy(urlsplit(running.url).port or 0) as proxy:
        yield proxy


def tags(running: Service, repository: str) -> list[str]:
    request = Request(f"{running.url}/v2/{repository}/tags/list", headers={"Authorization": f"Bearer {TOKEN}"})
    with urlopen(request, timeout=10) as response:
        found: list[str] = json.load(response)["tags"]
    return found


def test_each_file_is_a_job_and_one_bad_file_stops_no_other(running: Service, send: Send) -> None:
    status, out, _ = send("--delivery", "disk 7", small=SMALL, bad=SMALL[:1024], other=OTHER)
    assert status == 1
    assert tags(running, "team/small") == tags(running, "team/other") == ["1"]
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith(("succeeded", "failed"))] == [
        "succeeded",
        "failed",
        "succeeded",
    ]
    jobs = running.curl("-H", f"Authorization: Bearer {TOKEN}", "/jobs?delivery=disk%207")[1]["jobs"]
    assert len(jobs) == 3


def test_an_upload_continues_after_its_connection_broke(send: Send, line: CountingProxy) -> None:
    line.cut(CUT, CUT)
    status, out, err = send("--server", line.url, "--json", "--tag", "cut/app:1", large=LARGE)
    assert status == 0
    (job,) = json.loads(out)
    assert (job["state"], job["archives"][0]["size"]) == ("succeeded", len(LARGE))
    assert "retrying" in err
    assert len(LARGE) <= line.counts.bytes_read < len(LARGE) + CUT


def test_a_second_run_sends_only_the_rest(send: Send, line: CountingProxy) -> None:
    line.cut(*[CUT] * 3)
    arguments = ("--server", line.url, "--tag", "again/app:1")
    status, _, err = send(*arguments, "--give-up-after", "0.000001", large=LARGE)
    assert status == 1
    assert "resume" in err
    line.stop_cutting()
    first = line.counts.bytes_read
    assert send(*arguments, large=LARGE)[0] == 0
    assert line.counts.bytes_read - first < len(LARGE)
    assert not list(Path("cache").rglob("uploads/*"))


def test_a_directory_is_sent_as_its_tar(running: Service, send: Send) -> None:
    Path("app.tar").write_bytes(docker_save([tagged(image({"a": b"3"}), "example.com/team/folder:1")]))
    with tarfile.open("app.tar") as tar:
        tar.extractall("folder", filter="data")
    assert send("folder")[0] == 0
    assert tags(running, "team/folder") == ["1"]


@pytest.mark.parametrize(
    ("arguments", "environ", "status", "words"),
    [
        (["x.tar"], {"TARMAC_TOKEN": "wrong"}, 1, "unauthorized"),
        (["--tag", "UPPER:1", "x.tar"], {}, 2, "invalid_reference"),
        (["--registry", "other", "x.tar"], {}, 2, "unknown_registry"),
        (["x.tar"], {"TARMAC_SERVER": ""}, 2, "TARMAC_SERVER"),
        (["x.tar"], {"TARMAC_SERVER": "ftp://host"}, 2, "ftp://host"),
        (["--token-file", "missing", "x.tar"], {}, 2, "missing"),
        (["--tag", "a:1", "x.tar", "y.tar"], {}, 2, "--tag"),
        (["-"], {}, 2, "standard input"),
        (["missing.tar"], {}, 2, "missing.tar"),
    ],
)
def test_a_refusal_names_its_reason(
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environ: dict[str, str],
    status: int,
    words: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    Path("x.tar").write_bytes(SMALL)
    found, _, err = send(*arguments)
    assert found == status
    assert words in err
