"""Hostile requests to one service in a process of its own: none gets a 5xx, none leaves a job behind that waits for
what cannot come, none leaves a file in the spool, and none meets an error that the service does not know."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, service
from tests.hostile.http_requests import APP, GROUPS, Hostile

ANSWER_SECONDS = 30.0
SETTLED_SECONDS = 30.0
ACTIVE = ("receiving", "queued", "running")


@dataclass
class Target:
    """A service, the log that it writes, and which of its jobs came of which request."""

    running: Service
    log: Path
    job: str
    jobs: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection(self.running.address, timeout=ANSWER_SECONDS)) as connection:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def document(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("GET", path)[2])
        return found

    def fault_of(self, case: Hostile) -> str | None:
        """What is wrong with the response, if anything."""
        upload = self._upload() if any(b"%UPLOAD%" in segment for segment in case.segments) else ""
        segments = [
            part.replace(b"%JOB%", self.job.encode()).replace(b"%UPLOAD%", upload.encode()) for part in case.segments
        ]
        answer = self._answer(segments, cut=case.cut)
        for made in self.document("/jobs?limit=3&brief=true")["jobs"]:
            self.jobs.setdefault(made["id"], str(case))
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        for made_upload in re.findall(r"(?mi)^location: .*/uploads/([0-9a-f]{32})", head):
            self.ask("DELETE", f"/uploads/{made_upload}", Tus_Resumable="1.0.0")
        if upload:
            self.ask("DELETE", f"/uploads/{upload}", Tus_Resumable="1.0.0")
        status = head.partition(" ")[2][:3]
        if not status.isdigit():
            return None if case.cut and not answer else f"{case}: no response but {answer[:60]!r}"
        return f"{case}: {head[:40]} {answer[-300:]!r}" if int(status) >= 500 else None

    def _upload(self) -> str:
        fields = self.ask("POST", "/uploads", Tus_Resumable="1.0.0", Upload_Length="1000")[1]
        return fields["location"].rpartition("/")[2]

    def _answer(self, segments: list[bytes], *, cut: bool) -> bytes:
        """The head of the response and what comes with it; interim responses are left out."""
        host, port = self.running.address.split(":")
        answer = b""
        with closing(socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)) as client:
            try:
                for segment in segments:
                    client.sendall(segment)
                if cut:
                    client.shutdown(socket.SHUT_WR)
                while b"\r\n\r\n" not in (answer := answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")):
                    piece = client.recv(65_536)
                    if not piece:
                        break
                    answer += piece
            except (ConnectionError, TimeoutError) as error:
                return answer or repr(error).encode()
        return answer

    def waiting(self) -> list[str]:
        """The jobs that are not over when all had the time for it."""
        until = time.monotonic() + SETTLED_SECONDS
        while True:
            found = [job for state in ACTIVE for job in self.document(f"/jobs?state={state}&limit=500")["jobs"]]
            if not found or time.monotonic() > until:
                for job in found:
                    self.ask("POST", f"/jobs/{job['id']}/cancel")
                return [f"{self.jobs.get(job['id'], 'unknown')}: {job['state']}" for job in found]
            self.ask("GET", f"/jobs/{found[0]['id']}?wait=0.2")

    def forget(self) -> None:
        """Every job that has ended, and what it keeps for a retry."""
        while jobs := [job for job in self.document("/jobs?limit=500&brief=true")["jobs"] if job["id"] != self.job]:
            for job in jobs:
                assert self.ask("DELETE", f"/jobs/{job['id']}")[0] == 204, job


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("hostile")
    roots = folder / "in"
    roots.mkdir()
    log = folder / "log"
    settings = {"TARMAC_TRUSTED_PROXIES": "127.0.0.1", "TARMAC_PATH_ROOTS": str(roots), "TARMAC_BASE_PATH": "/tarmac"}
    with service(folder / "data", None, None, log, **settings) as running:
        found = Target(running, log, "")
        status, _, body = found.ask("POST", "/push?wait=30", APP)
        assert status == 200
        found.job = json.loads(body)["id"]
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", GROUPS)
def test_no_request_breaks_the_service_or_leaves_anything_behind(target: Target, group: str) -> None:
    faults = [fault for case in GROUPS[group] if (fault := target.fault_of(case))]
    faults += [f"waits for ever: {job}" for job in target.waiting()]
    text = target.log.read_text(errors="replace")
    faults += [f"log: {line[:300]}" for line in text.splitlines() if '"level": "error"' in line or "Traceback" in line]
    target.log.write_text("")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:60])
    target.forget()
    kept = [path.name for name in ("spool", "uploads") for path in (target.running.data / name).iterdir()]
    assert kept == []


def test_there_are_enough_of_them() -> None:
    cases = [case for group in GROUPS.values() for case in group]
    assert len(cases) > 800
    assert len({str(case) for case in cases}) == len(cases)


def test_no_file_was_made_outside_of_the_data_directory(target: Target) -> None:
    assert sorted(os.listdir(target.running.data.parent)) == ["data", "in", "log"]
