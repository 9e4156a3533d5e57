"""Amazon's ECR: AWS's side is moto's server, the registry's side one that takes AWS's password."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)
from pydantic import ValidationError

from app.bootstrap.registries import configured_registries
from app.config.settings import RegistrySettings, Settings
from app.errors import (
    RegistryAuth,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryUnreachable,
)
from app.net.urls import RegistryUrl, parse_registry_url
from app.net.warnings import collect_warnings
from app.oci import Digest
from app.registry import Registry
from app.registry.auth import Credentials, FixedCredentials
from app.registry.auth.ecr import EcrCredentials, EcrEndpoint, ecr_endpoint
from app.registry.distribution import hints
from tests.support.blob_content import BytesContent
from tests.support.memory_registry import PASSWORD as WORD
from tests.support.memory_registry import USER, Manners, MemoryRegistry, Refused, Request, basic
from tests.support.scripted_registry import ScriptedRegistry, served

REGION, ACCOUNT, PASSWORD, SECRET_KEY = "eu-west-1", "123456789012", "123456789012-auth-token", "canary-secret-key"
HOST = parse_registry_url(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com", "url")
POLICY = '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", ' \
    '"countNumber": 9}, "action": {"type": "expire"}}]}'  # fmt: skip


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """AWS on loopback, in a thread: half a second of processor time."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in the environment, and none from this machine."""
    values = {
        "AWS_ACCESS_KEY_ID": "canary-id",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "HOME": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def api(moto: str) -> Any:
    """AWS as somebody else sees it."""
    session = botocore.session.Session()
    session.set_credentials("other", "other")
    return session.create_client("ecr", region_name=REGION, endpoint_url=moto)


class EcrRegistry(MemoryRegistry):
    """Takes AWS's password, and pushes to the repositories that AWS knows."""

    def __init__(self, api: Any) -> None:
        super().__init__(Manners(auth="basic"))
        self.api, self.password = api, PASSWORD

    def _authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != basic("AWS", self.password):
            raise Refused(401, "UNAUTHORIZED", "Not Authorized")

    async def _answer(self, request: Request, query: str) -> Any:
        if request.method == "POST":
            found = await asyncio.to_thread(self.api.describe_repositories)
            self.manners = replace(
                self.manners, created=frozenset(found_item["repositoryName"] for found_item in found["repositories"])
            )
        return await super()._answer(request, query)


@dataclass
class _Time:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def push(registry: Registry, repository: str) -> None:
    """Several blobs at once, as a push does it."""
    contents = [BytesContent(f"{repository} {number}".encode()) for number in range(3)]
    async with asyncio.TaskGroup() as group:
        for content in contents:
            group.create_task(registry.push_blob(repository, content))
    for content in contents:
        assert await registry.blob_exists(repository, Digest.of(content.data))


async def test_a_missing_repository_is_created_with_its_policy_and_pushed_to(
    moto: str, api: Any, tmp_path: Path
) -> None:
    (tmp_path / "policy.json").write_text(POLICY)
    memory = EcrRegistry(api)
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        settings = RegistrySettings(
            url=f"{server.url}/mirror",
            ecr_endpoint=moto,
            ecr_create_repositories=True,
            ecr_lifecycle_policy_file=tmp_path / "policy.json",
        )
        async with configured_registries(Settings(registries={"aws": settings}, data_dir=tmp_path)) as opened:
            found = await opened["aws"].check()
            assert (found.authentication, found.authenticated) == ("basic", True)
            await push(opened["aws"].configured.registry, "mirror/app")
    assert api.get_lifecycle_policy(repositoryName="mirror/app")["lifecyclePolicyText"] == POLICY


async def test_without_the_setting_no_repository_is_created(moto: str, api: Any, tmp_path: Path) -> None:
    memory = EcrRegistry(api)
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        settings = RegistrySettings(url=server.url, ecr_endpoint=moto)
        async with configured_registries(Settings(registries={"aws": settings}, data_dir=tmp_path)) as opened:
            with pytest.raises(RegistryDenied, match=hints.MISSING_REPOSITORY):
                await opened["aws"].configured.registry.push_blob("absent/app", BytesContent(b"1"))
    assert "absent/app" not in str(api.describe_repositories()["repositories"])


async def test_a_policy_that_aws_does_not_take_is_a_notice_and_one_that_cannot_be_read_an_error(
    moto: str, api: Any, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text("{}")
    ecr = EcrCredentials(EcrEndpoint(endpoint=moto), lifecycle_policy=policy)
    told: list[str] = []
    with collect_warnings(told.append):
        await ecr.create_repository("noticed/app")
    assert ["noticed/app" in item and "lifecycle policy" in item for item in told] == [True]
    await EcrCredentials(EcrEndpoint(endpoint=moto)).create_repository("noticed/app")  # that exists already
    for content in (b"\xff", b" " * 40_000):
        policy.write_bytes(content)
        with pytest.raises(RegistryDenied, match=r"policy\.json"):
            await ecr.create_repository("unread/app")
    assert "unread/app" not in str(api.describe_repositories()["repositories"])


async def test_the_password_is_asked_for_once_and_again_before_it_expires_and_when_it_was_refused(moto: str) -> None:
    clock = _Time()
    ecr = EcrCredentials(EcrEndpoint(endpoint=moto), clock=clock)
    first = await ecr.find(HOST, "a")
    assert first == Credentials("AWS", PASSWORD)
    assert await ecr.find(HOST, "a") is first, "asked twice at once is no refusal"
    assert await ecr.find(HOST, "b") is first
    clock.now = 40.0
    assert await ecr.find(HOST, "c") is first
    second = await ecr.find(HOST, "a")
    assert second is not first, "refused before its time"
    clock.now = 100.0  # moto's passwords have expired long ago; such a one is used for a minute
    assert await ecr.find(HOST, "d") is not second


async def test_a_clock_that_is_behind_does_not_make_a_password_good_for_longer() -> None:
    class Ahead:
        asked = 0

        def get_authorization_token(self) -> dict[str, object]:
            self.asked += 1
            token = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
            data = {"authorizationToken": token, "expiresAt": datetime.now(UTC) + timedelta(days=30)}
            return {"authorizationData": [data]}

    clock = _Time()
    ecr = EcrCredentials(EcrEndpoint(), clock=clock)
    ecr._client = client = Ahead()
    for clock.now in (0.0, 11.8 * 3600, 12 * 3600):
        await ecr.find(HOST, str(clock.now))
    assert client.asked == 2


async def test_what_is_good_for_a_time_is_looked_up_again_when_that_is_over() -> None:
    clock, asked = _Time(), []

    class Renewing:
        async def find(self, registry: RegistryUrl, repository: str) -> Credentials:
            asked.append(clock.now)
            return Credentials(USER, WORD, good_until=clock.now + 60)

    async with MemoryRegistry(Manners(auth="basic")).client(Renewing()) as registry:
        registry._session.authorizations.clock = clock
        for clock.now in (0.0, 59.0, 60.0, 70.0, 130.0):
            await registry.push_blob("a", BytesContent(str(clock.now).encode()))
    assert asked == [0.0, 60.0, 130.0]


class Refusing:
    """AWS that answers with one error; what botocore has around it is its own."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_authorization_token(self) -> None:
        raise self.error

    def create_repository(self, **members: str) -> None:
        raise self.error


def refused(code: str, status: int = 400) -> ClientError:
    words = f"not allowed {SECRET_KEY}" if code == "InvalidSignatureException" else "User arn:aws:iam::1:user/x"
    response: Any = {"Error": {"Code": code, "Message": words}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "GetAuthorizationToken")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refused("AccessDeniedException"), RegistryAuth, "arn:aws:iam::1:user/x. Check the AWS credentials"),
        (refused("InvalidSignatureException"), RegistryAuth, "InvalidSignatureException to get_authorization_token"),
        (refused("ThrottlingException"), RegistryRateLimited, "ThrottlingException"),
        (refused("ServerException", 500), RegistryFault, "ServerException"),
        (NoCredentialsError(), RegistryAuth, "AWS_ACCESS_KEY_ID"),
        (NoRegionError(), RegistryAuth, "AWS_REGION"),
        (CredentialRetrievalError(provider="p", error_msg=SECRET_KEY), RegistryAuth, "CredentialRetrievalError"),
        (EndpointConnectionError(endpoint_url="http://x"), RegistryUnreachable, "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="http://x"), RegistryUnreachable, "ReadTimeoutError"),
    ],
)
async def test_what_aws_refuses_is_told_with_what_to_do_and_without_a_secret(
    error: Exception, kind: type[RegistryError], words: str
) -> None:
    ecr = EcrCredentials(EcrEndpoint())
    ecr._client = Refusing(error)
    with pytest.raises(kind) as raised:
        await ecr.find(HOST, "a")
    assert words in str(raised.value)
    assert SECRET_KEY not in str(raised.value)


async def test_a_repository_that_may_not_be_created_says_which_rights_are_missing() -> None:
    ecr = EcrCredentials(EcrEndpoint())
    ecr._client = Refusing(refused("AccessDeniedException"))
    with pytest.raises(RegistryDenied, match="ecr:CreateRepository"):
        await ecr.create_repository("a")


async def test_blobs_that_miss_a_repository_at_the_same_time_have_it_created_once() -> None:
    class Creating:
        created = 0

        def create_repository(self, **members: str) -> dict[str, str]:
            self.created += 1
            return members

    ecr = EcrCredentials(EcrEndpoint(ACCOUNT))
    ecr._client = client = Creating()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ecr.create_repository("a"))
    assert client.created == 1


async def test_without_aws_credentials_the_message_names_them_and_docker_s_are_used_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(RegistryAuth, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"):
        await EcrCredentials(EcrEndpoint(region=REGION)).find(HOST, "a")
    login = Credentials("AWS", "by docker login")
    assert await EcrCredentials(EcrEndpoint(region=REGION), FixedCredentials(login)).find(HOST, "a") is login


async def test_without_the_extra_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("botocore", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RegistryAuth, match=r"tarmac\[ecr\]"):
        await EcrCredentials(EcrEndpoint()).find(HOST, "a")


async def test_an_answer_without_a_token_and_one_that_does_not_come_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class Odd:
        def get_authorization_token(self) -> dict[str, object]:
            return {"authorizationData": []}

        def create_repository(self, **members: str) -> None:
            over.wait(10)

    ecr = EcrCredentials(EcrEndpoint())
    ecr._client = Odd()
    with pytest.raises(RegistryAuth, match="ecr_endpoint"):
        await ecr.find(HOST, "a")
    monkeypatch.setattr("app.registry.auth.ecr.CALL_SECONDS", 0.01)
    with pytest.raises(RegistryUnreachable, match="create_repository within 0 s"):
        await ecr.create_repository("a")
    over.set()


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", EcrEndpoint(ACCOUNT, "eu-west-1")),
        ("123456789012.DKR.ecr.eu-west-1.amazonaws.com", EcrEndpoint(ACCOUNT, "eu-west-1")),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", EcrEndpoint(ACCOUNT, "cn-north-1")),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", EcrEndpoint(ACCOUNT, "us-gov-west-1", fips=True)),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", EcrEndpoint(ACCOUNT, "eu-west-1", dual=True)),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
        ("public.ecr.aws", None),
        ("registry.local", None),
    ],
)
def test_ecr_is_known_by_its_host_name(host: str, place: EcrEndpoint | None) -> None:
    assert ecr_endpoint(host) == place
    assert ecr_endpoint(host, "https://api.local") == replace(place or EcrEndpoint(), endpoint="https://api.local")


def test_aws_is_asked_where_the_host_name_says() -> None:
    place = ecr_endpoint(f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com")
    assert place
    assert EcrCredentials(place)._new_client().meta.endpoint_url == "https://ecr-fips.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"url": "r.local", "ecr_create_repositories": True}, "ecr_endpoint"),
        ({"url": HOST.name, "ecr_lifecycle_policy_file": __file__}, "needs ecr_create_repositories"),
        ({"url": "r.local", "ecr_endpoint": "api.local"}, "pattern"),
    ],
)
def test_settings_of_ecr_that_cannot_be_are_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RegistrySettings(**more)
    assert RegistrySettings(url=HOST.name, ecr_create_repositories=True).ecr == EcrEndpoint(ACCOUNT, REGION)
