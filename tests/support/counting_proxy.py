"""An HTTP proxy before a registry that counts what the registry reads of blobs, and cuts connections on demand.

with CountingProxy(registry.port) as proxy:
    ... proxy.url
    proxy.counts          payload bytes of blob requests, uploads that became blobs, mounts
    proxy.cut(300_000)    the next blob request is cut after so many bytes of its body
    proxy.refuses = True  manifests are answered 403
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

PIECE = 64 << 10
SECONDS = 30.0
_UPLOAD = re.compile(r"/v2/.+/blobs/uploads/|/uploads/")
_HOP = {"connection", "transfer-encoding", "keep-alive", "expect"}


@dataclass(frozen=True, slots=True)
class Counts:
    """`bytes_read`: payload of PATCH and PUT requests of blobs that went to the registry; `uploads`: requests that
    ended a session with a blob; `mounts`: requests that mounted one."""

    bytes_read: int = 0
    uploads: int = 0
    mounts: int = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.bytes_read - other.bytes_read, self.uploads - other.uploads, self.mounts - other.mounts)


class CountingProxy:
    """`port`: of the registry; `listens_on`: its own, 0 for any free one. It listens while it is entered."""

    def __init__(self, port: int, listens_on: int = 0) -> None:
        self._registry_port, self._lock = port, threading.Lock()
        self._counts = Counts()
        self._cuts: deque[int] = deque()
        self.refuses = False
        self._server = _Server(("127.0.0.1", listens_on), _Handler)
        self._server.proxy = self
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def counts(self) -> Counts:
        with self._lock:
            return self._counts

    def cut(self, *after: int) -> None:
        """Cut the next blob requests with a body after so many bytes of it each."""
        self._cuts.extend(after)

    def stop_cutting(self) -> None:
        """Cut no further request."""
        with self._lock:
            self._cuts.clear()

    def next_cut(self) -> int | None:
        with self._lock:
            return self._cuts.popleft() if self._cuts else None

    def count(self, size: int = 0, uploads: int = 0, mounts: int = 0) -> None:
        with self._lock:
            before = self._counts
            self._counts = Counts(before.bytes_read + size, before.uploads + uploads, before.mounts + mounts)

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self._registry_port, timeout=SECONDS)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: CountingProxy


class _CutError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = SECONDS

    def _relay(self) -> None:
        if self.command == "PUT" and "/manifests/" in self.path and self.server.proxy.refuses:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response_only(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        upstream = self.server.proxy.connect()
        try:
            self._send(upstream)
            self._answer(upstream)
        except (_CutError, OSError, HTTPException):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        finally:
            upstream.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _relay  # noqa: N815 - as http.server calls them

    def _send(self, upstream: HTTPConnection) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP:
                upstream.putheader(name, value)
        is_chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        if is_chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        is_blob = self.command in {"PUT", "PATCH"} and _UPLOAD.match(self.path) is not None
        for piece in self._cut(self._body(is_chunked)) if is_blob else self._body(is_chunked):
            upstream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_blob:
                self.server.proxy.count(len(piece))
        if is_chunked:
            upstream.send(b"0\r\n\r\n")

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """What goes through before a cut is read by the registry before it hears of the cut."""
        left: int | None = None
        for number, piece in enumerate(pieces):
            if number == 0:
                left = self.server.proxy.next_cut()
            if left is not None and len(piece) >= left:
                if left:
                    yield piece[:left]
                raise _CutError
            left = None if left is None else left - len(piece)
            yield piece

    def _body(self, is_chunked: bool) -> Iterator[bytes]:
        if is_chunked:
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise _CutError
            left -= len(piece)
            yield piece

    def _answer(self, upstream: HTTPConnection) -> None:
        answer = upstream.getresponse()
        body = answer.read()
        if answer.status == 201 and _UPLOAD.match(self.path):
            self.server.proxy.count(uploads=int(self.command == "PUT"), mounts=int(self.command == "POST"))
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP | {"content-length"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server calls it
        """Nothing."""
