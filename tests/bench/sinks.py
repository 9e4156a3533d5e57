"""Servers that only put an upload into a file, as the measure for receiving.

python -m tests.bench.sinks form PORT FILE      uvicorn, the form parsed piece by piece, written in the event loop
python -m tests.bench.sinks socket PORT FILE    one connection, what comes is written, nothing is parsed
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from python_multipart.multipart import MultipartParser, parse_options_header

Message = MutableMapping[str, Any]
PIECE = 1 << 18
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


async def form_sink(
    target: Path, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    headers = dict(scope["headers"])
    _, options = parse_options_header(headers.get(b"content-type", b""))
    with target.open("wb", buffering=0) as file:

        def write(data: bytes, start: int, end: int) -> None:
            file.write(memoryview(data)[start:end])

        parser = MultipartParser(options.get(b"boundary", b"-"), {"on_part_data": write})
        more = True
        while more:
            message = await receive()
            parser.write(message.get("body", b""))
            more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def socket_sink(port: int, target: Path) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection, target.open("wb", buffering=0) as file:
                take(connection, file.write)


def take(connection: socket.socket, write: Callable[[memoryview], object]) -> None:
    """One request with a Content-Length; its body goes to `write`."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(PIECE)
        if not piece:
            return
        head += piece
        if b"100-continue" in head and b"\r\n\r\n" in head:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, rest = head.partition(b"\r\n\r\n")
    length = LENGTH.search(head + b"\r\n")
    left = (int(length[1]) if length else 0) - len(rest)
    write(memoryview(rest))
    buffer = memoryview(bytearray(PIECE))
    while left > 0 and (got := connection.recv_into(buffer)):
        write(buffer[:got])
        left -= got
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def main() -> None:
    kind, port, target = sys.argv[1:]
    if kind == "socket":
        socket_sink(int(port), Path(target))
    else:
        sink: Any = partial(form_sink, Path(target))
        uvicorn.run(sink, port=int(port), log_level="error", http="httptools", lifespan="off", interface="asgi3")


if __name__ == "__main__":
    main()
