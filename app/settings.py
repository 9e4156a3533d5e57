"""Settings: what the operator decides, read once at the start from a TOML file and the environment (which wins).

The environment's names are TARMAC_ and the field's name; the file has the same names in lower case without the prefix.
`TARMAC_REGISTRY_…` describes the registry called `default`; more of them are tables `[registries.NAME]`.
A name that is not known is refused: a misspelt setting must not be a setting silently left out.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from app.errors import InvalidRequest, InvalidSettings
from app.registry.egress import parse_allowed_origin
from app.registry.profile import DEFAULT_CHUNK, LARGEST_CHUNK, SMALLEST_CHUNK
from app.registry.proof import Verification

_PREFIX = "TARMAC_"
_REGISTRY_PREFIX = "registry_"
DEFAULT_REGISTRY = "default"
MAX_CONFIG_BYTES = 1 << 20  # a file of a thousand registries has a tenth of it

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{suffix}": factor ** (power + 1)
    for power, letter in enumerate("kmgt")
    for suffix, factor in (("b", 1000), ("ib", 1024))
}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,18})\s*([A-Za-z]*)")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62})")
# Kubernetes puts these into every container beside a Service that is called `tarmac`.
_KUBERNETES = re.compile(r"TARMAC_(?:SERVICE_(?:HOST|PORT)|PORT_[0-9]+_(?:TCP|UDP|SCTP)).*")


def _amount(value: object, units: Mapping[str, int], example: str) -> object:
    if not isinstance(value, str):
        return value
    match = _AMOUNT.fullmatch(value.strip())
    if match is None or (factor := units.get(match[2].lower())) is None:
        raise ValueError(f"must be a number with or without a unit, as {example}")
    return int(match[1]) * factor


def _parse_bytes(value: object) -> object:
    return _amount(value, _UNITS, "10737418240 or 10GiB")


def _parse_age(value: object) -> object:
    seconds = _amount(value, _SECONDS, "30d, 12h or 90s")
    return timedelta(seconds=seconds) if isinstance(seconds, int) else seconds


def _parse_roots(value: object) -> object:
    return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value


def _check_root(path: Path) -> Path:
    if not path.is_absolute() or not path.is_dir():
        raise ValueError(f"{str(path)!r} must be an absolute path of a directory that exists")
    return path.resolve()


def _check_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}")
    return path


def _check_url(url: str) -> str:
    """`host[:port][/path]`, with or without http:// or https://. Its text is not quoted: it may hold a password."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is not a URL; write host[:port][/path], http://… or https://…") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; give them as username and password")
    plain = re.fullmatch(r"[!-~]+", url) is not None and not (parts.query or parts.fragment)
    if parts.scheme not in ("", "http", "https") or not parts.hostname or not port_is_valid or not plain:
        raise ValueError("must be of the form host[:port][/path], http://… or https://…")
    return url


def _parse_list(value: object) -> object:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


def _check_origin(text: str) -> str:
    try:
        return str(parse_allowed_origin(text))
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


_File = Annotated[Path, AfterValidator(_check_file)]


class RegistrySettings(BaseModel):
    """One registry. Without credentials those of docker's and podman's configuration files are used."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_check_url)]
    username: str | None = None
    password: SecretStr | None = None
    password_file: _File | None = None
    ca_file: _File | None = None
    insecure_skip_tls_verify: bool = False
    client_cert: _File | None = None
    client_key: _File | None = None
    allowed_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_parse_list)
    ] = ()
    verify: Verification = Verification.TAG
    max_requests_per_second: Annotated[float, Field(gt=0)] | None = None
    max_bytes_per_second: Annotated[int, Field(ge=1024)] | None = None
    chunk_bytes: Annotated[int, Field(ge=SMALLEST_CHUNK, le=LARGEST_CHUNK)] = DEFAULT_CHUNK

    _parse_bytes = field_validator("max_bytes_per_second", "chunk_bytes", mode="before")(_parse_bytes)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file exclude each other")
        has_password = self.password is not None or self.password_file is not None
        if (self.username is not None) != has_password:
            raise ValueError("username needs password (or password_file), and the other way round")
        if self.ca_file is not None and self.insecure_skip_tls_verify:
            raise ValueError("ca_file and insecure_skip_tls_verify exclude each other")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key needs client_cert")
        return self


class Settings(BaseModel):
    """Everything that can be set. (Not pydantic-settings: it passes over TARMAC_ variables it does not know.)"""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080  # 0: any free one
    data_dir: Path = Path("data")
    path_roots: Annotated[tuple[Annotated[Path, AfterValidator(_check_root)], ...], BeforeValidator(_parse_roots)] = ()
    tokens_file: _File | None = None
    allow_anonymous: bool = False
    database_url: SecretStr | None = None  # None: SQLite in data_dir
    max_upload_bytes: Annotated[int, BeforeValidator(_parse_bytes), Field(gt=0)] = 64 << 30
    max_running_jobs: Annotated[int, Field(ge=1, le=256)] = 4
    keep_jobs: Annotated[timedelta, BeforeValidator(_parse_age), Field(gt=timedelta(0))] = timedelta(days=30)
    registries: Mapping[str, RegistrySettings] = {}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for name in self.registries:
            if not _NAME.fullmatch(name):
                raise ValueError(f"registries: {name!r:.80} must be lower-case letters, digits, `.`, `_` and `-`")
        if not (self.is_loopback or self.tokens_file or self.allow_anonymous):
            raise ValueError(
                f"host {self.host!r} can be reached by others: set TARMAC_TOKENS_FILE, "
                "or TARMAC_ALLOW_ANONYMOUS=true to let everybody push"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """From the file `config` (else the one TARMAC_CONFIG names) and `environ`. Raises InvalidSettings."""
    named = environ.get(f"{_PREFIX}CONFIG")
    file = config or (Path(named) if named else None)
    values = _read_file(file) if file else {}
    _merge(values, _read_environment(environ))
    try:
        return Settings(**values)
    except ValidationError as error:
        # Neither the rejected value nor the chained error is shown: both may be a secret.
        lines = [f"{_key(item['loc'])}: {_words(item['type'], item['msg'])}" for item in error.errors()]
        raise InvalidSettings("\n".join(lines)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise InvalidSettings(f"the configuration file {path} has more than {MAX_CONFIG_BYTES} bytes")
        values = tomllib.loads(text.decode())
    except OSError as error:
        raise InvalidSettings(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettings(f"the configuration file {path} is not valid TOML: {error}") from None
    return _fold_registry(values)


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """An empty variable counts as not set, as `docker compose` passes on what is not there."""
    values: dict[str, Any] = {}
    for name, value in environ.items():
        is_ours = name.startswith(_PREFIX) and name != f"{_PREFIX}CONFIG" and value
        if is_ours and not _KUBERNETES.fullmatch(name) and not value.startswith("tcp://"):
            values[name.removeprefix(_PREFIX).lower()] = value
    return _fold_registry(values)


def _fold_registry(values: dict[str, Any]) -> dict[str, Any]:
    """`registry_url` and the like become keys of the registry `default`."""
    flat = {key: values.pop(key) for key in tuple(values) if key.startswith(_REGISTRY_PREFIX)}
    if flat:
        keys = {key.removeprefix(_REGISTRY_PREFIX): value for key, value in flat.items()}
        _merge(values, {"registries": {DEFAULT_REGISTRY: keys}})
    return values


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such setting"
    return message.removeprefix("Value error, ")


def _key(location: tuple[int | str, ...]) -> str:
    """Both spellings of a key, so that the one who reads the message finds it wherever it was set."""
    table, name, key = (*map(str, location), "", "", "")[:3]
    if table == "registries" and name == DEFAULT_REGISTRY:
        return f"{_PREFIX}REGISTRY_{key.upper()} ([registries.{name}] {key})" if key else f"{_PREFIX}REGISTRY_…"
    if table == "registries" and name:
        return f"[registries.{name}] {key}".strip()
    return f"{_PREFIX}{table.upper()} ({table})" if table else "settings"


__all__ = ["DEFAULT_REGISTRY", "InvalidSettings", "RegistrySettings", "Settings", "load_settings"]
