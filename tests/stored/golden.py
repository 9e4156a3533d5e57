"""The golden files of one release: what it served, and a copy of what it stored that a service can go on with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stored.archives import ARCHIVES
from tests.support.postgres import Postgres

FILES = Path(__file__).parent.parent / "data" / "v0.1.0"
HOME = "/srv/tarmac"  # where the release ran
DAY = "2026-12-01"  # when it ran
REPLICA = "ingest-1-1"  # the directory of its replica, by the name of its host
Document = dict[str, Any]


def served(name: str) -> Mapping[str, list[Document]]:
    """`jobs` and `audit` as the release served them, just before it was killed."""
    documents: Mapping[str, list[Document]] = json.loads((FILES / f"{name}.json").read_text(encoding="utf-8"))
    for job in documents["jobs"]:
        if job["progress"]["images_total"] == 0:  # of a job that had not run, which is counted now
            job["progress"]["images_total"] = len(job["images"])
    return documents


def kinds(name: str) -> Mapping[str, list[Document]]:
    """The jobs by the value of their label `kind`, those without one by the name of their archive."""
    found: dict[str, list[Document]] = {}
    for job in served(name)["jobs"]:
        archives = [archive["name"] for archive in job["archives"]]
        found.setdefault(job["labels"].get("kind", archives[0] if archives else ""), []).append(job)
    return found


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the directory that the release ran in."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def database(self) -> Path:
        return self.data / "jobs.sqlite"

    @property
    def settings(self) -> dict[str, Any]:
        """Of a service that goes on with it: nothing is too old to be kept."""
        return {"tokens_file": self.home / "tokens", "path_roots": str(self.home / "in"), "keep_jobs": "36500d"}

    def uploads(self) -> Mapping[str, Document]:
        """The states of resumable uploads, by file name; parts of concatenations by their numbers of bytes."""
        states = [json.loads(path.read_bytes()) for path in sorted(self.data.rglob("uploads/*.json"))]
        return {f"part {state['length']}" if state["concat"] else state["name"]: state for state in states}


def unpack(name: str, place: Path) -> Copy:
    """As it was stored, byte for byte; every file was written a moment ago, or all uploads would be too old."""
    with tarfile.open(FILES / f"{name}.tar.xz") as archive:
        archive.extractall(place, filter="data")
    now = time.time()
    for path in place.rglob("*"):
        os.utime(path, (now, now))
    (place / "in").mkdir()
    for file, content in ARCHIVES.items():
        (place / "in" / file).write_bytes(content)
    return Copy(place)


def unpack_sqlite(name: str, place: Path, day: str = DAY) -> Copy:
    """A copy whose rows name the files where they lie now. A row has the inode and the time of its file, which no copy
    keeps. `day`: when the release ran, as its clock had it."""
    copy = unpack(name, place)
    moved = _moving(copy)
    with sqlite3.connect(copy.database) as database:
        for job_id, text in database.execute("SELECT id, document FROM jobs").fetchall():
            document = json.dumps(moved(json.loads(text.replace(DAY, day))))
            database.execute("UPDATE jobs SET document = ? WHERE id = ?", (document, job_id))
        database.execute("UPDATE jobs SET created_at = replace(created_at, ?, ?)", (DAY, day))
    database.close()
    return copy


def unpack_postgres(place: Path, server: Postgres, day: str = DAY) -> tuple[Copy, str]:
    """Such a copy, and the URL of its database. The replica is one of this host, started again."""
    copy = unpack("postgres", place)
    host = f"{socket.gethostname()}-1"
    shutil.move(copy.data / "replicas" / REPLICA, copy.data / "replicas" / host)
    url = server.create()
    database = url.partition("@/")[2].partition("?")[0]
    server.run((FILES / "postgres.sql").read_text(encoding="utf-8").replace(DAY, day), database)
    moved = _moving(copy, {REPLICA: host})
    rows = json.loads(server.run("SELECT json_agg(json_build_array(id, document)) FROM jobs", database))
    for job_id, document in rows:
        text = json.dumps(moved(document)).replace("'", "''")
        server.run(
            f"UPDATE jobs SET document = '{text}', home = replace(home, '{REPLICA}', '{host}') WHERE id = '{job_id}'",
            database,
        )
    return copy, url


def _moving(copy: Copy, renamed: Mapping[str, str] | None = None) -> Callable[[Document], Document]:
    def moved(document: Document) -> Document:
        text = json.dumps(document).replace(f'"{HOME}/', f'"{copy.home}/')
        for old, new in (renamed or {}).items():
            text = text.replace(f"/{old}/", f"/{new}/")
        placed: Document = json.loads(text)
        for archive in placed["archives"]:
            if archive["file"] is not None and os.path.exists(archive["file"]["path"]):
                status = os.stat(archive["file"]["path"])
                archive["file"]["identity"] = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
        return placed

    return moved


def missing(expected: Any, found: Any, at: str = "") -> list[str]:
    """What of `expected` is not in `found`: members may have been added since, none may be gone or another."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key, value in expected.items()
            for line in (missing(value, found[key], f"{at}.{key}") if key in found else [f"{at}.{key}: gone"])
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for number, (one, other) in pairs for line in missing(one, other, f"{at}[{number}]")]
    return [] if expected == found else [f"{at}: {expected!r} became {found!r}"]
