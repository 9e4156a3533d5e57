"""Tarmac and its peers side by side: see RESULTS.md.

    .venv/bin/python -m tests.bench [--runs 3] [--only docker,oci]        or: make bench ONLY=docker,oci

Each part's figures go to results.json as soon as it has ended, so what is broken off goes on with --only; the tables
and curves are then written anew from all that is there. Everything takes about 15 minutes on two quiet cores. A command
that takes longer than 15 minutes is ended, one that takes longer than 45 seconds is run once. Needs docker-registry and
curl; compares with what is on PATH of skopeo, crane, regctl, oras and mindthegap.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import contests, curves, load, receiving
from tests.bench.bars import verdicts
from tests.bench.processes import CommandFailed
from tests.bench.race import say
from tests.bench.report import PICTURE, RESULTS, TABLES, into, markdown
from tests.bench.servers import ROOT
from tests.bench.ways import peers_here

Measure = Callable[[int], dict[str, Any]]
PARTS: dict[str, Measure] = {
    "docker": contests.docker,
    "oci": contests.oci,
    "fleet": contests.fleet,
    "small": contests.small,
    "bundle": contests.bundle,
    "again": contests.again,
    "upload": receiving.upload,
    "pullable": receiving.pullable,
    "load": load.load,
    "rest": load.rest,
    "images": curves.images,
    "sizes": curves.sizes,
    "jobs": curves.jobs,
}
MODULES = ("store", "opening")  # tests/bench/NAME.py with measure() -> dict, where they are there
PACKAGES = ("fastapi", "starlette", "uvicorn", "httpx", "isal", "python-multipart")


def main() -> None:
    parts = all_parts()
    arguments = _arguments(tuple(parts))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders go as after Ctrl-C
    failed = [name for name in arguments.only if not _kept(name, parts[name], arguments.runs)]
    results = read_results()
    TABLES.write_text(into(TABLES.read_text(), markdown(results)))
    if picture := curves.drawn(results["parts"]):
        PICTURE.write_text(picture)
    for verdict in verdicts(results["parts"]):
        met = {True: "met", False: "NOT MET", None: "-"}[verdict.met]
        print(f"{verdict.work:<55} {verdict.bar:<52} {verdict.measured:<32} {met}")
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def _arguments(names: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Tarmac and its peers side by side.")
    parser.add_argument("--runs", type=int, default=3, help="of each way, medians are told (3)")
    parser.add_argument("--only", default=",".join(names), help=f"parts, divided by commas: {', '.join(names)}")
    arguments = parser.parse_args()
    arguments.only = [name for name in arguments.only.split(",") if name]
    if unknown := set(arguments.only) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if arguments.runs < 1:
        parser.error("--runs is at least 1")
    return arguments


def all_parts() -> dict[str, Measure]:
    return {**PARTS, **{name: partial(_of_module, name) for name in MODULES if _is_there(name)}}


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f"tests.bench.{name}") is not None


def _of_module(name: str, _: int) -> dict[str, Any]:
    figures: dict[str, Any] = importlib.import_module(f"tests.bench.{name}").measure()
    return figures


def _kept(name: str, measure: Measure, runs: int) -> bool:
    """False where the part came to nothing; what it had before is kept."""
    say(f"{name}:")
    before = os.getloadavg()[0]
    try:
        figures = measure(runs)
    except (CommandFailed, OSError) as failure:
        say(f"  {name} failed: {failure}")
        return False
    figures |= {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "runs": runs,
        "load": [before, os.getloadavg()[0]],
        "commit": _commit(),
        "machine": machine(),
    }
    results = read_results()
    results["parts"][name] = figures
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(RESULTS)
    return True


def read_results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"parts": {}}
    order = [*PARTS, *MODULES]
    found["parts"] = dict(sorted(found["parts"].items(), key=lambda each: order.index(each[0])))
    return found


def machine() -> Mapping[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '?')}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "registry": _first_line("docker-registry", "--version"),
        "peers": peers_here(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    return _first_line("git", "rev-parse", "--short", "HEAD")


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "?"
    return next(iter(done.stdout.splitlines()), "?")


if __name__ == "__main__":
    main()
