"""What a user types, against the service as it runs, and what skopeo then finds."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.e2e.service import Service, curl, service

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
ONE = CORPUS / "d20-save-one.tar"
MULTI = CORPUS / "buildx-oci-multi.tar"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("data"), TARMAC_PATH_ROOTS=str(CORPUS)) as started:
        yield started


def pulled(skopeo: str, service: Service, name: str) -> tuple[dict[str, Any], bytes]:
    """Manifest and config of an image, as skopeo reads them from the service."""
    where = f"docker://{service.address}/{name}"
    options = ["--tls-verify=false", "--raw"]
    raw = subprocess.run([skopeo, "inspect", *options, where], capture_output=True, check=True).stdout
    config = subprocess.run([skopeo, "inspect", *options, "--config", where], capture_output=True, check=True).stdout
    return json.loads(raw), config


@pytest.mark.parametrize(
    ("arguments", "tag"),
    [
        (("-F", f"archive=@{ONE}", "-F", "tag=a/form:1"), "a/form:1"),
        (("-F", "tag=a/before:1", "-F", f"archive=@{ONE}"), "a/before:1"),
        (("--data-binary", f"@{ONE}"), "a/raw:1"),
        (("-X", "POST", "-T", str(ONE)), "a/post:1"),
    ],
    ids=["form", "options-first", "data-binary", "post"],
)
def test_curl_lands_an_image_that_skopeo_pulls(
    running: Service, skopeo: str, arguments: tuple[str, ...], tag: str
) -> None:
    status, job = running.curl(*arguments, f"/push?wait=30&tag={tag}")
    assert status == 200, job
    manifest, config = pulled(skopeo, running, tag)
    assert f"sha256:{hashlib.sha256(config).hexdigest()}" == manifest["config"]["digest"]
    assert len(manifest["layers"]) == len(json.loads(config)["rootfs"]["diff_ids"])


def test_curl_t_names_the_archive_after_its_file(running: Service) -> None:
    status, job = running.curl("-T", ONE, "/push/?wait=30")
    assert (status, job["archives"][0]["name"]) == (200, ONE.name)


def test_a_pipe_into_curl_is_an_archive(running: Service) -> None:
    status, job = running.curl("-T", "-", "/push/?wait=30&tag=a/pipe:1", stdin=ONE.read_bytes())
    assert (status, job["state"]) == (200, "succeeded")


def test_paths_on_the_server_are_pushed(running: Service, skopeo: str) -> None:
    body = json.dumps({"paths": [str(MULTI)], "tag": "a/index:1", "wait": 30})
    status, job = running.curl("--json", body, "/push")
    assert status == 200, job
    raw = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", "--raw", f"docker://{running.address}/a/index:1"],
        capture_output=True,
        check=True,
    ).stdout
    assert job["images"][0]["digest"] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert len(json.loads(raw)["manifests"]) > 1


def test_without_wait_the_job_is_told_and_can_be_waited_for(running: Service) -> None:
    status, job = running.curl("-F", f"archive=@{ONE}", "/push?tag=a/later:1")
    assert status == 202
    status, job = running.curl(f"/jobs/{job['id']}?wait=30")
    assert (status, job["state"]) == (200, "succeeded")


def test_a_bad_archive_is_told_by_the_status_curl_sees(running: Service) -> None:
    status, document = running.curl("-F", f"archive=@{CORPUS / 'bad-random.bin'}", "/push?wait=30")
    assert (status, document["code"]) == (422, "unknown_format")


def test_a_large_body_of_nonsense_is_refused_long_before_its_end(running: Service, tmp_path: Path) -> None:
    body = tmp_path / "zeros.bin"
    with body.open("wb") as file:
        file.write(b"nonsense" * 1000)
        file.truncate(1 << 30)
    status, document = running.curl("-F", f"archive=@{body}", "/push")
    assert (status, document["code"]) == (422, "unknown_format")
    assert document["job"]["progress"]["bytes_received"] < 64 << 20


def test_curl_n_shows_the_events_of_a_job(running: Service) -> None:
    _, job = running.curl("-F", f"archive=@{ONE}", "/push?tag=a/watched:1")
    done = subprocess.run(
        [curl(), "-sSN", "--max-time", "30", f"{running.url}/jobs/{job['id']}/events"], capture_output=True, check=True
    )
    names = [line.removeprefix("event: ") for line in done.stdout.decode().splitlines() if line.startswith("event: ")]
    assert names[-1] == "end"
    assert set(names[:-1]) <= {"job", "image", "progress"}
    assert '"state":"succeeded"' in done.stdout.decode()


def test_a_client_that_dies_in_the_middle_leaves_a_failed_job_and_no_file(running: Service) -> None:
    head = f"POST /push?label=who=dying HTTP/1.1\r\nHost: {running.address}\r\nContent-Length: 100000\r\n\r\n"
    host, port = running.address.split(":")
    page: dict[str, Any] = {"jobs": []}
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + ONE.read_bytes()[:5000])
        while not page["jobs"]:  # a job is there from the first byte on; it has to be read first
            _, page = running.curl("/jobs?state=receiving")
    job = page["jobs"][0]
    _, ended = running.curl(f"/jobs/{job['id']}?wait=30")
    assert (ended["state"], ended["problem"]["code"]) == ("failed", "upload_incomplete")
    assert not [path for path in (running.data / "spool").iterdir() if path.name.startswith(job["id"])]


def test_clients_that_leave_before_the_answer_have_their_jobs_and_find_them_by_their_keys(running: Service) -> None:
    body = ONE.read_bytes()
    host, port = running.address.split(":")
    names = [f"a/left{number}:1" for number in range(10)]  # the first alone is no proof: it is answered slower
    for name in names:
        lines = (f"POST /push?tag={name}&wait=30 HTTP/1.1", f"Host: {running.address}", f"Idempotency-Key: {name}")
        head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + body)
    for name in names:
        status, job = running.curl("-T", ONE, "-H", f"Idempotency-Key: {name}", f"/push/?tag={name}&wait=30")
        assert (status, job["state"], job["images"][0]["state"]) == (200, "succeeded", "pushed")
    _, page = running.curl("/jobs?limit=500")
    images = [running.curl(f"/jobs/{job['id']}/images")[1]["images"] for job in page["jobs"][: len(names) + 2]]
    for name in names:
        assert sum(f"/{name}" in str(image) for image in images) == 1


def test_requests_that_smuggle_are_refused(running: Service) -> None:
    host, port = running.address.split(":")
    for extra in ("Host: b\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "X: " + "y" * 40_000 + "\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(f"GET /jobs HTTP/1.1\r\nHost: a\r\n{extra}\r\n".encode())
            assert client.recv(1000).startswith(b"HTTP/1.1 400")


def test_the_service_stops_by_sigterm_though_somebody_watches_and_knows_its_jobs_again(tmp_path: Path) -> None:
    with service(tmp_path) as first:
        _, job = first.curl("-F", f"archive=@{ONE}", "/push?wait=30")
        head = f"POST /push HTTP/1.1\r\nHost: {first.address}\r\nContent-Length: 100000\r\n\r\n"
        host, port = first.address.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + ONE.read_bytes()[:5000])
            page: dict[str, Any] = {"jobs": []}
            while not page["jobs"]:
                _, page = first.curl("/jobs?state=receiving")
            events = f"{first.url}/jobs/{page['jobs'][0]['id']}/events"
            with urlopen(events, timeout=30) as watching:
                assert watching.readline().startswith(b"retry:")
                first.process.send_signal(signal.SIGTERM)
                assert b"event: job" in watching.read()
        assert first.process.wait(30) == 0
    with service(tmp_path) as second:
        assert second.curl(f"/jobs/{job['id']}")[1]["state"] == "succeeded"
        assert second.curl(f"/jobs/{page['jobs'][0]['id']}")[1]["state"] == "failed"
        status, again = second.curl("-F", f"archive=@{ONE}", "/push?wait=30")
        assert (status, again["images"][0]["state"]) == (200, "already_present")


def test_wrong_settings_stop_the_start_with_the_key(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "serve"],
        env={**os.environ, "TARMAC_DATA_DIR": str(tmp_path), "TARMAC_HSOT": "x"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"TARMAC_HSOT" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_documented_resumable_upload_goes_on_where_it_ended(running: Service, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "app" / "docs" / "resumable-uploads.md").read_text(encoding="utf-8")
    script = next(block.partition("```")[0] for block in text.split("```sh\n") if "Upload-Offset" in block)
    begin, _, go_on = script.partition("\n\n")
    (tmp_path / "x.tar").write_bytes(ONE.read_bytes())
    cut = 'tail -c +1 x.tar | head -c 9000 | curl -sS -X PATCH -T - -H "Upload-Offset: 0" -H "Upload-Complete: ?0" -H '
    half = f"{cut}'Content-Type: application/partial-upload' \"http://127.0.0.1:8080$upload\""
    commands = "\n".join((begin, half, go_on)).replace("http://127.0.0.1:8080", running.url)
    done = subprocess.run(["bash", "-euc", commands], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    with urlopen(f"{running.url}/jobs/{json.loads(done.stdout)['id']}?wait=30", timeout=40) as answer:
        job = json.load(answer)
    assert job["state"] == "succeeded"
    assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(ONE.read_bytes()).hexdigest()}"
