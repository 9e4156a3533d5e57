"""`tarmac doctor`: check the environment of the service.

It changes nothing and may run while the service runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from app.bootstrap.registries import configured_registries
from app.cli.options import settings_from
from app.config.settings import Settings
from app.config.types import is_open_to_others
from app.errors import RegistryError, TarmacError
from app.registry.distribution.probe import CHECK_SECONDS, probe_with_timeout
from app.registry.oci_layout.files import LayoutFiles

LOW_BYTES = 10 << 30  # free on the disk: the size of an archive of a release with its plain tar
MOST_LEFTOVERS = 10_000  # files of the spool that are looked up
_SQLITE = "jobs.sqlite"


class FindingLevel(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    about: str
    state: FindingLevel
    words: str


def run(arguments: argparse.Namespace) -> int:
    """Run the checks. Return 1 if something must be fixed before the service can work."""
    settings = settings_from(arguments)
    findings = asyncio.run(_examined(settings))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            print(f"{finding.state:<8} {finding.about}: {finding.words}")
    return 1 if any(finding.state is FindingLevel.PROBLEM for finding in findings) else 0


async def _examined(settings: Settings) -> list[Finding]:
    found = [*_about_settings(settings), *_about_disk(settings.data_dir), _about_usage(settings.data_dir)]
    found.extend(await _about_database(settings))
    if settings.spool_url is not None:
        found.append(await asyncio.to_thread(_tried, "storage", lambda: _storage(settings)))
    found.extend([registry async for registry in _about_registries(settings)])
    return found


def _about_settings(settings: Settings) -> Iterator[Finding]:
    where = settings.socket or f"{settings.scheme}://{settings.host}:{settings.port}"
    yield Finding("settings", FindingLevel.OK, f"they can be read; the service listens on {where}")
    if settings.tokens_file is not None:
        yield _tried("tokens", lambda: _tokens(settings))
    elif not settings.is_loopback:
        yield Finding("tokens", FindingLevel.WARNING, "everybody who can connect may push; set TARMAC_TOKENS_FILE")
    if settings.tls_cert is not None:
        yield _tried("certificate", lambda: _certificate(settings))
    elif settings.tokens_file is not None and not settings.is_loopback:
        words = "tokens cross the network as plain text unless a proxy in front speaks TLS; set TARMAC_TLS_CERT"
        yield Finding("certificate", FindingLevel.WARNING, words)


def _tried(about: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(about, FindingLevel.OK, look())
    except (OSError, ValueError, TarmacError) as error:
        return Finding(about, FindingLevel.PROBLEM, str(error))


def _tokens(settings: Settings) -> str:
    from app.auth.token_file import TokenSet, read_text

    assert settings.tokens_file is not None
    return f"{len(TokenSet.parse(read_text(settings.tokens_file)).holders)} in {settings.tokens_file}"


def _storage(settings: Settings) -> str:
    from app.spool.s3 import open_store

    assert settings.spool_url is not None
    open_store(settings.spool_url)
    return f"{settings.spool_url} answers"


def _certificate(settings: Settings) -> str:
    from app.server.tls import CertificateFiles, ServerCertificate

    assert settings.tls_cert is not None
    ServerCertificate(CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))
    return f"{settings.tls_cert} and its key fit together"


def _about_disk(data_dir: Path) -> Iterator[Finding]:
    present = next(parent for parent in (data_dir.absolute(), *data_dir.absolute().parents) if parent.exists())
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        yield Finding("disk", FindingLevel.PROBLEM, f"{present} cannot be written to by this user")
        return
    if present == data_dir.absolute() and is_open_to_others(present):
        words = f"other users may write to {present} and replace what the service trusts; chmod 700 {present}"
        yield Finding("data directory", FindingLevel.WARNING, words)
    free = shutil.disk_usage(present).free
    words = f"{free / (1 << 30):.1f} GiB free for {data_dir}"
    if free < LOW_BYTES:
        words += "; an upload takes the size of its plain tar there until its job has succeeded"
    yield Finding("disk", FindingLevel.WARNING if free < LOW_BYTES else FindingLevel.OK, words)


def _about_usage(data_dir: Path) -> Finding:
    """Say how much of the disk the image store and the spool take."""
    folder = data_dir / "images"
    stored = [size for _, size in LayoutFiles(folder).blobs()] if (folder / "blobs").is_dir() else []
    spooled = [path.stat().st_size for paths in _spooled(data_dir / "spool").values() for path in paths]
    words = f"image store {sum(stored) / (1 << 20):.1f} MiB in {len(stored)} blobs"
    return Finding("usage", FindingLevel.OK, f"{words}, spool {sum(spooled) / (1 << 20):.1f} MiB")


async def _about_database(settings: Settings) -> list[Finding]:
    from app.jobs.store.diagnostics import diagnose

    spooled = _spooled(settings.data_dir / "spool")
    try:
        found = await diagnose(_database_url(settings), spooled.keys())
    except TarmacError as error:
        return [Finding("database", FindingLevel.PROBLEM, str(error))]
    words = "not used yet" if found.schema is None else f"it answers; its schema is {found.schema}"
    left = [path for job, paths in spooled.items() if job in found.unknown for path in paths]
    if not left:
        return [Finding("database", FindingLevel.OK, words), Finding("leftovers", FindingLevel.OK, "none in the spool")]
    size = sum(path.stat().st_size for path in left if path.exists())
    told = f"{len(left)} files of {size / (1 << 20):.1f} MiB in the spool are of no job; the next start removes them"
    return [Finding("database", FindingLevel.OK, words), Finding("leftovers", FindingLevel.WARNING, told)]


def _database_url(settings: Settings) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return f"sqlite:///{settings.data_dir.absolute() / _SQLITE}"


def _spooled(folder: Path) -> dict[str, list[Path]]:
    """Return the files of the spool by the id of their job, with which their names begin."""
    found: dict[str, list[Path]] = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir())[:MOST_LEFTOVERS]:
            found.setdefault(path.name.partition("-")[0].partition(".")[0], []).append(path)
    return found


async def _about_registries(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with configured_registries(settings) as opened:
            for name, each in opened.items():
                found = await probe_with_timeout(each.configured.url, each.check, CHECK_SECONDS)
                about = f"registry {name}"
                if isinstance(found, RegistryError):
                    yield Finding(
                        about, FindingLevel.PROBLEM, f"{each.configured.url} cannot be used: {found.code}: {found}"
                    )
                else:
                    yield Finding(about, FindingLevel.OK, f"{each.configured.url} is ready at {found.address}")
    except TarmacError as error:
        yield Finding("registries", FindingLevel.PROBLEM, str(error))
