"""The Unix socket that the service listens at."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from app.config.settings import Settings, load_settings
from app.errors import InvalidSettings
from app.main import create_app
from app.server.socket import listening
from tests.e2e.service import service
from tests.support.archives import docker_save, image, tagged

APP = docker_save([tagged(image({"bin/app": b"one"}), "team/app:1")])


def at(path: Path) -> Settings:
    return Settings(data_dir=path.parent, socket=path)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_owner_and_group_may_open_it_and_it_goes_with_the_service(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "s"
    before = os.umask(umask)
    try:
        with listening(at(path)) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert os.umask(umask) == umask
            assert listener.address == f"unix:{path}"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
    finally:
        os.umask(before)
    assert not path.exists()


def test_what_a_service_that_died_left_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(at(path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_in_use_a_file_and_a_place_that_is_not_there_stop_the_start(tmp_path: Path) -> None:
    with listening(at(tmp_path / "used")):
        with pytest.raises(InvalidSettings, match="TARMAC_SOCKET"), listening(at(tmp_path / "used")):
            pass
        assert (tmp_path / "used").exists()
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link", "nowhere/s", "x" * 200):
        with pytest.raises(InvalidSettings, match="TARMAC_SOCKET"), listening(at(tmp_path / name)):
            pass
    assert (tmp_path / "file").read_text() == "precious"


def test_it_needs_no_tokens_and_is_set_by_its_name(tmp_path: Path) -> None:
    settings = load_settings(environ={"TARMAC_SOCKET": str(tmp_path / "s"), "TARMAC_HOST": "0.0.0.0"})
    assert settings.is_loopback
    create_app(settings.model_copy(update={"data_dir": tmp_path}))


def test_the_service_is_used_by_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    archive = tmp_path / "x.tar"
    archive.write_bytes(APP)
    with service(tmp_path / "data", TARMAC_SOCKET=str(path)) as running:
        status, job = running.curl("-T", archive, "/push/?wait=30")
        assert (status, job["state"]) == (200, "succeeded")
        status, page = running.curl("/audit")
        assert (status, [entry["address"] for entry in page["entries"]]) == (200, [None])
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", int(running.address.partition(":")[2]))) != 0
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
    assert not path.exists()
