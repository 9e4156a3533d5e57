"""Amazon ECR: passwords that AWS issues for twelve hours, and repositories that must be created before a push.

botocore is an optional extra, slow to import, and blocking: it is imported on first use, and only called in threads.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import (
    Failure,
    RegistryAuth,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryUnreachable,
)
from app.net.urls import RegistryUrl, printable
from app.net.warnings import add_notice
from app.registry.auth import ANONYMOUS, Credentials, CredentialSource

MAX_POLICY = 30_720  # characters of a lifecycle policy (ECR's quota)
CALL_SECONDS = 60.0  # per request to AWS, including the source of its credentials: a program or a login service
_CONNECT, _READ, _ATTEMPTS = 5, 20, 3
_MARGIN = 600.0  # seconds before expiry at which a password is replaced: ECR responds 403 to an expired one
_MAX_LIFETIME = 12 * 3600.0  # maximum lifetime in seconds, in case our clock is behind
_MIN_LIFETIME = 60.0  # minimum use in seconds, even if it has expired by our clock
_RECENT = 30.0  # seconds; a caller that asks again for an older password was rejected with it
_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|(?P<dual>on\.aws|on\.amazonwebservices\.com\.cn))"
)
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})
# Codes whose messages are shown. Others, such as a wrong signature, may quote the request with its session token.
_SHOWN_CODES = frozenset({"AccessDeniedException", "AccessDenied", "LimitExceededException"})

UNANSWERED_HINT = (  # aws/containers-roadmap#1970
    "ECR also does this if the repository is missing or the account may not push to it; create it, or set "
    "ecr_create_repositories"
)


@dataclass(frozen=True, slots=True)
class EcrEndpoint:
    """The address of ECR.

    `account` and `region` are None if the host does not contain them; AWS's own configuration then decides.
    """

    account: str | None = None
    region: str | None = None
    fips: bool = False
    dual: bool = False
    endpoint: str | None = None


def ecr_endpoint(host: str, endpoint: str | None = None) -> EcrEndpoint | None:
    """Return the endpoint for a registry's host name. With an `endpoint` any host counts as ECR."""
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return EcrEndpoint(endpoint=endpoint) if endpoint else None
    return EcrEndpoint(match["account"], match["region"], bool(match["fips"]), bool(match["dual"]), endpoint)


class EcrCredentials:
    """A CredentialSource for ECR.

    One password serves all repositories. It is requested again before it expires and after a rejection. If AWS returns
    none, `otherwise` is used, such as docker's files.
    """

    def __init__(
        self,
        endpoint: EcrEndpoint,
        otherwise: CredentialSource = ANONYMOUS,
        lifecycle_policy: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint, self._otherwise, self._policy, self._clock = endpoint, otherwise, lifecycle_policy, clock
        self._client: Any = None
        self._lock = asyncio.Lock()
        self._cached: Credentials | None = None
        self._fetched_at = 0.0
        self._served: set[str] = set()
        self._created: dict[str, float] = {}

    async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
        """Return the credentials of AWS, and those of `otherwise` if AWS issues none. Raises RegistryError."""
        try:
            async with self._lock:
                return await self._current(repository)
        except RegistryAuth:
            found = await self._otherwise.find(registry, repository)
            if found is None:
                raise
            return found

    async def create_repository(self, name: str) -> None:
        """Create a repository, with the lifecycle policy if one is configured. Raises RegistryError."""
        async with self._lock:
            now = self._clock()
            self._created = {created: at for created, at in self._created.items() if now - at < _MIN_LIFETIME}
            if name not in self._created:
                policy = None if self._policy is None else await asyncio.to_thread(_read_policy, self._policy)
                await self._create(name, policy)
                self._created[name] = now

    async def _create(self, name: str, policy: str | None) -> None:
        target = {"repositoryName": name, **({"registryId": self._endpoint.account} if self._endpoint.account else {})}
        try:
            await self._ask("create_repository", target)
        except _ExistsError:
            return
        if policy is None:
            return
        try:
            await self._ask("put_lifecycle_policy", {**target, "lifecyclePolicyText": policy})
        except RegistryError as error:
            add_notice(f"ECR repository {name} was created without its lifecycle policy: {error}")

    async def _current(self, repository: str) -> Credentials:
        now, cached = self._clock(), self._cached
        refused = repository in self._served and now - self._fetched_at > _RECENT
        if cached is None or refused or now >= (cached.good_until or 0.0):
            cached = _credentials(await self._ask("get_authorization_token", {}), self._clock())
            self._cached, self._fetched_at, self._served = cached, now, set()
        self._served.add(repository)
        return cached

    async def _ask(self, operation: str, members: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.to_thread(self._call, operation, members)
        except TimeoutError:
            raise RegistryUnreachable(
                f"AWS did not answer {operation} within {CALL_SECONDS:.0f} s; check the network"
            ) from None

    def _call(self, operation: str, members: Mapping[str, str]) -> Mapping[str, Any]:
        """Call AWS and map its exceptions. Blocks."""
        exceptions = _load("botocore.exceptions")
        try:
            if self._client is None:
                self._client = self._new_client()
            answer: Mapping[str, Any] = getattr(self._client, operation)(**members)
            return answer
        except exceptions.ClientError as error:
            self._client = None  # the files of AWS may contain other credentials by now
            raise _refusal(operation, error.response) from None
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            raise RegistryUnreachable(
                f"AWS cannot be reached for {operation} ({type(error).__name__}); check the network, AWS_REGION and "
                "the setting ecr_endpoint"
            ) from None
        except exceptions.BotoCoreError as error:
            self._client = None
            raise RegistryAuth(_no_access(operation, type(error).__name__)) from None

    def _new_client(self) -> Any:
        config = _load("botocore.config").Config(
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            use_fips_endpoint=self._endpoint.fips or None,
            use_dualstack_endpoint=self._endpoint.dual or None,
        )
        session = _load("botocore.session").Session()
        return session.create_client(
            "ecr", region_name=self._endpoint.region, endpoint_url=self._endpoint.endpoint, config=config
        )


class _ExistsError(Exception):
    """Another client has created the repository meanwhile."""


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise RegistryAuth(
            "ECR needs botocore, which is not installed; install Tarmac with the extra `ecr` (pip install "
            "'tarmac[ecr]'), or provide credentials by `docker login` or the settings username and password"
        ) from None


def _no_access(operation: str, kind: str) -> str:
    if kind == "NoCredentialsError":
        return (
            "AWS credentials for ECR not found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or "
            "assign a role to the machine or pod"
        )
    if kind == "NoRegionError":
        return "AWS region of ECR unknown; set AWS_REGION"
    return f"{operation} could not be sent to AWS ({kind}); check AWS's files, as with `aws sts get-caller-identity`"


def _refusal(operation: str, response: Mapping[str, Any]) -> Exception:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    detail = printable(str(response.get("Error", {}).get("Message", "")), 500) if code in _SHOWN_CODES else ""
    message = f"AWS answered {printable(code, 100)} to {operation}{': ' if detail else ''}{detail}"
    if code == "RepositoryAlreadyExistsException":
        return _ExistsError()
    if code in _THROTTLED:
        return RegistryRateLimited(message)
    if status >= 500:
        return RegistryFault(message, failure=Failure.OVERLOADED)
    if operation != "get_authorization_token":
        return RegistryDenied(f"{message}. These AWS credentials need ecr:CreateRepository and ecr:PutLifecyclePolicy")
    return RegistryAuth(f"{message}. Check the AWS credentials, and that they allow ecr:GetAuthorizationToken")


def _credentials(answer: Mapping[str, Any], now: float) -> Credentials:
    """Parse the response. `now` is the value of the clock that `good_until` refers to."""
    try:
        data = answer["authorizationData"][0]
        username, _, password = base64.b64decode(data["authorizationToken"], validate=True).decode().partition(":")
        left = (data["expiresAt"] - datetime.now(UTC)).total_seconds()
    except (LookupError, TypeError, binascii.Error, UnicodeDecodeError):
        raise RegistryAuth(
            "the response of AWS to get_authorization_token has no token; check the setting ecr_endpoint"
        ) from None
    return Credentials(username, password, good_until=now + max(_MIN_LIFETIME, min(left, _MAX_LIFETIME) - _MARGIN))


def _read_policy(file: Path) -> str:
    """Read the lifecycle policy. Blocks."""
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MAX_POLICY + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryDenied(
            f"the lifecycle policy {file} cannot be read ({type(error).__name__}); fix or remove the file"
        ) from None
    if len(text) > MAX_POLICY:
        raise RegistryDenied(f"the lifecycle policy {file} is too long; at most {MAX_POLICY} characters are accepted")
    return text
