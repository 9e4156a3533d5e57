"""Tokens of an issuer on loopback, good ones and all that are not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.auth import oidc
from app.auth.model import Role
from app.auth.oidc import MAX_KEY_AGE_SECONDS, MAX_TOKEN_BYTES, RETRY_SECONDS, OidcSettings, OidcTokens, parse_roles
from app.errors import Forbidden, InvalidSettings, Unauthorized, Unavailable
from tests.api.conftest import APP, serving
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, hang

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """What answers, and how often it was asked for its keys."""

    def __init__(self) -> None:
        self.server = ScriptedRegistry(route=self.route, ping=True)
        self.keys: dict[str, Any] = {"one": KEY}
        self.asked = 0
        self.jwks = "/keys"
        self.down = self.silent = False

    def route(self, seen: Seen) -> Step:
        if self.silent:
            return hang()
        if self.down:
            return answer(500)
        if seen.path == "/.well-known/openid-configuration":
            place = self.jwks if "://" in self.jwks else f"{self.server.url}{self.jwks}"
            return answer(200, body=json.dumps({"issuer": self.server.url, "jwks_uri": place}).encode())
        self.asked += 1
        shown = [{**jwk(key), "kid": name, "use": "sig"} for name, key in self.keys.items()]
        secret = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}
        return answer(200, body=json.dumps({"keys": [*shown, secret]}).encode())

    def token(self, key: Any = KEY, head: dict[str, str] | None = None, **claims: Any) -> bytes:
        known = {"iss": self.server.url, "aud": "tarmac", "sub": "anna", "exp": time.time() + 60, "roles": ["ci"]}
        members = {name: value for name, value in {**known, **claims}.items() if value is not None}
        return jwt.encode(members, key, "ES256", headers=head or {"kid": "one"}).encode()


def jwk(key: Any) -> dict[str, Any]:
    return json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))  # type: ignore[no-any-return]


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    async with made.server:
        yield made


def tokens(issuer: Issuer, now: list[float], **more: Any) -> OidcTokens:
    roles = parse_roles(("ci=push", "boss=admin"))
    return OidcTokens(OidcSettings(issuer.server.url, "tarmac", roles, **more), lambda: now[0])


async def test_a_good_token_has_the_roles_of_its_claim_and_keys_are_asked_for_once(issuer: Issuer) -> None:
    known = tokens(issuer, [0.0])
    for given, roles in (("ci", {Role.PUSH}), (["ci", "boss", "x"], {Role.PUSH, Role.ADMIN})):
        holder = await known.authenticate(issuer.token(roles=given))
        assert holder is not None
        assert (holder.name, holder.roles) == ("oidc:anna", frozenset(roles))
    inner = tokens(issuer, [0.0], claim="realm_access.roles")
    assert await inner.authenticate(issuer.token(realm_access={"roles": ["ci"]})) is not None
    assert issuer.asked == 2


async def test_a_claim_binds_a_token_to_repositories_and_must_be_there(issuer: Issuer) -> None:
    known = tokens(issuer, [0.0], repositories="tarmac.repositories")
    for given in ("team/a", ["team/a/*"]):
        holder = await known.authenticate(issuer.token(tarmac={"repositories": given}))
        assert holder is not None
        assert holder.repositories == ("team/a",)
    no_bounds: tuple[Any, ...] = (None, {}, {"repositories": []}, {"repositories": ["/"]}, {"repositories": 1}, [])
    for bad in no_bounds:
        with pytest.raises(Forbidden, match=r"tarmac\.repositories"):
            await known.authenticate(issuer.token(tarmac=bad))


async def test_what_is_not_good_opens_nothing(issuer: Issuer) -> None:
    known = tokens(issuer, [0.0])
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for bad in (
        issuer.token(OTHER),
        issuer.token(exp=time.time() - 60),
        issuer.token(exp=None),
        issuer.token(aud="other"),
        issuer.token(aud=None),
        issuer.token(iss="http://other.example"),
        issuer.token(sub="a\nb"),
        issuer.token(nbf=time.time() + 600),
        issuer.token(head={"kid": "unknown"}),
        issuer.token(head={"x": "no kid"}),
        forged({"alg": "none", "kid": "one"}, issuer, None),
        forged({"alg": "HS256", "kid": "one"}, issuer, public),
        forged({"alg": "HS256", "kid": "shared"}, issuer, b"secret"),
        forged({"alg": "RS256", "kid": "one"}, issuer, b"x"),
        issuer.token()[:-8] + b"AAAAAAAA",
        b"a.b.c",
    ):
        with pytest.raises(Unauthorized) as refused:
            await known.authenticate(bad)
        assert bad.decode() not in str(refused.value)
    with pytest.raises(Forbidden, match="TARMAC_OIDC_ROLES"):
        await known.authenticate(issuer.token(roles=["nobody"]))


def forged(head: dict[str, str], issuer: Issuer, secret: bytes | None) -> bytes:
    claims = issuer.token().split(b".")[1]
    start = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=") + b"." + claims
    signature = b"" if secret is None else hmac.new(secret, start, hashlib.sha256).digest()
    return start + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


async def test_what_is_no_token_of_an_issuer_is_not_looked_at(issuer: Issuer) -> None:
    known = tokens(issuer, [0.0])
    for other in (b"tarmac_plain", b"a" * MAX_TOKEN_BYTES + b".b.c"):
        assert await known.authenticate(other) is None
    assert issuer.asked == 0


async def test_a_key_that_is_new_is_asked_for_and_one_made_up_not_every_time(issuer: Issuer) -> None:
    now = [0.0]
    known = tokens(issuer, now)
    assert await known.authenticate(issuer.token()) is not None
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await known.authenticate(issuer.token(head={"kid": "made-up"}))
    assert issuer.asked == 1
    issuer.keys = {"two": OTHER}
    now[0] += RETRY_SECONDS
    assert await known.authenticate(issuer.token(OTHER, {"kid": "two"})) is not None
    with pytest.raises(Unauthorized):
        await known.authenticate(issuer.token())


async def test_keys_outlive_a_short_outage_of_the_issuer_and_no_long_one(issuer: Issuer) -> None:
    now = [0.0]
    known = tokens(issuer, now)
    assert await known.authenticate(issuer.token()) is not None
    issuer.down = True
    now[0] += MAX_KEY_AGE_SECONDS - 1
    assert await known.authenticate(issuer.token()) is not None
    now[0] += 1
    with pytest.raises(Unavailable):
        await known.authenticate(issuer.token())


@pytest.mark.parametrize("failure", ["answers 500", "silent"])
async def test_made_up_tokens_keep_nobody_waiting_while_the_issuer_is_away(
    issuer: Issuer, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issuer is asked once a minute, whoever asks and whatever it answers; a known key never waits for it."""
    now = [0.0]
    known = tokens(issuer, now)
    assert await known.authenticate(issuer.token()) is not None
    monkeypatch.setattr(oidc, "FETCH_SECONDS", 0.05)
    issuer.down, issuer.silent = failure == "answers 500", failure == "silent"
    before = len(issuer.server.requests)
    for _ in range(3):
        now[0] += RETRY_SECONDS
        made_up = [
            asyncio.create_task(known.authenticate(issuer.token(head={"kid": f"made-up-{number}"})))
            for number in range(10)
        ]
        await asyncio.sleep(0)
        with pytest.raises(StopIteration):  # it ends without waiting for anything
            known.authenticate(issuer.token()).send(None)
        outcomes = await asyncio.gather(*made_up, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unauthorized}
    assert len(issuer.server.requests) - before <= 3


async def test_expired_keys_are_asked_for_once_a_minute_while_the_issuer_fails(issuer: Issuer) -> None:
    now = [0.0]
    known = tokens(issuer, now)
    issuer.down = True
    for _ in range(20):
        with pytest.raises(Unavailable):
            await known.authenticate(issuer.token())
    assert len(issuer.server.requests) == 1
    issuer.down = False
    now[0] += RETRY_SECONDS
    assert await known.authenticate(issuer.token()) is not None


async def test_the_issuer_does_not_lead_to_another_inner_address(issuer: Issuer) -> None:
    async with ScriptedRegistry(ping=True) as canary:
        issuer.jwks = f"{canary.url}/keys"
        with pytest.raises(Unavailable, match="not followed"):
            await tokens(issuer, [0.0]).authenticate(issuer.token())
        assert canary.requests == []


async def test_the_service_takes_them(issuer: Issuer, tmp_path: Path) -> None:
    more = {"oidc_issuer": issuer.server.url, "oidc_audience": "tarmac", "oidc_roles": "ci=push"}
    async with serving(tmp_path, **more) as served:
        assert (await served.client.get("/jobs")).status_code == 401
        headers = {"Authorization": f"Bearer {issuer.token().decode()}"}
        assert (await served.client.post("/push?wait=30", content=APP, headers=headers)).status_code == 200
        assert len((await served.client.get("/jobs", headers=headers)).json()["jobs"]) == 1
        other = {"Authorization": f"Bearer {issuer.token(sub='bert').decode()}"}
        assert (await served.client.get("/jobs", headers=other)).json()["jobs"] == []


def test_a_role_that_there_is_not_stops_the_start() -> None:
    with pytest.raises(InvalidSettings, match="TARMAC_OIDC_ROLES"):
        parse_roles(("ci=root",))
