"""The composition root: which destinations there are, and what a start refuses."""

from __future__ import annotations

import fcntl
import json
import logging
import socket
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from app import main
from app.bootstrap.registries import configured_registries
from app.config.settings import Settings
from app.errors import InvalidSettings, Unavailable
from app.main import create_app, serve
from app.server.socket import listening
from app.telemetry.logging import configure_logging
from tests.support.docker_registry import free_port


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1:8080"), ("0.0.0.0", "127.0.0.1:8080"), ("::1", "[::1]:8080")]
)
async def test_with_no_registry_images_land_in_the_data_directory(tmp_path: Path, host: str, shown: str) -> None:
    settings = Settings(data_dir=tmp_path, host=host, allow_anonymous=True)
    async with configured_registries(settings) as found:
        (only,) = found.values()
        await only.check()
    assert only.configured.name == "default"
    assert only.configured.destination.host == shown
    assert (tmp_path / "images" / "oci-layout").is_file()


async def test_configured_registries_take_the_place_of_the_embedded_one(tmp_path: Path) -> None:
    registries = {"default": {"url": "https://r.example:5000/a/b"}, "two": {"url": "r2.example", "username": "u"}}
    registries["two"]["password"] = "p"
    async with configured_registries(Settings(data_dir=tmp_path, registries=registries)) as found:
        destination = found["default"].configured.destination
        assert (destination.host, destination.path) == ("r.example:5000", "a/b")
        assert found["two"].configured.url == "r2.example"
    assert not (tmp_path / "images").exists()


def test_no_part_of_an_answer_waits_for_the_client_to_confirm_the_part_before(tmp_path: Path) -> None:
    """40 ms an answer, on a connection that is used again: its head is sent before its body."""
    settings = Settings(data_dir=tmp_path, port=free_port())
    with (
        listening(settings) as listener,
        socket.create_connection(listener.socket.getsockname()),
        listener.socket.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_told_by_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(data_dir=tmp_path, port=taken.getsockname()[1])
        with pytest.raises(InvalidSettings) as refused:
            serve(settings)
    assert str(refused.value).startswith("TARMAC_HOST and TARMAC_PORT: ")
    assert f"127.0.0.1:{settings.port}: Address already in use; " in str(refused.value)


def test_an_address_that_is_not_here_is_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, host="192.0.2.1", port=0, allow_anonymous=True)
    with pytest.raises(InvalidSettings, match=r"Cannot assign requested address$"):
        serve(settings)


def test_a_data_directory_has_one_service_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InvalidSettings, match=r"TARMAC_DATA_DIR .* another Tarmac"):
            serve(Settings(data_dir=tmp_path, port=free_port()))


@pytest.mark.parametrize(("mode", "is_open"), [(0o777, True), (0o1777, True), (0o770, True), (0o755, False)])
def test_a_data_directory_that_others_may_write_to_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, is_open: bool
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    with (data / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InvalidSettings):  # the start ends after that look
            serve(Settings(data_dir=data, port=free_port()))
    told = capsys.readouterr()
    assert (f"chmod 700 {data}" in told.out + told.err) == is_open


def test_a_data_directory_that_cannot_be_is_told_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidSettings, match="TARMAC_DATA_DIR"):
        serve(Settings(data_dir=tmp_path / "file", port=free_port()))


async def test_the_data_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path / "new"))
    async with app.router.lifespan_context(app):
        assert (tmp_path / "new" / "jobs.sqlite").stat().st_mode & 0o077 == 0
        assert (tmp_path / "new" / "spool").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url", ["no url", "nosuch://x", "postgresql+nodriver://u:geheim@h/x", "postgresql://u:geheim@h/x"]
)
def test_a_database_that_cannot_be_is_told_by_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    with pytest.raises(InvalidSettings, match=r"^TARMAC_DATABASE_URL \(database_url\): ") as refused:
        serve(Settings(data_dir=tmp_path, port=0, database_url=SecretStr(url)))
    written = capsys.readouterr().err + str(refused.value)
    assert "Traceback" not in written
    assert '"service.started"' not in written
    assert "geheim" not in written


def test_a_job_store_that_does_not_answer_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(Unavailable, match="not a database"):
        serve(Settings(data_dir=tmp_path, port=0))
    assert "Traceback" not in capsys.readouterr().err


def test_a_start_that_fails_for_an_unknown_reason_is_told_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(main, "DiskSpool", break_down)
    with pytest.raises(Unavailable, match="log"):
        serve(Settings(data_dir=tmp_path, port=0))
    assert "it broke" in capsys.readouterr().err


def test_logs_are_json_lines_with_control_characters_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(text=False)
    structlog.get_logger("app.x").info("told", name="a\nb\x1b[31m")
    logging.getLogger("uvicorn.error").warning("%s began", "it")
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["name"] == "a\nb\x1b[31m"
    assert (json.loads(second)["event"], json.loads(second)["message"]) == ("library.message", "it began")
    assert "\x1b" not in first


def test_logs_for_a_person_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(text=True)
    structlog.get_logger("app.x").info("told", name="value")
    assert "told" in capsys.readouterr().err


@pytest.mark.parametrize("text", [True, False])
def test_logs_tell_where_an_error_was_and_no_value_that_was_there(
    capsys: pytest.CaptureFixture[str], text: bool
) -> None:
    def break_with(password: str) -> None:
        raise RuntimeError("it broke")

    configure_logging(text=text)
    try:
        break_with("".join(("gehe", "im")))
    except RuntimeError:
        structlog.get_logger("x").exception("told")
        logging.getLogger("uvicorn.error").exception("told")
    written = capsys.readouterr().err
    assert written.count("break_with") >= 2
    assert "it broke" in written
    assert "geheim" not in written
