"""The command as its users meet it: what is printed, and the exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from app.__main__ import main
from app.push.report.inspection import RECOGNITION_REASONS
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout, sha256, tagged, wrap
from tests.support.storage_tree import oc_mirror_parts

Tarmac = Callable[..., tuple[int, str, str]]
APP = image({"bin/app": b"one"}, {"etc/app": b"two"})


@pytest.fixture
def tarmac(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tarmac:
    """Runs the command in an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = int(error.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(docker_save([tagged(APP, "example.com/team/app:1")]))
    return path


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    path = tmp_path / "nameless.tar"
    path.write_bytes(oci_layout([entry(oci_image(APP, compression="gzip"))]))
    return path


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_version_is_told(tarmac: Tarmac) -> None:
    assert tarmac("version") == (0, f"tarmac {__version__}\n", "")


def test_without_a_command_the_usage_is_told(tarmac: Tarmac) -> None:
    status, _, err = tarmac()
    assert status == 2
    assert "usage: tarmac" in err


def test_every_command_explains_itself(tarmac: Tarmac) -> None:
    for command in ("serve", "push", "inspect", "version"):
        status, out, _ = tarmac(command, "--help")
        assert status == 0
        assert f"usage: tarmac {command}" in out


def test_the_openapi_document_is_printed(tarmac: Tarmac) -> None:
    status, out, _ = tarmac("openapi")
    assert status == 0
    assert "/push" in json.loads(out)["paths"]


def test_a_pushed_image_lands_in_the_embedded_destination(tarmac: Tarmac, archive: Path, tmp_path: Path) -> None:
    status, out, err = tarmac("push", archive)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "app.tar: docker-archive, 1 image"
    assert lines[1].startswith("pushed          127.0.0.1:8080/team/app:1  sha256:")
    assert lines[2].startswith("succeeded: 1 pushed (")
    index = json.loads((tmp_path / "data/images/index.json").read_text())
    assert len(index["manifests"]) == 1


def test_a_push_leaves_no_spool_behind(tarmac: Tarmac, archive: Path, tmp_path: Path) -> None:
    wrapped = tmp_path / "app.tar.gz"
    wrapped.write_bytes(wrap(archive.read_bytes(), "gzip"))
    assert tarmac("push", wrapped)[0] == 0
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"images"}


def test_what_is_there_already_is_said_to_be(tarmac: Tarmac, archive: Path) -> None:
    tarmac("push", archive)
    status, out, _ = tarmac("push", archive)
    assert status == 0
    assert "already present 127.0.0.1:8080/team/app:1" in out


def test_the_result_as_json_is_the_job_document(tarmac: Tarmac, archive: Path) -> None:
    status, out, _ = tarmac("push", archive, "--json", "--tag", "other/name:2", "--checksum", checksum(archive))
    job = json.loads(out)
    assert (status, job["state"], job["problem"]) == (0, "succeeded", None)
    assert job["images"][0]["destinations"] == ["127.0.0.1:8080/other/name:2"]
    assert job["archives"][0]["digest"] == checksum(archive)


def checksum(file: Path) -> str:
    return f"sha256:{sha256(file.read_bytes()).removeprefix('sha256:')}"


def test_a_dry_run_pushes_nothing(tarmac: Tarmac, archive: Path, tmp_path: Path) -> None:
    status, out, _ = tarmac("push", archive, "--dry-run")
    assert status == 0
    assert "planned         127.0.0.1:8080/team/app:1" in out
    assert json.loads((tmp_path / "data/images/index.json").read_text())["manifests"] == []


def test_a_failed_image_is_named_with_its_code_and_the_others_land(tarmac: Tarmac, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar"
    other = image({"bin/other": b"three"})
    content = docker_save([tagged(APP, "example.com/a:1"), tagged(other, "example.com/b:1")])
    bad.write_bytes(content.replace(b"three", b"threE"))
    status, out, _ = tarmac("push", bad)
    assert status == 1
    assert "pushed          127.0.0.1:8080/a:1" in out
    assert "failed          127.0.0.1:8080/b:1" in out
    assert "digest_mismatch: " in out
    assert "failed: 1 pushed, 1 failed" in out


def test_an_archive_without_a_name_says_to_pass_one(tarmac: Tarmac, nameless: Path) -> None:
    status, out, _ = tarmac("push", nameless)
    assert status == 1
    assert "\nmissing_tag: " in out
    assert tarmac("push", nameless, "--tag", "given/name:1")[0] == 0


def test_a_file_that_is_not_there_fails(tarmac: Tarmac) -> None:
    status, out, _ = tarmac("push", "absent.tar")
    assert status == 1
    assert out.startswith("path_not_found: absent.tar cannot be read: No such file or directory")


def test_a_directory_of_anything_is_no_archive(tarmac: Tarmac, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note.txt").write_text("note")
    status, out, _ = tarmac("push", tmp_path / "folder")
    assert status == 1
    assert out.startswith("unknown_format: ")
    assert "'note.txt'" in out


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_wrong_checksum_refuses_the_archive(tarmac: Tarmac, archive: Path, compression: Any) -> None:
    archive.write_bytes(wrap(archive.read_bytes(), compression))
    assert tarmac("push", archive, "--checksum", checksum(archive))[0] == 0
    status, out, _ = tarmac("push", archive, "--checksum", f"sha256:{'0' * 64}")
    assert status == 1
    assert out.startswith("checksum_mismatch: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layer-compression", "lzma"], "layer_compression"),
        (["--tag", "not a name"], "invalid_reference"),
        (["--registry", "absent"], "unknown_registry"),
        (["--checksum", "md5:1"], "--checksum"),
        (["--checksum", f"sha512:{'0' * 128}"], "--checksum"),
        (["second.tar", "--checksum", f"sha256:{'0' * 64}"], "one archive"),
        (["--registry-url", "ftp://x"], "TARMAC_REGISTRY_URL"),
        (["--registry-url", ""], "--registry-url is empty"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--no-such-option"], "usage"),
    ],
)
def test_what_cannot_be_carried_out_as_given_ends_with_2(
    tarmac: Tarmac, archive: Path, arguments: list[str], words: str
) -> None:
    status, out, err = tarmac("push", archive, *arguments)
    assert (status, out) == (2, "")
    assert words in err


@pytest.fixture
def standard_input() -> Iterator[Callable[[int], None]]:
    """Puts a descriptor in the place of standard input."""
    kept = os.dup(0)

    def put(descriptor: int) -> None:
        os.dup2(descriptor, 0)
        os.close(descriptor)

    yield put
    os.dup2(kept, 0)
    os.close(kept)


@pytest.fixture
def with_real_stdin(standard_input: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def put(descriptor: int) -> None:
        standard_input(descriptor)
        monkeypatch.setattr(sys, "stdin", open(0, closefd=False))  # noqa: SIM115 - lives as long as the test

    return put


def test_standard_input_may_be_a_file(tarmac: Tarmac, archive: Path, with_real_stdin: Callable[[int], None]) -> None:
    with_real_stdin(os.open(archive, os.O_RDONLY))
    status, out, _ = tarmac("push", "-")
    assert status == 0
    assert out.startswith("standard input: docker-archive, 1 image")


def test_standard_input_may_be_a_pipe(tarmac: Tarmac, archive: Path, with_real_stdin: Callable[[int], None]) -> None:
    reading, writing = os.pipe()
    with_real_stdin(reading)

    def write() -> None:
        with open(writing, "wb") as pipe:
            pipe.write(wrap(archive.read_bytes(), "gzip"))

    writer = threading.Thread(target=write)
    writer.start()
    status, out, _ = tarmac("push", "-")
    writer.join()
    assert status == 0
    assert out.startswith("standard input: docker-archive in gzip, 1 image")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_push_that_is_interrupted_leaves_nothing(tarmac: Tarmac, tmp_path: Path, sent: signal.Signals) -> None:
    fifo = tmp_path / "slow.tar"
    os.mkfifo(fifo)
    ended = threading.Event()

    def write() -> None:
        with fifo.open("wb") as pipe:  # opens when the command has opened it, too
            pipe.write(b"x")
            pipe.flush()
            os.kill(os.getpid(), sent)
            ended.wait(30)

    threading.Thread(target=write, daemon=True).start()
    status, out, _ = tarmac("push", fifo)
    ended.set()
    assert status == 130
    assert out.startswith("cancelled: ")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"images"}


def test_a_push_that_is_interrupted_at_the_registry_tells_what_came_of_it(tarmac: Tarmac, archive: Path) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def answer_nothing() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)  # a request is under way
                os.kill(os.getpid(), signal.SIGINT)
                ended.wait(30)

        threading.Thread(target=answer_nothing, daemon=True).start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        status, out, _ = tarmac("push", archive, "--registry-url", url, "--json")
        ended.set()
    job = json.loads(out)
    assert (status, job["state"]) == (130, "cancelled")
    assert [image["state"] for image in job["images"]] == ["cancelled"]


def test_inspect_says_what_an_archive_is_and_where_it_would_go(tarmac: Tarmac, archive: Path, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    status, out, err = tarmac("inspect", archive, "--registry-url", "registry.local:5000/mirror", "--prefix", "air")
    assert (status, err) == (0, "")
    assert "app.tar: docker-archive, " in out
    assert RECOGNITION_REASONS["docker-archive"] in out
    assert "-> registry.local:5000/mirror/air/team/app:1" in out
    assert "2 layers" in out
    assert files_below(tmp_path) == before


def test_inspect_as_json_has_the_layers(tarmac: Tarmac, archive: Path) -> None:
    status, out, _ = tarmac("inspect", archive, "--json")
    found = json.loads(out)["archives"][0]
    assert (status, found["format"], found["compression"]) == (0, "docker-archive", "none")
    assert found["images"][0]["names"] == ["example.com/team/app:1"]
    assert len(found["images"][0]["layers"]) == 2
    assert found["images"][0]["platforms"] == ["linux/amd64"]


def test_inspect_shows_what_has_a_name_beside_what_has_none(tarmac: Tarmac, archive: Path, nameless: Path) -> None:
    status, out, _ = tarmac("inspect", archive, nameless)
    assert status == 0
    assert "-> 127.0.0.1:8080/team/app:1" in out
    assert "(no name)" in out
    assert "missing_tag: " in out


def test_inspect_of_no_archive_fails_and_shows_the_others(tarmac: Tarmac, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.bin").write_bytes(b"noise" * 1000)
    status, out, _ = tarmac("inspect", tmp_path / "noise.bin", archive)
    assert status == 1
    assert "unknown_format: " in out
    assert "app.tar: docker-archive" in out


def test_inspect_understands_the_parts_of_one_storage_together(tarmac: Tarmac, tmp_path: Path) -> None:
    node = oci_image(APP)
    first, last = oc_mirror_parts({"team/app": {"1": node}}, 2)
    names = ("mirror_000002.tar", "mirror_000001.tar", "noise.bin")
    for name, data in zip(names, (last, first, b"noise" * 1000), strict=True):
        (tmp_path / name).write_bytes(data)
    status, out, _ = tarmac("inspect", "--json", *names)
    whole, rest, noise = json.loads(out)["archives"]
    assert (status, noise["problem"]["code"]) == (1, "unknown_format")
    assert (whole["format"], [image["digest"] for image in whole["images"]]) == ("oc-mirror", [node.digest])
    assert (rest["format"], rest["images"], rest["problem"]) == ("oc-mirror", [], None)
    assert "part 2 of 2" in rest["notices"][0]


def test_inspect_tells_what_would_be_sent_of_each_image(tarmac: Tarmac, archive: Path) -> None:
    _, out, _ = tarmac("inspect", archive)
    assert re.search(r"2 layers, [^,]+, [0-9.]+ \S+ to send", out)
    assert "to send where the registry has nothing of it" in out


def test_inspect_shows_what_the_options_leave_out(tarmac: Tarmac, archive: Path, tmp_path: Path) -> None:
    two = docker_save([tagged(image({"a": b"1"}), "a:1"), tagged(image({"b": b"2"}), "b:1")])
    (tmp_path / "two.tar").write_bytes(two)
    status, out, _ = tarmac("inspect", "two.tar", "--images", "a:*", "--json")
    (told,) = json.loads(out)["archives"]
    assert (status, [item["names"] for item in told["images"]]) == (0, [["a:1"]])
    assert any("leaves out 1 of 2 images" in note for note in told["notices"])


def test_inspect_shows_what_is_whole_of_an_archive_that_breaks_off(tarmac: Tarmac, tmp_path: Path) -> None:
    nodes = [oci_image(image({"a": bytes([number]) * 9000})) for number in range(2)]
    data = oci_layout([entry(node, ref=f"example.com/{number}:1") for number, node in enumerate(nodes)])
    (tmp_path / "cut.tar").write_bytes(data[: len(data.rstrip(b"\0")) - 600])
    status, out, _ = tarmac("inspect", "cut.tar", "--json")
    assert (status, json.loads(out)["archives"][0]["problem"]["code"]) == (1, "truncated_archive")
    status, out, _ = tarmac("inspect", "cut.tar", "--json", "--keep-going")
    (told,) = json.loads(out)["archives"]
    assert (status, told["problem"]["code"]) == (1, "truncated_archive")
    assert [item["problem"] is None for item in told["images"]] == [True, False]
    assert tarmac("inspect", "cut.tar", "--keep-going")[0] == 1


def test_inspect_of_an_archive_without_images_says_so(tarmac: Tarmac, tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(oci_layout([]))
    status, out, _ = tarmac("inspect", tmp_path / "empty.tar")
    assert status == 0
    assert "note: no images found" in out


def test_serve_with_settings_that_are_wrong_names_the_key(tarmac: Tarmac) -> None:
    status, _, err = tarmac("serve", "--host", "0.0.0.0")
    assert status == 2
    assert "TARMAC_TOKENS_FILE" in err
    status, _, err = tarmac("serve", "--port", "many")
    assert status == 2
    assert "TARMAC_PORT" in err


def test_output_that_nobody_reads_is_no_traceback(archive: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "app", "inspect", str(archive)],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
            timeout=50,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "TARMAC_DATA_DIR": str(tmp_path)},
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["inspect", "push"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_nothing_an_archive_or_a_file_is_called_steers_the_terminal(
    tarmac: Tarmac, tmp_path: Path, command: str, as_json: list[str]
) -> None:
    name = os.fsdecode(b"a\x1b[31m\xff\xc2\x9b.tar")
    (tmp_path / name).write_bytes(docker_save([tagged(APP, "evil\x1b]0;title\x07:1", "example.com/app:1")]))
    for file, options in ((name, []), (name, ["--tag", "ok:1"]), ("not-there" + name, [])):
        _, out, err = tarmac(command, file, *options, *as_json)
        assert all(char.isprintable() or char == "\n" for char in out + err)
        assert out


def test_log_lines_go_to_standard_error(
    tarmac: Tarmac, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    status, out, err = tarmac("push", archive, "--json")
    assert (status, json.loads(out)["state"]) == (0, "succeeded")
    assert "blob_cache.unusable" in err
