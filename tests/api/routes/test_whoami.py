"""`GET /whoami`, and the default prefix of a token."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.auth.token_file import TokenHolder
from tests.api.conftest import APP, Served, serving

TOKEN = "token-of-ci"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
LINE = f"ci:{DIGEST}:push:team/a:jobs=4,bytes=1048576:team/a"


async def test_without_tokens_everybody_is_a_nameless_administrator(served: Served) -> None:
    document = (await served.client.get("/whoami")).json()
    assert (document["name"], document["roles"], document["prefixes"]) == (None, ["admin"], [])
    assert (document["sees_all"], document["may_push"], document["default_prefix"]) == (True, True, None)
    assert document["quotas"]["jobs"] == {"limit": None, "used": 0}


async def test_a_token_sees_its_rights_and_the_use_of_its_quotas(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(LINE)
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as served:
        assert (await served.client.get("/whoami")).status_code == 401
        own = {"Authorization": f"Bearer {TOKEN}"}
        begun = {**own, "Tus-Resumable": "1.0.0", "Upload-Length": "900"}
        assert (await served.client.post("/uploads", headers=begun)).status_code == 201
        document = (await served.client.get("/whoami", headers=own)).json()
        assert (document["name"], document["roles"], document["prefixes"]) == ("ci", ["push"], ["team/a"])
        assert (document["default_prefix"], document["sees_all"]) == ("team/a", False)
        assert document["quotas"]["jobs"] == {"limit": 4, "used": 1}
        assert document["quotas"]["upload_bytes"]["limit"] == 1 << 20
        assert document["quotas"]["stored_bytes"]["limit"] == 16 << 20


async def test_a_request_without_prefix_gets_that_of_its_token(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(LINE)
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as served:
        own = {"Authorization": f"Bearer {TOKEN}"}
        for query, repository in (({}, "team/a/team/app"), ({"prefix": "team/a/x"}, "team/a/x/team/app")):
            answer = await served.client.put("/push/", content=APP, headers=own, params={"wait": 30, **query})
            (destination,) = answer.json()["images"][0]["destinations"]
            assert destination.partition("/")[2] == f"{repository}:1"
        tagged = await served.client.put("/push/", content=APP, headers=own, params={"wait": 30, "tag": "team/a/own:1"})
        assert tagged.json()["images"][0]["destinations"][0].endswith("/team/a/own:1")


def test_a_line_with_a_default_prefix_is_written_as_it_was_read() -> None:
    assert str(TokenHolder.parse(LINE)) == LINE
    assert TokenHolder.parse(f"ci:{DIGEST}::::mirror").default_prefix == "mirror"
