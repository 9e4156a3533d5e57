"""The tokens file: read, changed while it is in use, edited by the command."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from pathlib import Path

import pytest

from app.__main__ import main
from app.auth import token_file as tokens
from app.auth.model import Quota, Role, Submitter
from app.auth.token_file import TokenFile, TokenHolder, TokenSet, parse_prefix, parse_quota
from app.bootstrap.access import access_of
from app.config.settings import load_settings
from app.errors import InvalidSettings

DIGEST = hashlib.sha256(b"secret").digest()


@pytest.mark.parametrize(
    "holder",
    [
        TokenHolder("ci", DIGEST),
        TokenHolder("ci", DIGEST, frozenset({Role.READ, Role.PUSH}), ("team/a", "b"), Quota(3, 1024)),
        TokenHolder("ci", DIGEST, frozenset({Role.ADMIN}), (), Quota(upload_bytes=1)),
    ],
)
def test_a_holder_is_read_as_it_was_written(holder: TokenHolder) -> None:
    assert TokenHolder.parse(str(holder)) == holder


@pytest.mark.parametrize("rest", [":push:,", ":push:a,", ":push:,a", ":push: ", ":push::,", ":push::jobs=1,", ":push,"])
def test_a_list_with_an_empty_part_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"must be|role|repository prefix|quota"):
        TokenHolder.parse(f"ci:{DIGEST.hex()}{rest}")


@pytest.mark.parametrize("rest", [":push:", ":push::", ":push:A/b", ":push:a//b", ":push::jobs=0", ":push::bytes=x"])
def test_a_line_means_what_it_says_or_nothing(rest: str) -> None:
    text = f"ci:{DIGEST.hex()}{rest}"
    if rest.strip(":") == "push":
        assert TokenHolder.parse(text) == TokenHolder("ci", DIGEST)
    else:
        with pytest.raises(ValueError, match=r"repository prefix|quota|must be"):
            TokenHolder.parse(text)


@pytest.mark.parametrize(("count", "is_right"), [(100, True), (101, False)])
def test_a_token_has_at_most_a_hundred_repositories(count: int, is_right: bool, tmp_path: Path) -> None:
    prefixes = ",".join(f"team/{number}" for number in range(count))
    (tmp_path / "tokens").write_text(f"ci:{DIGEST.hex()}:push:{prefixes}\n")
    settings = load_settings(environ={"TARMAC_TOKENS_FILE": str(tmp_path / "tokens"), "TARMAC_DATA_DIR": str(tmp_path)})
    if is_right:
        access_of(settings)
    else:
        with pytest.raises(InvalidSettings, match="line 1"):
            access_of(settings)


def test_a_prefix_is_whole_components() -> None:
    submitter = Submitter("ci", "", (parse_prefix("team/*"),))
    assert [submitter.may_use(item) for item in ("team", "team/x/y", "teams", "other/team")] == [
        True,
        True,
        False,
        False,
    ]
    assert parse_quota("jobs=2,bytes=1KiB") == Quota(2, 1024)


def test_every_token_is_compared_and_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(known)
        return hmac.compare_digest(known, given)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(tokens, "hmac", Watched)
    known = TokenSet(tuple(TokenHolder(f"n{number}", hashlib.sha256(b"%d" % number).digest()) for number in range(5)))
    for asked in (b"0", b"4", b"none"):
        compared.clear()
        known.find(asked)
        assert compared == [holder.digest for holder in known.holders]


async def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file, now = tmp_path / "tokens", [0.0]
    file.write_text(f"{TokenHolder('ci', DIGEST)}\n")
    known = TokenFile(file, lambda: now[0])
    other = hashlib.sha256(b"other").digest()
    file.write_text(f"{TokenHolder('web', other)}\n#\n")
    assert await known.authenticate(b"secret") is not None  # not looked at yet
    now[0] += tokens.CHECK_SECONDS
    assert await known.authenticate(b"secret") is None
    assert await known.authenticate(b"other") == TokenHolder("web", other)
    for text in ("", "no line of ours\n"):
        file.write_text(text)
        now[0] += tokens.CHECK_SECONDS
        assert await known.authenticate(b"other") is not None
    file.unlink()
    now[0] += tokens.CHECK_SECONDS
    assert await known.authenticate(b"other") is not None


def run(*arguments: str) -> int:
    return main(["token", *arguments])


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tokens"
    place = ("--tokens-file", str(file))
    bounds = ("--repository", "team/a/", "--max-jobs", "2", "--max-upload-bytes", "1KiB")
    assert run("create", "ci", *place, *bounds) == 0
    token = capsys.readouterr().out.strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    found = TokenSet.parse(file.read_text()).find(token.encode())
    assert found is not None
    assert (found.name, found.repositories, found.quota) == ("ci", ("team/a",), Quota(2, 1024))
    file.write_text("# kept\n" + file.read_text())
    file.chmod(0o640)
    assert run("create", "web", "--role", "read", *place) == 0
    assert run("list", *place, "--json") == 0
    listed = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [(item["name"], item["roles"]) for item in listed] == [("ci", ["push"]), ("web", ["read"])]
    assert run("revoke", "ci", *place) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    text = file.read_text()
    assert text.startswith("# kept\nweb:")
    assert os.listdir(tmp_path) == ["tokens"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "a b"),
        ("create", "there"),
        ("create", "new", "--role", "root"),
        ("create", "new", "--repository", "A"),
        ("create", "new", *(f"--repository=team/{number}" for number in range(101))),
        ("create", "new", "--max-jobs", "0"),
        ("revoke", "nobody"),
    ],
)
def test_what_cannot_be_done_changes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"{TokenHolder('there', DIGEST)}\n")
    assert run(*arguments, "--tokens-file", str(file)) == 2
    assert file.read_text() == f"{TokenHolder('there', DIGEST)}\n"


def test_without_a_file_the_command_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TARMAC_TOKENS_FILE", raising=False)
    assert run("list") == 2
    assert "--tokens-file" in capsys.readouterr().err
