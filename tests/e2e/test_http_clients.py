"""The clients that people use, as they are, against the service as it runs: nothing they send is lost or misread."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]

from app import __version__
from tests.e2e.service import Service, curl, service
from tests.support.archives import docker_save, image, tagged
from tests.support.peers import peer

LARGE = 3 << 20  # more than the buffers of a connection: it comes in many segments
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n"


def archive(name: str, size: int = 10) -> bytes:
    return docker_save([tagged(image({"bin/app": name.encode() + bytes(size)}), f"clients/{name}")])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("data")) as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "größe x.tar"
    path.write_bytes(archive("file:1", LARGE))
    return path


def landed(status: int, job: dict[str, Any], body: bytes) -> None:
    assert (status, job.get("state")) == (200, "succeeded"), job
    assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.mark.parametrize("version", ["--http2", "--http1.1", "-0"])
@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("-F", "archive=@{}"), "/push?wait=30"),
        (("-F", "file[]=@{};type=text/plain"), "/push?wait=30"),
        (("-H", "Expect:", "-F", "archive=@{}"), "/push/?wait=30"),
        (("-T", "{}"), "/push/?wait=30"),
        (("-X", "POST", "-T", "{}"), "/push?wait=30"),
        (("--data-binary", "@{}"), "/push?wait=30"),
        (("--json", "@{}"), "/push?wait=30"),
        (("-H", "Content-Type: multipart/form-data", "--data-binary", "@{}"), "/push?wait=30"),
        (("-H", "Content-Type:", "-T", "{}"), "/push/x.tar?wait=30"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_curl(running: Service, file: Path, version: str, arguments: tuple[str, ...], path: str) -> None:
    options = [argument.replace("{}", f'"{file}"' if "=@" in argument else str(file)) for argument in arguments]
    landed(*running.curl(version, *options, path), file.read_bytes())


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
@pytest.mark.parametrize("options", [("-T", "-"), ("-X", "POST", "-T", "-"), ("-F", "archive=@-;filename=x.tar")])
def test_curl_sends_what_it_does_not_know_the_length_of(
    running: Service, version: str, options: tuple[str, ...]
) -> None:
    body = archive("pipe:1", LARGE)
    landed(*running.curl(version, *options, "/push/?wait=30", stdin=body), body)
    more = ("-H", "Transfer-Encoding: chunked")
    landed(*running.curl(version, *more, *options, "/push/?wait=30", stdin=body), body)


@pytest.mark.parametrize("version", ["--http2", "--http1.1", "-0"])
@pytest.mark.parametrize("at", ["100", "-"])
def test_curl_that_goes_on_is_told_to_begin_again(running: Service, file: Path, version: str, at: str) -> None:
    before = running.curl("/jobs?limit=500")[1]["jobs"]
    status, problem = running.curl(version, "-C", at, "-T", file, "/push/")
    assert (status, problem["code"]) == (400, "invalid_request")
    assert "Content-Range" in problem["detail"]
    assert len(running.curl("/jobs?limit=500")[1]["jobs"]) == len(before)


@pytest.mark.parametrize("version", ["--http2", "--http1.1", "-0"])
def test_curl_reads_why_it_was_refused_while_it_sends(running: Service, tmp_path: Path, version: str) -> None:
    large = tmp_path / "large.tar"
    with large.open("wb") as target:
        target.truncate(200 << 20)
    for header, status in (("Content-Range: bytes 0-1/2", 400), ("Origin: http://evil.example", 403)):
        refused, problem = running.curl(version, "-H", "Expect:", "-H", header, "-T", large, "/push/")
        assert (refused, problem["status"]) == (status, status)


@pytest.mark.parametrize("version", ["--http2", "--http1.1", "-0"])
def test_curl_reads_events_to_their_end(running: Service, file: Path, version: str) -> None:
    _, job = running.curl(version, "-T", file, "/push/?wait=30")
    command = [curl(), "-sSN", version, "--max-time", "30", f"{running.url}/jobs/{job['id']}/events"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.rstrip().splitlines()[-3] == b"event: end"


def test_curl_of_http_1_0_uses_a_connection_again(running: Service) -> None:
    command = [curl(), "-sS", "-0", "-H", "Connection: keep-alive", "-w", "%{num_connects} "]
    url = f"{running.url}/healthz"
    done = subprocess.run([*command, "-o", "/dev/null", url, "-o", "/dev/null", url], capture_output=True, check=True)
    assert done.stdout.split() == [b"1", b"0"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("POST", "{url}/push?wait=30", "@{file}"),
        ("PUT", "{url}/push/x.tar?wait=30", "@{file}"),
        ("--form", "POST", "{url}/push?wait=30", "archive@{file}"),
        ("--form", "POST", "{url}/push?wait=30", "file@{file}", "label=a=b"),
        ("--chunked", "POST", "{url}/push?wait=30", "@{file}"),
        ("POST", "{url}/push?wait=30", "Content-Type:application/json", "@{file}"),
    ],
    ids=" ".join,
)
def test_httpie(running: Service, file: Path, arguments: tuple[str, ...]) -> None:
    words = [word.replace("{url}", running.url).replace("{file}", str(file)) for word in arguments]
    command = [peer("http"), "--ignore-stdin", "--body", "--pretty", "none", *words]
    landed(
        200, json.loads(subprocess.run(command, capture_output=True, check=True, timeout=50).stdout), file.read_bytes()
    )


def test_httpie_sends_what_comes_by_a_pipe_as_json(running: Service, file: Path) -> None:
    command = [peer("http"), "--body", "--pretty", "none", "POST", f"{running.url}/push?wait=30"]
    with file.open("rb") as archive_file:
        done = subprocess.run(command, stdin=archive_file, capture_output=True, check=True, timeout=50)
    landed(200, json.loads(done.stdout), file.read_bytes())


def test_requests_and_its_toolbelt(running: Service, file: Path) -> None:
    body, url = file.read_bytes(), f"{running.url}/push?wait=30"

    def post(**given: Any) -> requests.Response:
        return requests.post(url, timeout=40, **given)

    with file.open("rb") as source:
        landed_all(body, post(files={"archive": source}))
    with file.open("rb") as source:
        landed_all(body, post(data=source))
    landed_all(body, post(data=body), post(data=(body[at : at + 60_000] for at in range(0, len(body), 60_000))))
    landed_all(body, post(files={"file": ("x.tar", body)}, data={"label": "a=b"}))
    # the boundary is lost: a mistake that the library's users make
    landed_all(body, post(files={"archive": body}, headers={"Content-Type": "multipart/form-data"}))
    with file.open("rb") as source:
        form = MultipartEncoder({"label": "a=b", "archive": ("größe.tar", source, "application/x-tar")})
        answer = post(data=form, headers={"Content-Type": form.content_type})
    landed_all(body, answer)
    assert answer.json()["archives"][0]["name"] == "größe.tar"


def landed_all(body: bytes, *answers: requests.Response) -> None:
    for answer in answers:
        landed(answer.status_code, answer.json(), body)


async def test_aiohttp(running: Service, file: Path) -> None:
    body, url = file.read_bytes(), f"{running.url}/push?wait=30"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 50_000):
            yield body[at : at + 50_000]

    with file.open("rb") as source:
        form = aiohttp.FormData()
        form.add_field("label", "a=b")
        form.add_field("archive", source, filename="größe.tar", content_type="application/x-tar")
        async with aiohttp.ClientSession() as session:
            for data, headers in (
                (io.BytesIO(body), {}),
                (io.BytesIO(body), {"Expect": "100-continue"}),
                (pieces(), {}),
                (form, {}),
            ):
                async with session.post(url, data=data, headers=headers) as answer:
                    landed(answer.status, await answer.json(), body)


def spoken(running: Service, *segments: bytes) -> tuple[int, dict[str, Any]]:
    """Status and document of the response to what is sent, piece by piece, over a bare socket."""
    host, port = running.address.split(":")
    with closing(socket.create_connection((host, int(port)), timeout=40)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for segment in segments:
            client.sendall(segment)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += client.recv(65_536) or pytest.fail("the connection ended")
        head, _, body = answer.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < size:
            body += client.recv(65_536) or pytest.fail("the connection ended")
    return int(head.split()[1]), json.loads(body)


def chunked(body: bytes, size: int = 16_384) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@pytest.mark.parametrize("together", [True, False], ids=["one-segment", "segments"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [10, LARGE])
def test_what_java_s_http_client_sends(running: Service, together: bool, framing: str, size: int) -> None:
    body = archive("java:1", size)
    length = f"Content-Length: {len(body)}" if framing == "length" else "Transfer-encoding: chunked"
    head = (
        f"PUT /push/x.tar?wait=30 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n{length}\r\n"
        f"Host: {running.address}\r\n"
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
        "User-Agent: Java-http-client/21.0.2\r\nContent-Type: application/octet-stream\r\n\r\n"
    ).encode()
    pieces = [body] if framing == "length" else list(chunked(body))
    segments = [head + b"".join(pieces)] if together else [head, *pieces]
    landed(*spoken(running, *segments), body)


@pytest.mark.parametrize("upgrade", ["", H2C])
def test_what_powershell_sends(running: Service, upgrade: str) -> None:
    """Invoke-RestMethod -InFile (5.1 says it is pairs), and -Form (7): quoted boundary, bare names, `filename*`."""
    body = archive("powershell:1", LARGE)
    head = (
        f"POST /push?wait=30 HTTP/1.1\r\nHost: {running.address}\r\n{upgrade}Expect: 100-continue\r\n"
        "User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.3031\r\n"
    )
    pairs = f"{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    status, job = spoken_after_go_ahead(running, pairs.encode(), body)
    landed(status, job, body)
    boundary = "b9b0c1d2-5f0e-4a3c-9a55-3f6d6a8f3c11"
    disposition = "Content-Disposition: form-data; name=archive; filename=x.tar; filename*=utf-8''gr%C3%B6%C3%9Fe.tar"
    form = (
        f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        + body
        + f"\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Disposition: form-data; name=label\r\n\r\na=b\r\n--{boundary}--\r\n".encode()
    )
    kind = f'Content-Type: multipart/form-data; boundary="{boundary}"\r\nContent-Length: {len(form)}\r\n\r\n'
    status, job = spoken_after_go_ahead(running, f"{head}{kind}".encode(), form)
    landed(status, job, body)
    assert (job["archives"][0]["name"], job["labels"]) == ("größe.tar", {"a": "b"})


def spoken_after_go_ahead(running: Service, head: bytes, body: bytes) -> tuple[int, dict[str, Any]]:
    host, port = running.address.split(":")
    with closing(socket.create_connection((host, int(port)), timeout=40)) as client:
        client.sendall(head)
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        with client.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            fields = dict(line.decode().lower().strip().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
            return status, json.loads(answer.read(int(fields["content-length"])))


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0", "foo"])
def test_an_offer_of_another_protocol_is_answered_in_this_one(running: Service, upgrade: str) -> None:
    offer = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
    for method in ("GET", "DELETE"):
        head = f"{method} /jobs/x HTTP/1.1\r\nHost: {running.address}\r\n{offer}\r\n"
        assert spoken(running, head.encode())[0] == 404


@pytest.mark.parametrize("length", ["99999999999999999999999", "18446744073709551616", "9" * 18, "0" * 40 + "9" * 19])
def test_a_length_beyond_everything_is_too_large(running: Service, length: str) -> None:
    head = f"PUT /push/x.tar HTTP/1.1\r\nHost: {running.address}\r\nContent-Length: {length}\r\n\r\n"
    status, problem = spoken(running, head.encode(), b"x" * 100_000)
    assert (status, problem["code"]) == (413, "too_large")


def test_an_idle_connection_is_kept_as_long_as_the_setting_says(tmp_path: Path) -> None:
    with service(tmp_path, TARMAC_KEEP_ALIVE="1s") as running:
        host, port = running.address.split(":")
        with closing(socket.create_connection((host, int(port)), timeout=20)) as client:
            client.sendall(f"GET /healthz HTTP/1.1\r\nHost: {running.address}\r\n\r\n".encode())
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
            while client.recv(65_536):
                pass  # the rest of the response, if any; then the service closes, and not this socket's patience


def test_each_line_of_the_log_has_the_id_of_its_request(tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = {"TARMAC_ACCESS_LOG": "all", "TARMAC_WEBHOOK_SECRET": "geheim", "TARMAC_LOG_FORMAT": "json"}
    with service(tmp_path / "data", None, None, log, **environ) as running:
        for path in ("/jobs", "/nothing", "/v2/"):
            running.curl("-H", f"X-Request-Id: of.{path.strip('/')}", path)
        running.curl("/healthz")  # the line of the request before is written by then
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    found = {line["request_id"]: (line["path"], line["status"]) for line in lines if line["event"] == "http.response"}
    assert [name for name in found if name.startswith("of.")] == ["of.jobs", "of.nothing", "of.v2"]
    assert found["of.nothing"] == ("/nothing", 404)
    (started,) = (line for line in lines if line["event"] == "service.started")
    assert (started["version"], started["settings"]["access_log"]) == (__version__, "all")
    assert "geheim" not in log.read_text()
