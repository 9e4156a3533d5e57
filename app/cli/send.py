"""`tarmac send`: send archives to a Tarmac service, resumably, and wait for their jobs."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.cli.archive_loader import STANDARD_INPUT, join_files, path_of
from app.cli.display import make_display, outcome_lines, printable
from app.cli.options import given_options
from app.client.resume_file import ResumeFile, resume_dir
from app.client.server import Away, Patience, Refused, Server
from app.client.upload import Source, send
from app.errors import InvalidRequest, PathNotFound
from app.spool import OpenFile, SpooledFile
from app.spool.disk import DiskSpool, stat_server_file

SERVER, TOKEN, TOKEN_FILE = VARIABLES = "TARMAC_SERVER", "TARMAC_TOKEN", "TARMAC_TOKEN_FILE"
USAGE_CODES = frozenset({"invalid_request", "invalid_reference", "unknown_registry", "single_image_required"})
_SINGLE = ("tag", "checksum")  # options of one archive


def run(arguments: argparse.Namespace) -> int:
    """Send the files one after the other. Return 0 if every job succeeded, 1 if not, 2 for a refused request."""
    options = list(_options(arguments))
    _check(arguments.files, options)
    jobs, status = [], 0
    with ExitStack() as stack:
        patience = Patience(arguments.give_up_after, report=lambda text: print(printable(text), file=sys.stderr))
        server = stack.enter_context(Server(_address(arguments), _token(arguments), arguments.ca_file, patience))
        for archive, file in _sources(arguments.files, stack):
            name = Path(os.path.abspath(archive.path)).name
            try:
                resume = ResumeFile(resume_dir(), (server.url, _identity(archive), *options))
                job = _sent(server, Source(name, file, options), resume, is_json=arguments.json)
            except (Refused, Away) as error:
                print(printable(f"{name}: {error}"), file=sys.stderr)
                is_usage = isinstance(error, Refused) and error.problem.get("code") in USAGE_CODES
                status = max(status, 2 if is_usage else 1)
                continue
            jobs.append(job)
            status = max(status, 0 if job["state"] == "succeeded" else 1)
    if arguments.json:
        print(json.dumps(jobs, indent=2))
    return status


def _sent(server: Server, source: Source, resume: ResumeFile, *, is_json: bool) -> Mapping[str, Any]:
    """Return the document of the ended job."""
    stream = sys.stderr if is_json else sys.stdout
    with make_display(sys.stderr) as display:
        try:
            url = send(
                server,
                source,
                resume,
                lambda offset: display.received(source.name, offset, source.file.size),
                lambda url: print(printable(f"{source.name}: {url}"), file=stream, flush=True),
            )
            job = server.wait_for_job(url)
        except Refused as error:
            if error.job is None:
                raise
            job = error.job
    for line in job_lines(job):
        print(printable(line), file=stream, flush=True)
    return job


def job_lines(job: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each image, the notices, the problem and the state of an ended job."""
    for image in job["images"]:
        problem = image["problem"] and (image["problem"]["code"], image["problem"]["detail"])
        names = image["destinations"] or image["names"]
        yield from outcome_lines(image["state"], names, image["digest"] or "", problem)
    yield from (f"note: {notice}" for notice in job["notices"])
    if job["problem"]:
        yield f"{job['problem']['code']}: {job['problem']['detail']}"
    yield f"{job['state']}: {job['progress']['images_done']} of {job['progress']['images_total']} images"


def _options(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for name, values in given_options(arguments):
        yield from ((name, value) for value in values)
    for name in ("registry", "checksum", "delivery"):
        if (value := getattr(arguments, name)) is not None:
            yield name, value
    yield from (("label", label) for label in arguments.label or ())


def _check(files: Sequence[str], options: Sequence[tuple[str, str]]) -> None:
    if STANDARD_INPUT in files:
        raise InvalidRequest("standard input cannot be sent resumably; send a file, or use curl -T -")
    given = {name for name, _ in options}
    for name in _SINGLE:
        if name in given and len(files) > 1:
            raise InvalidRequest(f"--{name} is for one archive, but {len(files)} are given; send them one by one")


def _address(arguments: argparse.Namespace) -> str:
    url: str = arguments.server or os.environ.get(SERVER, "")
    if not url:
        raise InvalidRequest(f"the service has no address; pass --server URL, or set {SERVER}")
    return url


def _token(arguments: argparse.Namespace) -> str | None:
    """Return the token of --token-file, TARMAC_TOKEN or TARMAC_TOKEN_FILE. An argument would be visible to others."""
    file = arguments.token_file or (None if TOKEN in os.environ else os.environ.get(TOKEN_FILE))
    token = os.environ.get(TOKEN) if file is None else _read_token(file)
    if token is not None and not (token.isascii() and token.isprintable()):
        raise InvalidRequest(f"the token in {file or TOKEN} has characters that no token has; it must be one line")
    return token


def _read_token(file: str | Path) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the token file {file} cannot be read: {error}") from None


def _identity(archive: SpooledFile) -> tuple[object, ...]:
    """Return what another file, or the same one after a change, does not have."""
    return (os.path.abspath(archive.path), archive.identity, *map(_identity, archive.parts))


def _sources(files: Sequence[str], stack: ExitStack) -> Iterator[tuple[SpooledFile, OpenFile]]:
    """Yield the archives as they are sent: a directory as a tar, the parts of a split archive as one."""
    spool = DiskSpool(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarmac-"))))
    for item in join_files(files, spool):
        try:
            archive = stat_server_file(item) if isinstance(item, str) else item
            file = spool.open(archive)
        except OSError as error:
            raise PathNotFound(f"{path_of(item)} cannot be read: {error.strerror}") from None
        stack.callback(file.close)
        yield archive, file
