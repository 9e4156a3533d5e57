"""The listening socket: TARMAC_HOST and TARMAC_PORT, or TARMAC_SOCKET."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.config.settings import Settings
from app.errors import InvalidSettings

BACKLOG = 256  # connections that wait to be accepted; the event loop accepts as many in one turn
SOCKET_MODE = 0o660


@dataclass(frozen=True, slots=True)
class Listener:
    """`port` is the bound port, also if any free one was requested; `address` is for the log."""

    socket: socket.socket
    port: int
    address: str


@contextmanager
def listening(settings: Settings) -> Iterator[Listener]:
    """Open the listening socket. Raises InvalidSettings."""
    if settings.socket is not None:
        with _listening_at(settings.socket) as listener:
            yield Listener(listener, settings.port, f"unix:{settings.socket}")
        return
    with _listen(settings) as listener:
        port = listener.getsockname()[1]
        yield Listener(listener, port, f"{settings.scheme}://{settings.host}:{port}")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
        # inherited by accepted connections; without it the body of a response waits 40 ms for the client's ACK of its
        # head
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]  # removes a repetition of the address
        hint = (
            "; stop the program that uses the port, or set another TARMAC_PORT"
            if error.errno == errno.EADDRINUSE
            else ""
        )
        raise InvalidSettings(
            f"TARMAC_HOST and TARMAC_PORT: cannot listen on {settings.host}:{settings.port}: {reason}{hint}"
        ) from None


@contextmanager
def _listening_at(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket. Remove the leftover of a service that died first."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        try:
            if _is_left_over(path):
                path.unlink()
            before = os.umask(0o777 & ~SOCKET_MODE)  # other users must not open it even for a moment
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            path.chmod(SOCKET_MODE)
            listener.listen(BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InvalidSettings(f"TARMAC_SOCKET (socket): cannot listen at {path}: {reason}") from None
        try:
            yield listener
        finally:
            with suppress(OSError):
                path.unlink()


def _is_left_over(path: Path) -> bool:
    """Return whether a socket without a listener exists. Raises InvalidSettings for a socket in use, and for a file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise InvalidSettings(
            f"TARMAC_SOCKET (socket): {path} exists and is not a socket; remove it, or set another path"
        )
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    raise InvalidSettings(f"TARMAC_SOCKET (socket): another service listens at {path}; stop it, or set another path")


__all__ = ["Listener", "listening"]
