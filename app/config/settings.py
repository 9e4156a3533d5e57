"""Settings of the operator, read once at start from a TOML file and the environment, which wins.

The name of an environment variable is TARMAC_ and the field's name; the file uses the same names in lower case without
the prefix. `TARMAC_REGISTRY_…` describes the registry named `default`; further registries are tables
`[registries.NAME]`. An unknown name is an error, so that a misspelt setting is not silently ignored."""

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
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from app.config.types import (
    ANY_ORIGIN,
    AccessLog,
    AccessLogName,
    Age,
    BasePath,
    Bytes,
    ExistingDirectory,
    ExistingFile,
    HostNames,
    LogFormatName,
    LogLevel,
    LogLevelName,
    Networks,
    Origins,
    PageOrigins,
    Repository,
    Roots,
    Url,
    WebhookUrl,
    Words,
)
from app.errors import InvalidSettings
from app.registry.auth.ecr import EcrEndpoint, ecr_endpoint
from app.registry.uploads.capabilities import DEFAULT_CHUNK, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES
from app.registry.wrappers.verify import Verification

_PREFIX = "TARMAC_"
_REGISTRY_PREFIX = "registry_"
DEFAULT_REGISTRY = "default"
_MAY_HOLD_SECRET = frozenset({"webhook_url", "otel_endpoint"})
MAX_CONFIG_BYTES = 1 << 20  # a file with a thousand registries takes a tenth of it

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62})")
# Kubernetes sets these variables in every container near a Service named `tarmac`.
_KUBERNETES = re.compile(r"TARMAC_(?:SERVICE_(?:HOST|PORT)|PORT_[0-9]+_(?:TCP|UDP|SCTP)).*")


class RegistrySettings(BaseModel):
    """One registry. Without credentials, those of docker's and podman's configuration files are used."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Url
    username: str | None = None
    password: SecretStr | None = None
    password_file: ExistingFile | None = None
    ca_file: ExistingFile | None = None
    insecure_skip_tls_verify: bool = False
    client_cert: ExistingFile | None = None
    client_key: ExistingFile | None = None
    allowed_origins: Origins = ()
    verify: Verification = Verification.TAG
    max_requests_per_second: Annotated[float, Field(gt=0)] | None = None
    max_bytes_per_second: Annotated[Bytes, Field(ge=1024)] | None = None
    chunk_bytes: Annotated[Bytes, Field(ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)] = DEFAULT_CHUNK
    staging_repository: Repository = ""
    ecr_endpoint: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] | None = None
    ecr_create_repositories: bool = False
    ecr_lifecycle_policy_file: ExistingFile | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file exclude each other; set one of them")
        has_password = self.password is not None or self.password_file is not None
        if (self.username is not None) != has_password:
            raise ValueError("username and password (or password_file) need each other; set both")
        if self.ca_file is not None and self.insecure_skip_tls_verify:
            raise ValueError("ca_file and insecure_skip_tls_verify exclude each other; set one of them")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key needs client_cert; set it as well")
        return self

    @model_validator(mode="after")
    def _check_ecr(self) -> Self:
        if self.ecr_create_repositories and self.ecr is None:
            raise ValueError("ecr_create_repositories needs a registry of ECR; set an ECR url, or ecr_endpoint")
        if self.ecr_lifecycle_policy_file is not None and not self.ecr_create_repositories:
            raise ValueError("ecr_lifecycle_policy_file needs ecr_create_repositories; set it to true")
        return self

    @property
    def ecr(self) -> EcrEndpoint | None:
        """Return the AWS endpoint for credentials and repositories; None for a registry that is not ECR."""
        parts = urlsplit(self.url if "://" in self.url else f"//{self.url}")
        return ecr_endpoint(parts.hostname or "", self.ecr_endpoint)


class SignatureSettings(BaseModel):
    """What must be signed: globs over `host/repository`, and files of public keys, one of which suffices."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    destinations: Annotated[tuple[str, ...], Field(min_length=1)]
    keys: Annotated[tuple[ExistingFile, ...], Field(min_length=1)]


class Settings(BaseModel):
    """All settings. (Not pydantic-settings, which ignores unknown TARMAC_ variables.)"""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080  # 0: any free port
    socket: Path | None = None  # instead of host and port
    base_path: BasePath = ""
    trusted_proxies: Networks = ()
    cors_origins: PageOrigins = ()
    keep_alive: Annotated[Age, Field(ge=timedelta(seconds=1), le=timedelta(days=1))] = timedelta(seconds=95)
    log_level: LogLevelName = LogLevel.INFO
    log_format: LogFormatName | None = None  # None: text at a terminal, otherwise JSON
    access_log: AccessLogName = AccessLog.ERRORS
    data_dir: Path = Path("data")
    path_roots: Roots = ()
    watch_dir: ExistingDirectory | None = None
    watch_settle: Age = timedelta(seconds=5)
    webhook_url: WebhookUrl | None = None
    webhook_secret: SecretStr | None = None
    webhook_secret_file: ExistingFile | None = None
    webhook_ca_file: ExistingFile | None = None
    otel_endpoint: WebhookUrl | None = None
    tokens_file: ExistingFile | None = None
    allow_anonymous: bool = False
    allowed_hosts: HostNames = ()
    oidc_issuer: WebhookUrl | None = None
    oidc_audience: str | None = None
    oidc_roles: Words = ()
    oidc_claim: str = "roles"
    oidc_repositories_claim: str | None = None
    oidc_ca_file: ExistingFile | None = None
    tls_cert: ExistingFile | None = None
    tls_key: ExistingFile | None = None
    tls_client_ca: ExistingFile | None = None
    database_url: SecretStr | None = None  # None: SQLite in data_dir
    spool_url: Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,62}(/[!-~]*)?$")] | None = (
        None  # None: data_dir
    )
    max_upload_bytes: Annotated[Bytes, Field(gt=0)] = 64 << 30
    decoder_memory: Annotated[Bytes, Field(ge=8 << 20)] = 64 << 20
    rate_requests: Annotated[float, Field(ge=0)] = 200
    rate_uploads: Annotated[float, Field(ge=0)] = 50
    rate_jobs: Annotated[float, Field(ge=0)] = 20
    rate_pulls: Annotated[float, Field(ge=0)] = 1_000
    rate_failures: Annotated[float, Field(ge=0)] = 1
    max_uploads: Annotated[int, Field(ge=1, le=4096)] = 1_500  # each needs a connection, a file and some MiB
    max_running_jobs: Annotated[int, Field(ge=1, le=256)] = 4
    replica_timeout: Annotated[Age, Field(ge=timedelta(seconds=1), le=timedelta(minutes=10))] = timedelta(seconds=8)
    sweep_interval: Annotated[Age, Field(ge=timedelta(seconds=1))] = timedelta(minutes=10)
    sweep_age: Annotated[Age, Field(ge=timedelta(0))] = timedelta(hours=1)
    keep_bytes: Annotated[Bytes, Field(ge=0)] | None = None  # None: as long as the jobs
    keep_jobs: Annotated[Age, Field(gt=timedelta(0))] = timedelta(days=30)
    keep_audit: Annotated[Age, Field(gt=timedelta(0))] | None = None  # None: for ever
    keep_deliveries: Annotated[Age, Field(gt=timedelta(0))] = timedelta(days=365)
    audit_max_bytes: Annotated[Bytes, Field(ge=1 << 20)] | None = None
    store_keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None  # None: for ever
    store_keep_tags: Annotated[int, Field(ge=1)] | None = None  # None: all
    retry_for: Annotated[Age, Field(ge=timedelta(0))] = timedelta(days=1)  # 0: an outage fails a job at once
    registries: Mapping[str, RegistrySettings] = {}
    signatures: tuple[SignatureSettings, ...] = ()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for name in self.registries:
            if not _NAME.fullmatch(name):
                raise ValueError(f"registries: {name!r:.80} must be lower-case letters, digits, `.`, `_` and `-`")
        if self.watch_dir is not None and self.data_dir.absolute().resolve().is_relative_to(self.watch_dir):
            raise ValueError(
                "watch_dir contains data_dir, whose files would be taken for archives; set separate directories"
            )
        if self.webhook_secret is not None and self.webhook_secret_file is not None:
            raise ValueError("webhook_secret and webhook_secret_file exclude each other; set one of them")
        if self.oidc_issuer is not None and not (self.oidc_audience and self.oidc_roles):
            raise ValueError("oidc_issuer needs oidc_audience and oidc_roles; set both")
        if self.is_anonymous and not (self.is_loopback or self.allow_anonymous):
            raise ValueError(
                f"host {self.host!r} accepts other machines, and no tokens are required; set TARMAC_TOKENS_FILE, "
                "or TARMAC_ALLOW_ANONYMOUS=true to let every client push"
            )
        return self

    @model_validator(mode="after")
    def _check_pages(self) -> Self:
        if ANY_ORIGIN in self.cors_origins and self.is_anonymous:
            raise ValueError(
                "cors_origins may be * only if tokens are required; set tokens_file or oidc_issuer, or list the origins"
            )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        for name in ("tls_key", "tls_client_ca"):
            if getattr(self, name) is not None and self.tls_cert is None:
                raise ValueError(f"{name} needs tls_cert; set it as well")
        return self

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert else "http"

    @property
    def is_anonymous(self) -> bool:
        """Return whether every client that can connect may do everything."""
        return self.tokens_file is None and self.oidc_issuer is None

    @property
    def is_loopback(self) -> bool:
        """Return whether clients on other machines cannot connect."""
        if self.socket is not None:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from `config` (default: the file in TARMAC_CONFIG) and `environ`. Raises InvalidSettings."""
    named = environ.get(f"{_PREFIX}CONFIG")
    file = config or (Path(named) if named else None)
    values = _read_file(file) if file else {}
    _merge(values, _read_environment(environ))
    try:
        return Settings(**values)
    except ValidationError as error:
        # The rejected value and the chained error are omitted: either may contain a secret.
        lines = [f"{_key(item['loc'])}: {_words(item['type'], item['msg'])}" for item in error.errors()]
        raise InvalidSettings("\n".join(lines)) from None


def settings_in_use(settings: BaseModel) -> dict[str, Any]:
    """Return the settings that were given, without secrets. URLs that may contain one are cut after the host."""
    given = {name: getattr(settings, name) for name in sorted(settings.model_fields_set)}
    return {
        name: _without_path(value) if name in _MAY_HOLD_SECRET else _shown(value)
        for name, value in given.items()
        if value is not None and not isinstance(value, SecretStr)
    }


def _shown(value: Any) -> Any:
    """Return the value of a setting for a log line."""
    if isinstance(value, BaseModel):
        return settings_in_use(value)
    if isinstance(value, Mapping):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return value if isinstance(value, bool | int | float) else str(value)


def _without_path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise InvalidSettings(f"the configuration file is too large: {path}; the limit is {MAX_CONFIG_BYTES} bytes")
        values = tomllib.loads(text.decode())
    except OSError as error:
        raise InvalidSettings(f"cannot read the configuration file {path}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettings(f"the configuration file {path} is not valid TOML: {error}") from None
    return _fold_registry(values)


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of TARMAC_ variables. `docker compose` passes unset ones as empty; these are ignored."""
    values: dict[str, Any] = {}
    for name, value in environ.items():
        is_ours = name.startswith(_PREFIX) and name != f"{_PREFIX}CONFIG" and value
        if is_ours and not _KUBERNETES.fullmatch(name) and not value.startswith("tcp://"):
            values[name.removeprefix(_PREFIX).lower()] = value
    return _fold_registry(values)


def _fold_registry(values: dict[str, Any]) -> dict[str, Any]:
    """Move `registry_url` and similar keys to the registry `default`."""
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
        return "unknown setting; check the spelling"
    return message.removeprefix("Value error, ")


def _key(location: tuple[int | str, ...]) -> str:
    """Return both spellings of a key, for the environment and the file."""
    table, name, key = (*map(str, location), "", "", "")[:3]
    if table == "registries" and name == DEFAULT_REGISTRY:
        return f"{_PREFIX}REGISTRY_{key.upper()} ([registries.{name}] {key})" if key else f"{_PREFIX}REGISTRY_…"
    if table == "registries" and name:
        return f"[registries.{name}] {key}".strip()
    return f"{_PREFIX}{table.upper()} ({table})" if table else "settings"


__all__ = ["DEFAULT_REGISTRY", "InvalidSettings", "RegistrySettings", "Settings", "load_settings", "settings_in_use"]
