"""TLS trust and client certificates, read from files that may change while the service runs."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidRequest, RegistryTLS
from app.net.urls import RegistryUrl

MAX_FILES = 64  # per certificate directory; docker's own example has three
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python's ssl does not define
Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS.

    `ca_file` is trusted in addition to the system's authorities; `client_cert` may contain the key.

    `folders`: certs.d directories in the layout of docker (dockerd, "certificates") and podman (containers-certs.d(5)).
    The first one with a directory named host[:port] is used. Explicit settings win over a client certificate found
    there.
    """

    ca_file: Path | None = None
    skip_verify: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None
    folders: tuple[Path, ...] = ()


def certificate_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories that docker and podman read, the user's own first."""
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/nonexistent") / ".config")
    return home / "containers/certs.d", Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d")


@dataclass(frozen=True, slots=True)
class _TlsMaterial:
    """The certificates of one registry at one moment."""

    authorities: tuple[Path, ...]
    client: tuple[Path, Path | None] | None

    @property
    def stamp(self) -> Stamp:
        """Return a value that changes when a file is replaced. Blocks."""
        system = ssl.get_default_verify_paths().cafile
        files: list[Path | str | None] = [system, *self.authorities, *(self.client or ())]
        return tuple((str(file), *_identity(Path(file))) for file in files if file)


class TlsContexts:
    """The TLS contexts of one registry.

    They are rebuilt when a file has changed, so the next connection uses a renewed authority or client certificate.
    """

    def __init__(self, files: TlsFiles, registry: RegistryUrl) -> None:
        self._files, self._registry = files, registry
        self._endpoints = frozenset((origin.host, origin.port) for origin in registry.origins())
        self._cached: dict[bool, tuple[Stamp, ssl.SSLContext]] = {}

    async def context_for(self, host: str, port: int | None) -> ssl.SSLContext:
        """Return the context for a connection to `host` and `port` (None: through a tunnel).

        Only the registry itself receives the client certificate, because it identifies us. Raises RegistryTLS with the
        name of an unusable file.
        """
        own = (host, port) in self._endpoints or (port is None and host in {name for name, _ in self._endpoints})
        try:
            return await asyncio.to_thread(self.load, with_client=own)  # the system's authorities take about 20 ms
        except InvalidRequest as error:
            raise RegistryTLS(f"{self._registry.name}: {error}") from error

    def lenient(self) -> ssl.SSLContext:
        """Return a context for reading a rejected certificate: it verifies the issuer, but neither name nor time.
        Blocks.
        """
        context = _context(self._files, _find_material(self._files, self._registry.name), with_client=False)
        context.check_hostname = False
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        return context

    def load(self, *, with_client: bool = True) -> ssl.SSLContext:
        """Return the cached context, or build it if a file has changed.

        Blocks. Raises InvalidRequest with the name of the file.
        """
        found = _find_material(self._files, self._registry.name)
        stamp = found.stamp
        cached = self._cached.get(with_client)
        if cached is None or cached[0] != stamp:
            cached = (stamp, _context(self._files, found, with_client=with_client))
            self._cached[with_client] = cached
        return cached[1]


def _find_material(files: TlsFiles, name: str) -> _TlsMaterial:
    folder = next((item / name for item in files.folders if (item / name).is_dir()), None)
    inside = tuple(_list_files(folder)) if folder else ()
    authorities = [file for file in inside if file.suffix == ".crt"]
    client = next(((file, file.with_suffix(".key")) for file in inside if file.suffix == ".cert"), None)
    if client and client[1] not in inside:
        raise InvalidRequest(
            f"the client certificate {client[0]} has no key; put {client[1].name} into the same directory"
        )
    if files.client_cert:
        return _TlsMaterial((*filter(None, (files.ca_file,)), *authorities), (files.client_cert, files.client_key))
    return _TlsMaterial((*filter(None, (files.ca_file,)), *authorities), client)


def _list_files(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InvalidRequest(
            f"the certificates in {folder} cannot be read ({error.strerror}); check its permissions"
        ) from error
    if len(names) > MAX_FILES:
        raise InvalidRequest(f"{folder} has {len(names)} files; at most {MAX_FILES} are read for one registry")
    return (folder / name for name in names)


def _identity(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _context(files: TlsFiles, found: _TlsMaterial, *, with_client: bool) -> ssl.SSLContext:
    if files.skip_verify and files.ca_file:
        raise InvalidRequest("TLS verification is disabled and a CA file is set; set only one of them")
    context = ssl.create_default_context()
    # Since 3.13 Python rejects authorities that lack an extension of RFC 5280. Many closed networks have such
    # authorities of their making, and other registry clients accept them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    if files.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for authority in found.authorities:
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(f"CA file {authority}: no certificate can be read from it ({error})") from error
    if found.client and with_client:
        try:
            # without a password argument an encrypted key would prompt at the terminal
            context.load_cert_chain(*found.client, password="")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise InvalidRequest(
                f"client certificate {found.client[0]} and its key cannot be used ({error})"
            ) from error
    return context
