"""kill -9 at a random moment of pushes, pulls, deletions and prunes of the image store.

Each client changes a repository of its own, so that what a tag may have is known: the last answer, or what was asked
for when the service was killed. All clients pull everything. A command prunes beside the service."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak import Orders, Report
from tests.soak.process import Tarmac, connect, pause
from tests.support.archives import Node, entry, image, oci_artifact, oci_image, oci_index, oci_layout
from tests.support.forked import Program
from tests.support.peers import peer

CLIENTS = 4
LONGEST_LOAD = 2.0  # seconds until the kill
SECONDS = 20.0  # for an answer
DRAIN_LOOKS = 600
FRESH_AFTER = 50  # rounds on one data directory
COMPARED_EVERY = 10  # rounds, with skopeo
TAGS = ("1", "2", "3")
LAYERS = [bytes([65 + number]) * 40_000 for number in range(6)]  # shared between images and clients


def some_image(chance: random.Random) -> Node:
    def single() -> Node:
        files = [{"base": chance.choice(LAYERS)}, {"own": chance.randbytes(chance.randint(100, 60_000))}]
        return oci_image(image(*files), compression="gzip")

    return oci_index([single(), single()]) if chance.random() < 0.3 else single()


@dataclass(slots=True)
class Client:
    """`tags`: what each tag of its repository may have, None for no tag; more than one if an answer is missing."""

    number: int
    chance: random.Random
    tags: dict[str, set[str | None]] = field(default_factory=lambda: {tag: {None} for tag in TAGS})

    @property
    def repository(self) -> str:
        return f"soak/client{self.number}"


class Load:
    """What the clients do until the service is gone, and what went wrong meanwhile."""

    def __init__(self, service: Tarmac, clients: list[Client], report: Report) -> None:
        self._service, self._clients, self._report = service, clients, report
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(client,)) for client in clients]
        self.wrong: list[str] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, client: Client) -> None:
        ways = (self._push, self._push, self._push, self._pull, self._pull, self._delete, self._prune)
        while not self._stopped.is_set():
            try:
                client.chance.choice(ways)(client)
            except (OSError, http.client.HTTPException):
                return  # the service was killed
            except AssertionError as error:
                self.wrong.append(f"client {client.number}: {error}")

    def _push(self, client: Client) -> None:
        node, tag = some_image(client.chance), client.chance.choice(TAGS)
        body = oci_layout([entry(node), entry(oci_artifact(b"signature", subject=node))])
        client.tags[tag] = {*client.tags[tag], node.digest}
        path = f"/push?tag={client.repository}:{tag}&wait={int(SECONDS)}"
        status, document = self._service.ask("POST", path, body, "application/x-tar")
        assert (status, document.get("state")) == (200, "succeeded"), document
        client.tags[tag] = {node.digest}
        self._report.jobs += 1

    def _pull(self, client: Client) -> None:
        other = client.chance.choice(self._clients)
        wrong = broken_pull(self._service, other.repository, client.chance.choice(TAGS), f"127.0.0.{2 + client.number}")
        self._report.add("pulls", 1)
        assert wrong is None, wrong

    def _delete(self, client: Client) -> None:
        tag = client.chance.choice(TAGS)
        client.tags[tag] = {*client.tags[tag], None}
        if client.chance.random() < 0.5:
            status, _ = self._service.ask("DELETE", f"/store/{client.repository}?tag={tag}")
        else:
            status, _, _ = fetch(self._service, f"/v2/{client.repository}/manifests/{tag}", "127.0.0.1", "DELETE")
        assert status in {200, 202, 404}, status
        client.tags[tag] = {None}
        self._report.add("deletions", 1)

    def _prune(self, client: Client) -> None:
        if client.chance.random() < 0.5:
            status, document = self._service.ask("POST", "/store/prune")
            assert status == 200, document
        else:
            command = ["images", "prune", "--data-dir", str(self._service.data)]
            assert Program(command, {}, self._service.log).wait() == 0
        self._report.add("prunes", 1)


def fetch(service: Tarmac, path: str, address: str, method: str = "GET") -> tuple[int, bytes, str]:
    """Return status, body and media type, as a client at `address` of the loopback network gets them."""
    connection = connect(service.port, SECONDS, address=address)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("Content-Type", "")
    finally:
        connection.close()


def broken_pull(service: Tarmac, repository: str, reference: str, address: str) -> str | None:
    """Return what is wrong with a pull whose first answer was a manifest; None if nothing is."""
    status, raw, _ = fetch(service, f"/v2/{repository}/manifests/{reference}", address)
    if status == 404:
        return None
    if status != 200:
        return f"GET {repository}:{reference} is {status}"
    members = json.loads(raw)
    for child in members.get("manifests", ()):
        wrong = broken_pull(service, repository, child["digest"], address)
        found, _, _ = fetch(service, f"/v2/{repository}/manifests/{child['digest']}", address)
        if wrong or found != 200:
            return wrong or f"{child['digest']} of {repository}:{reference} is {found}"
    for blob in filter(None, (members.get("config"), *members.get("layers", ()))):
        status, content, _ = fetch(service, f"/v2/{repository}/blobs/{blob['digest']}", address)
        if (status, f"sha256:{hashlib.sha256(content).hexdigest()}") != (200, blob["digest"]):
            return f"blob {blob['digest']} of {repository}:{reference} is {status}, {len(content)} bytes"
    return None


def run(orders: Orders) -> Report:
    chance, report = random.Random(orders.seed), Report("store")
    while report.rounds < orders.rounds:
        with tempfile.TemporaryDirectory(prefix="tarmac-soak-") as folder:
            _rounds(Path(folder), (orders, report), chance)
    return report


def _rounds(folder: Path, task: tuple[Orders, Report], chance: random.Random) -> None:
    orders, report = task
    service = Tarmac(folder / "data", {}, program=())
    clients = [Client(number, random.Random(chance.random())) for number in range(CLIENTS)]
    service.start()
    try:
        for _ in range(min(FRESH_AFTER, orders.rounds - report.rounds)):
            load = Load(service, clients, report)
            load.start()
            pause(chance.uniform(0.05, LONGEST_LOAD))
            service.kill()
            load.stop()
            report.recoveries.append(service.start())
            wrong = [*load.wrong, *_losses(service, clients, report)]
            found = [f"round {report.rounds}: {loss}" for loss in wrong]
            report.losses += found
            report.rounds += 1
            print("\n".join(found) if found else "." * (report.rounds % 20 == 0), end="", flush=True)
    finally:
        service.kill()


def _losses(service: Tarmac, clients: list[Client], report: Report) -> Iterator[str]:
    """After all jobs have ended: tags that have what they must not, images that are broken, bytes that are left."""
    for _ in range(DRAIN_LOOKS):
        states = service.ask("GET", "/status")[1]["jobs"]
        if not any(states.get(state) for state in ("receiving", "queued", "running")):
            break
        pause(0.05)
    for client in clients:
        for tag, possible in client.tags.items():
            status, raw, _ = fetch(service, f"/v2/{client.repository}/manifests/{tag}", "127.0.0.1")
            has = f"sha256:{hashlib.sha256(raw).hexdigest()}" if status == 200 else None
            if has not in possible:
                yield f"{client.repository}:{tag} has {has}, not {possible}"
            client.tags[tag] = {has}
            wrong = broken_pull(service, client.repository, tag, "127.0.0.1")
            if wrong:
                yield wrong
            elif has and report.rounds % COMPARED_EVERY == 0:
                yield from _differs(service, client.repository, tag)
                report.add("images compared with skopeo", 1)
    for path in (service.data / "images" / ".uses").glob("pull-*"):
        path.unlink()  # of clients that were killed with the service; they would count for a minute
    _, pruned = service.ask("POST", "/store/prune")
    if pruned["in_use_bytes"]:
        yield f"{pruned['in_use_bytes']} bytes are in use by no one"
    yield from _left_over(service.data / "images")


def _differs(service: Tarmac, repository: str, tag: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        command = [peer("skopeo"), "copy", "--all", "--insecure-policy", "--src-tls-verify=false"]
        command += [f"docker://127.0.0.1:{service.port}/{repository}:{tag}", f"dir:{folder}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"skopeo: {repository}:{tag}: {done.stderr[-300:]}"
            return
        stored = (Path(folder) / "manifest.json").read_bytes()
        if stored != fetch(service, f"/v2/{repository}/manifests/{tag}", "127.0.0.1")[1]:
            yield f"skopeo: {repository}:{tag} has another manifest"


def _left_over(layout: Path) -> Iterator[str]:
    """Blobs that nothing in index.json leads to, and those that it misses. It reads the files itself."""
    wanted = set[str]()
    pending: list[Any] = json.loads((layout / "index.json").read_bytes())["manifests"]
    while pending:
        digest = pending.pop()["digest"]
        if digest in wanted:
            continue
        wanted.add(digest)
        members = json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())
        pending += members.get("manifests", ())
        wanted.update(blob["digest"] for blob in filter(None, (members.get("config"), *members.get("layers", ()))))
    there = {f"{path.parent.name}:{path.name}" for path in (layout / "blobs").rglob("*") if path.is_file()}
    yield from (f"{digest} is left in the store" for digest in there - wanted)
    yield from (f"{digest} is missing in the store" for digest in wanted - there)
    yield from (f"{path.name} is left in {path.parent.name}" for path in (layout / ".incoming").iterdir())
