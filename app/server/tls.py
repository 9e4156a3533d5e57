"""The server certificate, reloaded from its files when they change."""

from __future__ import annotations

import ssl
import time
from asyncio import sslproto
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.errors import InvalidSettings

BUFFER_BYTES = 16 << 10  # of each connection; with asyncio's 256 KiB, 4,096 idle connections need 1 GiB
LOOK_SECONDS = 1.0  # minimum interval between two checks of the files

_log = structlog.get_logger(__name__)


def limit_tls_buffers() -> None:
    """Limit what asyncio holds for each TLS connection of the process."""
    sslproto.SSLProtocol.max_size = BUFFER_BYTES


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files. `certificate` includes the intermediate certificates; `key` is needed if it is in another file.

    If `client_authority` is set, clients must present a certificate signed by it."""

    certificate: Path
    key: Path | None = None
    client_authority: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context for TLS 1.2 and 1.3 with the library's default ciphers. Raises OSError, ValueError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # without a password, OpenSSL would ask for that of an encrypted key at the terminal
        context.load_cert_chain(self.certificate, self.key, password="")
        if self.client_authority is not None:
            context.load_verify_locations(self.client_authority)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # see app.net.tls: authorities of closed networks
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        statuses = [file.stat() for file in (self.certificate, self.key, self.client_authority) if file is not None]
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in statuses)


class ServerCertificate:
    """The TLS context of the server. Each handshake uses the current files.

    A check costs three system calls, at most once a second, and needs no task. If only one of the files is renewed yet,
    the previous context stays in use."""

    def __init__(self, files: CertificateFiles, clock: Callable[[], float] = time.monotonic) -> None:
        """Load the files. Raises InvalidSettings."""
        self._files, self._clock = files, clock
        try:
            self._stamp = files.stamp()
            self.context = self._present = files.context()
        except (OSError, ValueError) as error:
            raise InvalidSettings(
                f"cannot use TARMAC_TLS_CERT, TARMAC_TLS_KEY and TARMAC_TLS_CLIENT_CA: {error}"
            ) from None
        self.context.sni_callback = self._choose
        self._looked = clock()

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            self._look()
        connection.context = self._present

    def _look(self) -> None:
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return
            self._present = self._files.context()
            self._stamp = stamp
            _log.info("certificate.loaded", file=str(self._files.certificate))
        except (OSError, ValueError) as error:
            _log.error("certificate.invalid", file=str(self._files.certificate), reason=str(error))


__all__ = ["CertificateFiles", "ServerCertificate", "limit_tls_buffers"]
