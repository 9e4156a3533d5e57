"""kill -9 in the middle of resumable uploads: tus-js-client goes on, and the bytes are the same each time."""

from __future__ import annotations

import hashlib
import random
import subprocess
import tempfile
from pathlib import Path

from tests.soak import Orders, Report
from tests.soak.process import Tarmac, pause
from tests.support.archives import docker_save, image, tagged
from tests.support.peers import peer

CLIENT = Path(__file__).with_name("tus_client.cjs")
ARCHIVE_BYTES = (2_000_000, 6_000_000)  # 0.15 to 0.5 s as slowly as the client sends them
UNTIL_THE_KILL = (0.01, 0.25)  # seconds from the first answer on
MOST_KILLS = 2  # of one upload
CLIENT_SECONDS = 60.0


def run(orders: Orders) -> Report:
    report, chance = Report("resume"), random.Random(orders.seed)
    with tempfile.TemporaryDirectory() as place:
        service = Tarmac(Path(place) / "data", {})
        service.start()
        try:
            for number in range(orders.rounds):
                report.losses += _round(service, Path(place) / f"{number}.tar", chance, report)
                report.rounds += 1
        finally:
            service.kill()
    return report


def _round(service: Tarmac, file: Path, chance: random.Random, report: Report) -> list[str]:
    content = chance.randbytes(chance.randint(*ARCHIVE_BYTES))
    whole = docker_save([tagged(image({"bin/app": content}), f"example.com/soak/{file.stem}:1")])
    file.write_bytes(whole)
    url = f"http://127.0.0.1:{service.port}/uploads"
    command = [peer("node"), str(CLIENT), url, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stderr is not None
        client.stderr.readline()
        report.jobs += 1
        for _ in range(chance.randint(1, MOST_KILLS)):
            pause(chance.uniform(*UNTIL_THE_KILL))
            report.killed_under_way += client.poll() is None
            service.kill()
            report.recoveries.append(service.start())
        out, error = client.communicate(timeout=CLIENT_SECONDS)
    file.unlink()
    if client.returncode != 0:
        return [f"{file.stem}: the client gave up: {error.strip()[-500:]}"]
    return _differences(service, out.strip(), whole)


def _differences(service: Tarmac, path: str, whole: bytes) -> list[str]:
    job = service.job(path.rpartition("/")[2])
    expected = f"sha256:{hashlib.sha256(whole).hexdigest()}"
    found = [(archive["size"], archive["digest"]) for archive in job["archives"]]
    if job["state"] != "succeeded" or found != [(len(whole), expected)]:
        return [f"{path}: {job['state']}, {found} instead of {(len(whole), expected)}: {job['problem']}"]
    return []
