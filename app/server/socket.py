"""The socket that the service listens on: TARMAC_HOST and TARMAC_PORT, or TARMAC_SOCKET."""

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

BACKLOG = 256  # connections that wait to be accepted; the event loop accepts as many before it does anything else
SOCKET_MODE = 0o660


@dataclass(frozen=True, slots=True)
class Listener:
    """`port`: the one that was free where any was asked for; `address`: for the log."""

    socket: socket.socket
    port: int
    address: str


@contextmanager
def listening(settings: Settings) -> Iterator[Listener]:
    """Raises InvalidSettings."""
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
        # inherited by what is accepted; without it the body of an answer waits 40 ms for the client's ACK of its head
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]  # the address, a second time
        hint = "; stop what listens there, or set another TARMAC_PORT" if error.errno == errno.EADDRINUSE else ""
        raise InvalidSettings(
            f"TARMAC_HOST and TARMAC_PORT: cannot listen on {settings.host}:{settings.port}: {reason}{hint}"
        ) from None


@contextmanager
def _listening_at(path: Path) -> Iterator[socket.socket]:
    """What a service that died left there is taken away first."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        try:
            if _is_left_over(path):
                path.unlink()
            before = os.umask(0o777 & ~SOCKET_MODE)  # no moment in which others may open it
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
    """Whether a socket is there that nobody listens at. Raises InvalidSettings for one in use, and for a file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise InvalidSettings(
            f"TARMAC_SOCKET (socket): {path} is there and is no socket; remove it, or set another path"
        )
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    raise InvalidSettings(f"TARMAC_SOCKET (socket): another service listens at {path}; stop it, or set another path")


__all__ = ["Listener", "listening"]
