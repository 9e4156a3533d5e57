"""One archive, sent as a resumable upload (tus 1.0)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from app.client.resume_file import ResumeFile
from app.client.server import Outage, Refused, Server, Unready, reason_of
from app.spool import OpenFile

CHUNK_BYTES = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
_GONE = frozenset({404, 410})
_LACKS_RIGHT = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that the service has. `job` is the address of its job."""

    url: str
    job: str


@dataclass(frozen=True, slots=True)
class Source:
    """What is sent: `name` for people, the open file, and the options of its push."""

    name: str
    file: OpenFile
    options: Sequence[tuple[str, str]]


def send(
    server: Server, source: Source, resume: ResumeFile, show: Callable[[int], None], begun: Callable[[str], None]
) -> str:
    """Send an archive and return the address of its job, whose end is not awaited.

    `show` is called with the offset, `begun` with the address of the job. Raises Refused and Away.
    """
    upload, offset = _resumed(server, resume) or (_created(server, source), 0)
    resume.save(upload.url)
    begun(upload.job)
    try:
        _send_rest(server, upload, source, offset, show)
    except Refused as error:
        if error.status not in _LACKS_RIGHT:  # the archive is bad, or the upload is gone: another run begins again
            resume.delete()
        raise
    resume.delete()
    return upload.job


def _send_rest(server: Server, upload: Upload, source: Source, offset: int, show: Callable[[int], None]) -> None:
    outage = Outage(server.patience)
    is_sent = offset == source.file.size > 0
    while not is_sent:
        try:
            _append(server, upload.url, source.file, offset, show)
            is_sent = True
        except (httpx.TransportError, Unready) as error:
            outage.wait(*reason_of(error, server.url))
            found = server.offset(server.request("HEAD", upload.url, TUS))
            if found > offset:
                outage.end()
            offset, is_sent = found, found == source.file.size


def _created(server: Server, source: Source) -> Upload:
    name = base64.b64encode(source.name.encode()).decode()
    headers = TUS | {"Upload-Length": str(source.file.size), "Upload-Metadata": f"filename {name}"}
    response = server.request("POST", f"{server.url}uploads?{urlencode(source.options)}", headers)
    return _upload_of(server, response, server.address(server.field(response, "location")))


def _resumed(server: Server, resume: ResumeFile) -> tuple[Upload, int] | None:
    """Return the upload of an earlier run with its offset, if the service still has it."""
    url = resume.load()
    if url is None or not url.startswith(server.url):
        return None
    try:
        response = server.request("HEAD", url, TUS)
    except Refused as error:
        if error.status not in _GONE:
            raise
        resume.delete()
        return None
    return _upload_of(server, response, url), server.offset(response)


def _upload_of(server: Server, response: httpx.Response, url: str) -> Upload:
    return Upload(url, server.address(server.field(response, "tarmac-job")))


def _append(server: Server, url: str, file: OpenFile, offset: int, show: Callable[[int], None]) -> None:
    headers = TUS | {
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(file.size - offset),
    }
    server.once("PATCH", url, headers, _chunks(file, offset, show))


def _chunks(file: OpenFile, offset: int, show: Callable[[int], None]) -> Iterator[bytes]:
    while offset < file.size:
        chunk = file.read_at(offset, min(CHUNK_BYTES, file.size - offset))
        yield chunk
        offset += len(chunk)
        show(offset)
