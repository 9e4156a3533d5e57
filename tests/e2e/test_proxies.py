"""nginx and HAProxy before the service as it runs, as operators put them there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, curl, service
from tests.support.archives import docker_save, image, tagged
from tests.support.haproxy import HAProxy
from tests.support.nginx import Nginx
from tests.support.peers import peer

TUS_CLIENT = Path(__file__).parents[1] / "soak" / "tus_client.cjs"
APP = docker_save([tagged(image({"bin/app": b"one" + bytes(1 << 20)}), "team/app:1")])
FORWARDED = """
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off; proxy_buffering off;"""
# Name -> path before the service, nginx's block, settings of the service.
FRONTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "no-prefix": ("", "location / {{ proxy_pass {to}; {more} proxy_http_version 1.1; }}", {}),
    "http-1.0": ("", "location / {{ proxy_pass {to}; {more} }}", {}),
    "prefix-taken-off": (
        "/tarmac",
        "location /tarmac/ {{ proxy_pass {to}/; {more} proxy_http_version 1.1; }}",
        {"TARMAC_BASE_PATH": "/tarmac"},
    ),
    "prefix-passed-on": (
        "/tools/tarmac",
        "location /tools/tarmac/ {{ proxy_pass {to}; {more} proxy_http_version 1.1; }}",
        {"TARMAC_BASE_PATH": "/tools/tarmac"},
    ),
    "prefix-in-a-header": (
        "/tarmac",
        "location /tarmac/ {{ proxy_pass {to}/; {more} proxy_set_header X-Forwarded-Prefix /tarmac; }}",
        {},
    ),
}


@dataclass(frozen=True, slots=True)
class Front:
    """`url`: where clients see the service, without a slash at its end. `prefix`: its path."""

    url: str
    prefix: str
    service: Service

    def curl(self, *arguments: str | Path, stdin: bytes | None = None) -> tuple[int, dict[str, str], Any]:
        """Status, header fields and document. The last argument is a path below the prefix."""
        *options, path = map(str, arguments)
        command = [curl(), "-sS", "--max-time", "40", "-D", "/dev/stderr", *options, f"{self.url}{path}"]
        done = subprocess.run(command, capture_output=True, check=True, input=stdin)
        head = done.stderr.decode().rstrip().replace("\r", "").split("\n\n")[-1].splitlines()
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        return int(head[0].split()[1]), fields, json.loads(done.stdout) if done.stdout.startswith(b"{") else None


@contextmanager
def before(folder: Path, name: str, to: str | None = None, **environ: str) -> Iterator[Front]:
    prefix, block, settings = FRONTS[name]
    settings = {"TARMAC_TRUSTED_PROXIES": "127.0.0.1", **settings, **environ}
    with service(folder / "data", **settings) as running:
        location = block.format(to=to or running.url, more=FORWARDED)
        with Nginx(folder / "nginx", 0, "0", location) as nginx:
            yield Front(nginx.url + prefix, prefix, running)


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with before(tmp_path_factory.mktemp(request.param), request.param) as started:
        yield started


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "x.tar"
    path.write_bytes(APP)
    return path


def test_a_push_says_where_its_job_is_and_it_is_there(front: Front, archive: Path) -> None:
    for arguments in (
        ("-F", f"archive=@{archive}", "/push"),
        ("-T", archive, "/push/"),
        ("--http2", "-T", archive, "/push/"),
    ):
        status, fields, job = front.curl(*arguments)
        assert (status, fields["location"]) == (202, f"{front.prefix}/jobs/{job['id']}")
        below = fields["location"].removeprefix(front.prefix)
        status, _, ended = front.curl(f"{below}?wait=30")
        assert (status, ended["state"]) == (200, "succeeded")
        status, fields, refused = front.curl("-X", "POST", f"{below}/cancel")
        assert (status, refused["code"]) == (409, "conflict")


def test_events_are_streamed(front: Front, archive: Path) -> None:
    _, _, job = front.curl("-T", archive, "/push/?wait=30")
    command = [curl(), "-sSN", "--max-time", "30", f"{front.url}/jobs/{job['id']}/events"]
    assert b"event: end" in subprocess.run(command, capture_output=True, check=True).stdout


def test_tus_js_client_uploads(front: Front, archive: Path) -> None:
    command = [peer("node"), str(TUS_CLIENT), f"{front.url}/uploads", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    path = done.stdout.strip()
    assert path.startswith(f"{front.prefix}/jobs/")
    _, _, job = front.curl(f"{path.removeprefix(front.prefix)}?wait=30")
    assert job["state"] == "succeeded"


def test_a_resumable_upload_says_where_it_goes_on(front: Front) -> None:
    length = f"Upload-Length: {len(APP)}"
    status, fields, _ = front.curl("-X", "POST", "-H", "Tus-Resumable: 1.0.0", "-H", length, "/uploads/")
    assert status == 201
    assert fields["location"].startswith(f"{front.prefix}/uploads/")
    assert fields["tarmac-job"].startswith(f"{front.prefix}/jobs/")
    below = fields["location"].removeprefix(front.prefix)
    status, fields, _ = front.curl("-I", "-H", "Tus-Resumable: 1.0.0", below)
    assert (status, fields["upload-offset"]) == (204, "0")
    assert front.curl("-X", "DELETE", "-H", "Tus-Resumable: 1.0.0", below)[0] == 204


def test_pages_and_documents_find_each_other(front: Front) -> None:
    _, _, document = front.curl("/openapi.json")
    assert document["servers"] == [{"url": front.prefix or "/"}]
    for path in ("/", "/page/station.js", "/docs", "/docs/swagger-ui.css"):
        command = [curl(), "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{front.url}{path}"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"200", path


def test_a_page_may_act_though_the_proxy_drops_the_port_of_its_host(front: Front, archive: Path) -> None:
    origin = f"Origin: {front.url.removesuffix(front.prefix)}"
    for more in ((), ("-H", "Sec-Fetch-Site: same-origin")):
        assert front.curl("-H", origin, *more, "-T", archive, "/push/?wait=30")[0] == 200
    assert front.curl("-H", "Origin: http://evil.example", "-T", archive, "/push/")[0] == 403
    assert front.curl("-H", origin, "-H", "Host: evil.example", "-T", archive, "/push/")[0] == 421


def test_the_client_s_address_is_its_own(front: Front, archive: Path) -> None:
    """A client that writes X-Forwarded-For itself is found all the same: the proxy adds what it sees."""
    options = ("--interface", "127.0.0.2", "-H", "X-Forwarded-For: 203.0.113.7, 127.0.0.1")
    _, _, job = front.curl(*options, "-T", archive, "/push/?wait=30")
    _, _, audit = front.curl("/audit?limit=500")
    assert [entry["address"] for entry in audit["entries"] if entry["job"] == job["id"]] == ["127.0.0.2"]
    direct = front.service.curl("--interface", "127.0.0.3", *options[2:], "-T", archive, "/push/?wait=30")[1]
    _, _, audit = front.curl("/audit?limit=500")
    assert [entry["address"] for entry in audit["entries"] if entry["job"] == direct["id"]] == ["127.0.0.3"]


def test_a_request_has_one_id_from_the_client_to_the_log(front: Front) -> None:
    _, fields, _ = front.curl("-H", "X-Request-Id: from-the-client.1", "/jobs")
    assert fields["x-request-id"] == "from-the-client.1"


def test_nginx_speaks_through_the_socket(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "s"
    environ = {"TARMAC_SOCKET": str(path), "TARMAC_TRUSTED_PROXIES": "unix"}
    with before(tmp_path, "no-prefix", f"http://unix:{path}:", **environ) as front:
        status, fields, job = front.curl("--interface", "127.0.0.2", "-T", archive, "/push/?wait=30")
        assert (status, fields["location"]) == (200, f"/jobs/{job['id']}")
        _, _, audit = front.curl("/audit")
        assert [entry["address"] for entry in audit["entries"]] == ["127.0.0.2"]


CHECKS = {
    "1.0-without-host": "option httpchk GET /healthz",
    "ready": "option httpchk GET /readyz",
    "head": "option httpchk HEAD /healthz",
    "options-as-it-is": "option httpchk GET /healthz HTTP/1.0",
    "1.1-with-any-host": "option httpchk\n  http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host whatever",
}


@pytest.mark.parametrize("check", CHECKS)
def test_haproxy_finds_the_service_up_and_brings_it_clients(tmp_path: Path, archive: Path, check: str) -> None:
    with service(tmp_path / "data", TARMAC_TRUSTED_PROXIES="127.0.0.1") as running:
        port = int(running.address.split(":")[1])
        with HAProxy(tmp_path / "haproxy", port, CHECKS[check]) as haproxy:
            assert haproxy.found() == ("UP", "L7OK")
            front = Front(haproxy.url, "", running)
            for arguments in (
                ("-F", f"archive=@{archive}", "/push?wait=30"),
                ("--http2", "-T", archive, "/push/?wait=30"),
            ):
                status, _, job = front.curl("--interface", "127.0.0.2", *arguments)
                assert (status, job["state"]) == (200, "succeeded")
            _, _, audit = front.curl("/audit")
            assert {entry["address"] for entry in audit["entries"]} == {"127.0.0.2"}
