"""Make the golden files of a release, by running that release: `python -m tests.stored.make CHECKOUT TARGET`.

CHECKOUT: a directory with the release's source; this Python has its dependencies. The services work below HOME, so that
no path of one machine gets into what they store; run this as root within `unshare --uts`, after `hostname ingest-1`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.service import Service, _await_start
from tests.stored.archives import ARCHIVES, EMBEDDED, NAMES
from tests.support.docker_registry import DockerRegistry, free_port
from tests.support.nginx import Nginx
from tests.support.postgres import Postgres, binaries

HOME = Path("/srv/tarmac")
ADMIN, CI = "tarmac_golden-admin", "tarmac_golden-ci"  # of services that ran on loopback for a minute
TUS = ("-H", "Tus-Resumable: 1.0.0")
STREAM = (*TUS, "-H", "Content-Type: application/offset+octet-stream")
Document = dict[str, Any]


def main(checkout: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for make in (make_embedded, make_sqlite, make_postgres):
        shutil.rmtree(HOME, ignore_errors=True)
        (HOME / "in").mkdir(parents=True)
        for name in NAMES:
            (HOME / "in" / name).write_bytes(ARCHIVES[name])
        tokens = ((ADMIN, "admin", "admin", ""), (CI, "ci", "push,read", "team,library"))
        lines = [
            f"{name}:{hashlib.sha256(token.encode()).hexdigest()}:{roles}:{tail}" for token, name, roles, tail in tokens
        ]
        (HOME / "tokens").write_text("".join(f"{line}\n" for line in lines))
        make(checkout, target)


@contextmanager
def release(checkout: Path, **environ: str) -> Iterator[Service]:
    """A service of the release; it is killed at the end, unless it has ended before."""
    port = int(environ.get("TARMAC_PORT") or free_port())
    settings = {"TARMAC_PORT": str(port), "TARMAC_DATA_DIR": str(HOME / "data"), "TARMAC_PATH_ROOTS": str(HOME / "in")}
    settings["TARMAC_TOKENS_FILE"] = str(HOME / "tokens")
    command = [sys.executable, "-m", "app", "serve"]
    with (Path("/tmp") / "stored-make.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=checkout, env={**os.environ, **settings, **environ}, stderr=log)
    try:
        running = Service(f"127.0.0.1:{port}", HOME / "data", process)
        _await_start(running)
        yield running
    finally:
        process.kill()
        process.wait(20)


def call(service: Service, *arguments: str | Path, token: str = ADMIN, stdin: bytes | None = None) -> Document:
    _, document = service.curl("-H", f"Authorization: Bearer {token}", *arguments, stdin=stdin)
    return document or {}


def push(service: Service, name: str, query: str = "", *options: str, token: str = ADMIN) -> Document:
    """The job, `receiving` or `queued`."""
    sent: Document = service.curl(
        "-H", f"Authorization: Bearer {token}", *options, "-T", HOME / "in" / name, f"/push/{name}?{query}"
    )[1]
    assert "id" in sent or "job" in sent or "code" in sent, sent
    return sent


def ended(service: Service, job: Document) -> Document:
    return call(service, f"/jobs/{job['id']}?wait=60")


def until(service: Service, job: Document, state: str) -> Document:
    deadline = time.monotonic() + 120
    while (found := call(service, f"/jobs/{job['id']}?wait=1"))["state"] != state or (
        state == "queued" and job.get("away") and not found["next_attempt_at"]
    ):
        assert time.monotonic() < deadline, found
    return found


def begin_upload(service: Service, size: int | None, **values: str) -> str:
    """The path of a new tus upload."""
    pairs = ",".join(
        f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in values.items() if key != "concat"
    )
    length = "Upload-Defer-Length: 1" if size is None else f"Upload-Length: {size}"
    more = ("-H", f"Upload-Concat: {values['concat']}") if "concat" in values else ()
    return created(service, *TUS, "-H", length, "-H", f"Upload-Metadata: {pairs}", *more)


def created(service: Service, *options: str) -> str:
    command = [
        "curl",
        "-sS",
        "-D",
        "-",
        "-o",
        "/dev/null",
        "-X",
        "POST",
        "-H",
        f"Authorization: Bearer {ADMIN}",
        *options,
    ]
    head = subprocess.run([*command, f"{service.url}/uploads"], capture_output=True, check=True).stdout.decode()
    found = [line.partition(": ")[2].strip() for line in head.splitlines() if line.lower().startswith("location:")]
    assert found, head
    return found[0]


def append(service: Service, upload: str, offset: int, content: bytes, *options: str) -> None:
    sent = ("-X", "PATCH", "--data-binary", "@-", *(options or STREAM), "-H", f"Upload-Offset: {offset}")
    service.curl("-H", f"Authorization: Bearer {ADMIN}", *sent, upload, stdin=content)


def stall(service: Service, method: str, path: str, body: bytes, *headers: str) -> socket.socket:
    """A request of which half the body was sent."""
    host, _, port = service.address.partition(":")
    connection = socket.create_connection((host, int(port)))
    head = [f"{method} {path} HTTP/1.1", f"Host: {service.address}", f"Authorization: Bearer {ADMIN}"]
    head += [f"Content-Length: {len(body)}", *headers]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])
    return connection


def keep(service: Service, target: Path) -> None:
    """The documents as the release served them."""
    listed = call(service, "/jobs?limit=500")["jobs"]
    documents = {"jobs": [call(service, f"/jobs/{job['id']}") for job in listed]}
    documents["audit"] = call(service, "/audit?limit=500")["entries"]
    target.write_text(json.dumps(documents, indent=1, sort_keys=True) + "\n")


def packed(target: Path) -> None:
    """HOME as it is, in a form that is the same for the same bytes."""

    def bare(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if info.name.startswith("./in"):
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(target, "w:xz") as archive:
        archive.add(HOME, arcname=".", filter=bare)


def make_embedded(checkout: Path, target: Path) -> None:
    """Images and referrers in the embedded destination, stopped in order."""
    with release(checkout, TARMAC_PORT="8080") as service:
        for name in EMBEDDED:
            job = ended(service, push(service, name))
            assert job["state"] == "succeeded", job
        keep(service, target / "embedded.json")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(30)
    packed(target / "embedded.tar.xz")


def make_sqlite(checkout: Path, target: Path) -> None:
    with ExitStack() as stack:
        registry = stack.enter_context(DockerRegistry(Path("/tmp/stored-make/registry")))
        stalled = stack.enter_context(DockerRegistry(Path("/tmp/stored-make/stalled")))
        shutil.rmtree("/tmp/stored-make/nginx", ignore_errors=True)
        narrow = stack.enter_context(Nginx(Path("/tmp/stored-make/nginx"), registry.port, "100k"))
        (HOME / "watch").mkdir()
        urls = {
            "default": registry.url,
            "narrow": narrow.url,
            "stalled": stalled.url,
            "away": f"http://127.0.0.1:{free_port()}",
        }
        configuration = "".join(f'[registries.{name}]\nurl = "{url}"\n' for name, url in urls.items())
        (HOME / "tarmac.toml").write_text(configuration)
        environ = {
            "TARMAC_CONFIG": str(HOME / "tarmac.toml"),
            "TARMAC_WATCH_DIR": str(HOME / "watch"),
            "TARMAC_WATCH_SETTLE": "1s",
            "TARMAC_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/hook",
            "TARMAC_MAX_RUNNING_JOBS": "2",
        }
        service = stack.enter_context(release(checkout, **environ))
        away = {**push(service, "one.tar", "registry=away&label=kind=outage", token=CI), "away": True}
        make_ended(service)
        make_uploads(service)
        until(service, away, "queued")
        stalled.send_signal(19)
        make_under_way(service, stack)
        keep(service, target / "sqlite.json")
        service.process.kill()
        service.process.wait(20)
        stalled.send_signal(18)
    packed(target / "sqlite.tar.xz")


def make_ended(service: Service) -> None:
    """Jobs of every end, one after the other."""
    for name, query, options in (
        ("one.tar", "label=kind=pushed&label=team=a", ("-H", "Idempotency-Key: golden-1")),
        ("one.tar", "label=kind=present&verify=blobs", ()),
        ("other.tar", "tag=team/one:1&on_existing_tag=skip&label=kind=skipped", ()),
        ("one.tar", "dry_run=true&label=kind=planned&prefix=planned", ()),
        ("two.tar", "on_existing_tag=error&label=kind=partly&prefix=mirror", ()),
        ("layout.tar", "label=kind=layout&priority=3&platforms=linux/amd64", ()),
        ("random.tar", "registry=narrow&label=kind=narrow&prefix=narrow", ()),
        ("nameless.tar", "label=kind=nameless", ()),
        ("corrupt.tar", "label=kind=corrupt", ()),
        ("truncated.tar", "label=kind=truncated", ()),
    ):
        if "kind=partly" in query:
            ended(service, push(service, "one.tar", "prefix=mirror&tag=team/b:1&label=kind=occupant"))
        sent = push(service, name, query, *options, token=CI if "kind=pushed" in query else ADMIN)
        if "id" in sent:
            ended(service, sent)
    paths = json.dumps(
        {
            "paths": [str(HOME / "in" / "gzipped.tar.gz")],
            "label": ["kind=path"],
            "rename": ["example.com/team/one:1=team/renamed:2"],
        }
    )
    ended(
        service,
        call(service, "-H", "Content-Type: application/json", "--data-binary", "@-", "/push", stdin=paths.encode()),
    )
    shutil.copy(HOME / "in" / "other.tar", HOME / "watch" / "other.tar")
    shutil.copy(HOME / "in" / "corrupt.tar", HOME / "watch" / "corrupt.tar")
    deadline = time.monotonic() + 60
    while not (
        (HOME / "watch" / "done" / "other.tar").exists() and (HOME / "watch" / "failed" / "corrupt.tar").exists()
    ):
        assert time.monotonic() < deadline
        call(service, "/jobs?limit=1")


def make_uploads(service: Service) -> None:
    """Resumable uploads that are complete, and some under way."""
    one, packed_one, other = ARCHIVES["one.tar"], ARCHIVES["gzipped.tar.gz"], ARCHIVES["other.tar"]
    held = begin_upload(service, len(one), filename="held.tar", hold="true", label="kind=held")
    append(service, held, 0, one)
    pushed = call(
        service,
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        "@-",
        f"{held}/push",
        stdin=b'{"prefix": "again", "label": ["kind=held-again"]}',
    )
    ended(service, pushed)
    nameless = ARCHIVES["nameless.tar"]
    append(
        service,
        begin_upload(service, len(nameless), filename="nameless-held.tar", hold="true", label="kind=held-nameless"),
        0,
        nameless,
    )
    append(service, begin_upload(service, len(other), filename="tus.tar", label="kind=tus"), 0, other)
    for kind, content, more in (
        ("tus-half", one, {}),
        ("tus-held-half", one, {"hold": "true", "prefix": "held"}),
        ("tus-gzip-half", packed_one, {"prefix": "gzip"}),
        ("tus-checksum-half", other, {"checksum": f"sha256:{hashlib.sha256(other).hexdigest()}"}),
    ):
        append(
            service,
            begin_upload(service, len(content), filename=f"{kind}.tar", label=f"kind={kind}", **more),
            0,
            content[: len(content) // 2],
        )
    deferred = begin_upload(service, None, filename="tus-deferred.tar", label="kind=tus-deferred")
    append(service, deferred, 0, one[:1024])
    begin_upload(service, len(one), filename="tus-empty.tar", label="kind=tus-empty")
    for content in (one[:1536], one[1536:]):
        append(service, begin_upload(service, len(content), concat="partial", filename="part.tar"), 0, content[:1536])
    draft = created(
        service,
        "-H",
        "Upload-Complete: ?0",
        "-H",
        'Content-Disposition: inline; filename="draft.tar"',
        "-H",
        "Content-Length: 0",
    )
    append(service, draft, 0, one[:2048], "-H", "Content-Type: application/partial-upload", "-H", "Upload-Complete: ?0")


def make_under_way(service: Service, stack: ExitStack) -> None:
    """What a kill finds: a request with half its body, jobs that run, jobs in the queue, one that was cancelled."""
    one, other = ARCHIVES["one.tar"], ARCHIVES["other.tar"]
    stopped = push(service, "two.tar", "registry=stalled&label=kind=cancelled-running")
    until(service, stopped, "running")
    call(service, "-X", "POST", f"/jobs/{stopped['id']}/cancel")
    runs = [push(service, "one.tar", f"registry=stalled&label=kind=running&prefix=p{number}") for number in range(2)]
    for job in runs:
        until(service, job, "running")
    push(service, "two.tar", "label=kind=queued&prefix=later&priority=1", "-H", "Idempotency-Key: golden-2")
    paths = json.dumps(
        {
            "paths": [str(HOME / "in" / "other.tar")],
            "label": ["kind=queued-path"],
            "prefix": "later",
            "checksum": f"sha256:{hashlib.sha256(other).hexdigest()}",
        }
    )
    call(service, "-H", "Content-Type: application/json", "--data-binary", "@-", "/push", stdin=paths.encode())
    gone = push(service, "one.tar", "label=kind=cancelled&prefix=later")
    call(service, "-X", "POST", f"/jobs/{gone['id']}/cancel")
    complete = begin_upload(service, len(one), filename="tus-queued.tar", label="kind=tus-queued", prefix="queued")
    append(service, complete, 0, one)
    held = begin_upload(
        service, len(one), filename="held-queued.tar", label="kind=held-queued", prefix="queued", hold="true"
    )
    append(service, held, 0, one)
    unproven = begin_upload(service, len(other), filename="unproven.tar", label="kind=unproven")
    append(service, unproven, 0, other[:1000])
    proof = base64.b64encode(hashlib.sha1(other[1000:]).digest()).decode()
    fields = ("Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream", "Upload-Offset: 1000")
    stack.enter_context(stall(service, "PATCH", unproven, other[1000:], *fields, f"Upload-Checksum: sha1 {proof}"))
    stack.enter_context(stall(service, "PUT", "/push/raw.tar?label=kind=receiving", one))
    wait_for_raw(service)


def wait_for_raw(service: Service) -> None:
    """Until the request whose body has stopped is known as a job with an archive."""
    deadline = time.monotonic() + 30
    names = set[str]()
    while "raw.tar" not in names:
        assert time.monotonic() < deadline
        jobs = call(service, "/jobs?state=receiving&limit=500")["jobs"]
        names = {archive["name"] for job in jobs for archive in job["archives"]}


def make_postgres(checkout: Path, target: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Postgres())
        registry = stack.enter_context(DockerRegistry(Path("/tmp/stored-make/registry-2")))
        stalled = stack.enter_context(DockerRegistry(Path("/tmp/stored-make/stalled-2")))
        url = server.create()
        urls = {"default": registry.url, "stalled": stalled.url, "away": f"http://127.0.0.1:{free_port()}"}
        (HOME / "tarmac.toml").write_text(
            "".join(f'[registries.{name}]\nurl = "{url}"\n' for name, url in urls.items())
        )
        environ = {
            "TARMAC_CONFIG": str(HOME / "tarmac.toml"),
            "TARMAC_DATABASE_URL": url,
            "TARMAC_MAX_RUNNING_JOBS": "2",
        }
        environ["TARMAC_WEBHOOK_URL"] = f"http://127.0.0.1:{free_port()}/hook"
        service = stack.enter_context(release(checkout, **environ))
        away = {**push(service, "one.tar", "registry=away&label=kind=outage", token=CI), "away": True}
        for name, query, options in (
            ("one.tar", "label=kind=pushed&label=team=a", ("-H", "Idempotency-Key: golden-1")),
            ("one.tar", "label=kind=present", ()),
            ("one.tar", "dry_run=true&label=kind=planned&prefix=planned", ()),
            ("nameless.tar", "label=kind=nameless", ()),
            ("corrupt.tar", "label=kind=corrupt", ()),
        ):
            sent = push(service, name, query, *options, token=CI if "kind=pushed" in query else ADMIN)
            if "id" in sent:
                ended(service, sent)
        make_uploads(service)
        until(service, away, "queued")
        stalled.send_signal(19)
        make_under_way(service, stack)
        keep(service, target / "postgres.json")
        service.process.kill()
        service.process.wait(20)
        stalled.send_signal(18)
        name = url.partition("@/")[2].partition("?")[0]
        folder = url.partition("host=")[2]
        dump = [str(binaries() / "pg_dump"), "-h", folder, "-U", "tarmac", "--no-owner", "--inserts", name]
        text = subprocess.run(dump, capture_output=True, check=True).stdout.decode()
        newer = ("\\restrict", "\\unrestrict", "SET transaction_timeout")  # that servers and psql before do not know
        lines = [line for line in text.splitlines() if not line.startswith(newer)]
        (target / "postgres.sql").write_text("\n".join(lines) + "\n")
    packed(target / "postgres.tar.xz")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
