"""Arguments as values: PushOptions, Settings, a checksum. A wrong argument ends the command with 2."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.errors import InvalidRequest, MalformedArchive
from app.oci import Digest
from app.push import PushOptions

if TYPE_CHECKING:
    from app.config.settings import Settings

_OPTIONS = (
    "tag",
    "rename",
    "prefix",
    "images",
    "platforms",
    "layer_compression",
    "format",
    "on_existing_tag",
    "media_types",
    "verify",
)
_SETTINGS = {
    "host": "TARMAC_HOST",
    "port": "TARMAC_PORT",
    "data_dir": "TARMAC_DATA_DIR",
    "registry_url": "TARMAC_REGISTRY_URL",
}


def push_options_from(arguments: argparse.Namespace) -> PushOptions:
    """Return the push options. Raises InvalidRequest and InvalidReference."""
    return PushOptions.parse(dict(given_options(arguments)))


def given_options(arguments: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yield the push options that are given, with their values as texts."""
    for name in _OPTIONS:
        value = getattr(arguments, name, None)
        if value is not None:
            yield name, value if isinstance(value, list) else [value]
    for name in ("dry_run", "allow_missing", "keep_going"):
        if getattr(arguments, name, False):
            yield name, ["true"]


def checksum_of(arguments: argparse.Namespace) -> Digest | None:
    """Return the expected checksum, if one is given. Raises InvalidRequest."""
    if arguments.checksum is None:
        return None
    if len(arguments.files) != 1:
        raise InvalidRequest(
            f"--checksum is of one archive, but {len(arguments.files)} are given; push them one by one"
        )
    try:
        digest = Digest.parse(arguments.checksum)
    except MalformedArchive:
        digest = None
    if digest is None or digest.algorithm != "sha256":
        raise InvalidRequest(f"--checksum {arguments.checksum!r:.100} is not of the form sha256:<64 hex digits>")
    return digest


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Return the settings from --config and the environment; arguments override both. Raises InvalidSettings."""
    from app.config.settings import load_settings

    said = {variable: getattr(arguments, name, None) for name, variable in _SETTINGS.items()}
    for name, variable in _SETTINGS.items():
        if said[variable] == "":
            raise InvalidRequest(f"--{name.replace('_', '-')} is empty; give it a value, or leave it out")
    return load_settings(arguments.config, {**os.environ, **{name: text for name, text in said.items() if text}})
