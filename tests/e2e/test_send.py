"""`tarmac send` against a running service: several files, broken connections, a second run, refusals."""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
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
            if not (file := Path(f"{name}.tar")).exists() or file.read_bytes() != content:
                file.write_bytes(content)
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


def test_a_changed_file_is_sent_from_its_beginning(send: Send, line: CountingProxy) -> None:
    """Its size is the same, as after a second try to write the disk."""
    line.cut(*[CUT] * 3)
    arguments = ("--server", line.url, "--tag", "changed/app:1")
    assert send(*arguments, "--give-up-after", "0.000001", large=LARGE)[0] == 1
    line.stop_cutting()
    other = LARGE.replace(b"app" * 1_000, b"ppa" * 1_000)
    assert len(other) == len(LARGE)
    out = send(*arguments, "--json", large=other)[1]
    assert json.loads(out)[0]["archives"][0]["digest"] == f"sha256:{hashlib.sha256(other).hexdigest()}"


def test_a_bad_archive_is_forgotten(send: Send) -> None:
    assert send(bad=SMALL[:1024])[0] == 1
    assert not list(Path("cache").rglob("uploads/*"))
    assert send(bad=SMALL)[0] == 0


def test_another_server_is_not_taken_for_a_service(send: Send) -> None:
    class Login(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response_only(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Login) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        status, _, err = send("--server", f"http://127.0.0.1:{server.server_port}", small=SMALL)
        server.shutdown()
    assert status == 1
    assert "unexpected_response" in err


def test_a_service_without_tls_is_not_waited_for(running: Service, send: Send) -> None:
    status, _, err = send("--server", running.url.replace("http:", "https:"), small=SMALL)
    assert status == 1
    assert "--ca-file" in err


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
        (["x.tar"], {"TARMAC_SERVER": "http://[host"}, 2, "http://[host"),
        (["x.tar"], {"TARMAC_SERVER": "http://host:99999"}, 2, "99999"),
        (["x.tar"], {"TARMAC_SERVER": "http://ci:secret@host"}, 2, "--token-file"),
        (["x.tar"], {"TARMAC_TOKEN": "a\nb"}, 2, "TARMAC_TOKEN"),
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
