"""What has to go on: the probe of a supervisor, and the pushes of a token that does no harm."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
import time
from dataclasses import dataclass, field

from tests.soak.process import connect
from tests.support.archives import docker_save, image, tagged

PROBE_SECONDS = 0.5
PUSH_BYTES = 48 << 20  # enough that five times its quiet time is more than a moment
PROBE_PATIENCE_SECONDS = 10.0
PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class Honest:
    """`token`: of the pushes; `tls`: None if the service has none; `probes` and `pushes`: how long each took, in
    seconds; `faults`: what went wrong."""

    port: int
    token: str
    tls: ssl.SSLContext | None = None
    probes: list[float] = field(default_factory=list)
    pushes: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def probe(self) -> None:
        began = time.monotonic()
        connection = connect(self.port, PROBE_PATIENCE_SECONDS, self.tls, "127.0.3.1")
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
            if status != 200:
                self.faults.append(f"/healthz answered {status}")
        except OSError as error:
            self.faults.append(f"/healthz: {error!r}")
        finally:
            connection.close()
        self.probes.append(time.monotonic() - began)

    def push(self) -> None:
        content = docker_save([tagged(image({"data": os.urandom(PUSH_BYTES)}), "honest/app:1")])
        began = time.monotonic()
        connection = connect(self.port, PATIENCE_SECONDS, self.tls, "127.0.3.2")
        try:
            connection.request("POST", "/push?wait=240", content, {"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            document = json.loads(answer.read())
            if answer.status != 200:
                self.faults.append(f"an honest push was answered {answer.status} {document.get('code', '')}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.faults.append(f"an honest push: {error!r}")
        finally:
            connection.close()
        self.pushes.append(time.monotonic() - began)

    def keep_probing(self, over: threading.Event) -> None:
        while not over.wait(PROBE_SECONDS):
            self.probe()

    def keep_pushing(self, over: threading.Event) -> None:
        while not over.wait(1):
            self.push()
