"""`python -m tests.denial --seconds 600`: exit status 0 if the service lived, its probe was answered within a second
throughout, and honest pushes ended within five times their quiet time."""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.denial.attacks import trusting
from tests.denial.confinement import MEMORY_BYTES, Confinement
from tests.denial.honest import Honest
from tests.denial.issuer import Issuer
from tests.soak.process import ROOT, Tarmac
from tests.support.certificates import make_certificates

QUIET_PUSHES = 5
PROBE_SECONDS = 1.0
MOST_TIMES = 5.0  # the quiet time of a push
FILES = 30_000
BAD_TOKENS = 4


def prepared(folder: Path, issuer: Issuer, *, plain: bool = False) -> dict[str, str]:
    """Make what the service and the attacks need, and return its settings; `plain`: without TLS."""
    names = {f"bad-{number}": f"token-of-bad-{number}" for number in range(BAD_TOKENS)}
    lines = [f"{name}:{hashlib.sha256(token.encode()).hexdigest()}" for name, token in names.items()]
    (folder / "tokens").write_text("\n".join(lines) + "\n")
    for number in range(FILES):
        place = folder / "paths" / str(number % 100)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.tar").touch()
    return {
        "TARMAC_TOKENS_FILE": str(folder / "tokens"),
        "TARMAC_PATH_ROOTS": str(folder / "paths"),
        **({} if plain else tls_settings(folder)),
        **issuer.settings(),
    }


def tls_settings(folder: Path) -> dict[str, str]:
    certificates = make_certificates(folder)
    return {"TARMAC_TLS_CERT": str(certificates.certificate), "TARMAC_TLS_KEY": str(certificates.key)}


def attacked(
    service: Tarmac, confinement: Confinement, honest: Honest, folder: Path, how: tuple[float, list[str]]
) -> str:
    """Attack for so many seconds, in all ways or only some; return what the attacks were answered."""
    seconds, only = how
    over = threading.Event()
    command = [sys.executable, "-m", "tests.denial.attacks", str(service.port), str(folder), str(seconds), *only]
    workers = [threading.Thread(target=work, args=(over,)) for work in (honest.keep_probing, honest.keep_pushing)]
    assert service.process is not None
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attacks:
        for worker in workers:
            worker.start()
        until = time.monotonic() + seconds + 60
        while attacks.poll() is None and service.process.poll() is None and time.monotonic() < until:
            confinement.look(service.process.pid)
            over.wait(0.2)
        over.set()
        attacks.terminate()
        told = attacks.communicate()[0]
        if attacks.returncode not in (0, -15):
            honest.faults.append(f"the attacks ended with {attacks.returncode}")
    for worker in workers:
        worker.join()
    return told


def report(quiet: float, honest: Honest, confinement: Confinement) -> list[str]:
    """Print the figures; return what must not be."""
    probe, push = max(honest.probes, default=0.0), max(honest.pushes, default=0.0)
    median = statistics.median(honest.pushes) if honest.pushes else 0.0
    print(f"memory: at most {confinement.peak_bytes >> 20} MiB of {MEMORY_BYTES >> 20}, kills: {confinement.kills}")
    print(f"/healthz: {len(honest.probes)} times, at most {probe:.2f} s")
    print(f"honest pushes: {len(honest.pushes)}; quiet {quiet:.2f} s, median {median:.2f} s, at most {push:.2f} s")
    faults = sorted(set(honest.faults))
    if confinement.kills or confinement.peak_bytes > MEMORY_BYTES:
        faults.append("the service took more memory than it is given")
    if probe > PROBE_SECONDS or not honest.probes:
        faults.append(f"/healthz took {probe:.2f} s")
    if push > MOST_TIMES * quiet or not honest.pushes:
        faults.append(f"an honest push took {push / quiet:.1f} times its quiet time")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.denial")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--only", default="", help="some of the attacks, divided by commas")
    arguments = parser.parse_args()
    how = arguments.seconds, [name for name in arguments.only.split(",") if name]
    confinement = Confinement()
    print(f"confined by {'a memory cgroup' if confinement.folder else 'looking at its memory'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tarmac-denial-", dir="/var/tmp") as place:
        folder, issuer = Path(place), Issuer()
        service = Tarmac(folder / "data", prepared(folder, issuer, plain=arguments.plain), wrapper=confinement.wrapper)
        service.tls = trusting(folder)
        service.start()
        assert service.process is not None
        try:
            before = Honest(service.port, issuer.token(), service.tls)
            for _ in range(QUIET_PUSHES):
                before.push()
            quiet = statistics.median(before.pushes)
            issuer.is_silent.set()  # from here on it knows no other key
            honest = Honest(service.port, issuer.token(), service.tls)
            told = attacked(service, confinement, honest, folder, how)
            has_ended = service.process.poll()
        finally:
            if service.process.poll() is None:
                service.send_signal(signal.SIGTERM)
                service.wait()
            issuer.close()
        for name, answers in (json.loads(told) if told.strip() else {}).items():
            print(f"  {name}: {answers}")
        faults = [*before.faults, *report(quiet, honest, confinement)]
        if has_ended is not None:
            faults.append(f"the service ended with {has_ended}; its log ends with\n{service.log.read_text()[-2000:]}")
        if "Traceback" in service.log.read_text():
            faults.append(f"the log has a traceback:\n{service.log.read_text().split('Traceback', 1)[1][:3000]}")
    confinement.end()
    for fault in faults:
        print(f"FAILED: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
