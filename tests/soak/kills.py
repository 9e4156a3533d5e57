"""kill -9 at a random moment of a mixed load: uploads, paths, cancels, and pushes that share a tag."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.soak import Orders, Report
from tests.soak.oracle import ENDED, SHARED, Sent, losses
from tests.soak.process import LOOK_SECONDS, Tarmac, pause
from tests.support.archives import entry, image, oci_image, oci_layout
from tests.support.docker_registry import DockerRegistry

CLIENTS = 4
LONGEST_LOAD = 0.5  # seconds until the kill; a push of these takes about 50 ms
ARCHIVE_BYTES = (1_000, 400_000)
FRESH_AFTER = 50  # rounds on one data directory and one registry


class Load:
    """What clients send until the service is gone, and what they were told."""

    def __init__(self, service: Tarmac, paths: Path, number: int, chance: random.Random) -> None:
        self._service, self._paths, self._number = service, paths, number
        self._chances = [random.Random(chance.random()) for _ in range(CLIENTS)]
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.sent: list[Sent] = []
        self.refused: list[str] = []  # what a client was told that no client should be

    def start(self) -> None:
        ways = (self._upload, self._path, self._upload_and_cancel, self._share)
        for client, (way, chance) in enumerate(zip(ways, self._chances, strict=True)):
            thread = threading.Thread(target=self._client, args=(way, client, chance))
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _client(self, way: Callable[[int, int, random.Random], Sent], client: int, chance: random.Random) -> None:
        push = 0
        while not self._stopped.is_set():
            try:
                self.sent.append(way(client, push, chance))
            except AssertionError as error:
                self.refused.append(f"client {client}, push {push}: {error}")
            push += 1

    def _archive(self, client: int, chance: random.Random) -> tuple[bytes, str]:
        content = chance.randbytes(chance.randint(*ARCHIVE_BYTES))
        node = oci_image(image({"bin/app": content}), compression="gzip")
        return oci_layout([entry(node)]), node.digest

    def _upload(self, client: int, push: int, chance: random.Random) -> Sent:
        body, digest = self._archive(client, chance)
        sent = Sent(f"soak/upload{chance.randrange(3)}", f"r{self._number}c{client}p{push}", digest, None)
        return self._submit(sent, f"/push?tag={sent.repository}:{sent.tag}", body)

    def _path(self, client: int, push: int, chance: random.Random) -> Sent:
        body, digest = self._archive(client, chance)
        sent = Sent("soak/path", f"r{self._number}c{client}p{push}", digest, None)
        file = self._paths / f"{sent.tag}.tar"
        file.write_bytes(body)
        asked = json.dumps({"paths": [str(file)], "tag": f"{sent.repository}:{sent.tag}"}).encode()
        return self._submit(sent, "/push", asked, "application/json")

    def _upload_and_cancel(self, client: int, push: int, chance: random.Random) -> Sent:
        sent = self._upload(client, push, chance)
        if sent.job is None:
            return sent
        try:
            self._service.ask("POST", f"/jobs/{sent.job}/cancel")
        except OSError:
            self._stopped.set()
        return replace(sent, cancel=True)

    def _share(self, client: int, push: int, chance: random.Random) -> Sent:
        body, digest = self._archive(client, chance)
        sent = Sent(f"soak/shared{self._number}", SHARED, digest, None)
        return self._submit(sent, f"/push?tag={sent.repository}:{sent.tag}", body)

    def _submit(self, sent: Sent, path: str, body: bytes, kind: str = "application/x-tar") -> Sent:
        try:
            status, document = self._service.ask("POST", path, body, kind)
        except OSError:
            self._stopped.set()
            return sent
        assert status == 202, document
        return replace(sent, job=document["id"])


def run(orders: Orders) -> Report:
    chance, report = random.Random(orders.seed), Report("kills")
    while report.rounds < orders.rounds:
        with (
            tempfile.TemporaryDirectory(prefix="tarmac-soak-") as folder,
            DockerRegistry(Path(folder) / "registry") as registry,
        ):
            _rounds(Path(folder), registry, (orders, report), chance)
    return report


def _rounds(folder: Path, registry: DockerRegistry, task: tuple[Orders, Report], chance: random.Random) -> None:
    orders, report = task
    paths = folder / "in"
    paths.mkdir()
    service = Tarmac(folder / "data", {"TARMAC_REGISTRY_URL": registry.url, "TARMAC_PATH_ROOTS": str(paths)})
    service.start()
    try:
        for _ in range(min(FRESH_AFTER, orders.rounds - report.rounds)):
            load = Load(service, paths, report.rounds, chance)
            load.start()
            pause(chance.uniform(0.02, LONGEST_LOAD))
            service.kill()
            load.stop()
            _recover(service, load.sent, report)
            told = [*load.refused, *losses(service, registry, load.sent)]
            found = [f"round {report.rounds}: {loss}" for loss in told]
            report.losses += found
            report.rounds += 1
            print("\n".join(found) if found else "." * (report.rounds % 20 == 0), end="", flush=True)
    finally:
        service.kill()


def _recover(service: Tarmac, sent: list[Sent], report: Report) -> None:
    """Start it again; the time counts until a job of the killed process runs, or has been run to its end."""
    began = time.monotonic()
    service.start()
    accepted = [item.job for item in sent if item.job is not None]
    report.jobs += len(accepted)
    first = [service.ask("GET", f"/jobs/{job}")[1] for job in accepted]
    moved = [document for document in first if document["attempt"] > 1 or document["state"] not in ENDED]
    report.killed_under_way += len(moved)
    while moved and all(document["state"] == "queued" for document in moved):
        pause(LOOK_SECONDS)
        moved = [service.ask("GET", f"/jobs/{document['id']}")[1] for document in moved]
    if moved:
        report.recoveries.append(time.monotonic() - began)
