"""The service in front of a real registry, configured as the README says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.service import service
from tests.support.docker_registry import PASSWORD, USER, DockerRegistry, Options

ONE = Path(__file__).parents[1] / "data" / "corpus" / "d20-save-one.tar"


def test_the_environment_alone_configures_a_registry_with_a_password_and_a_path(tmp_path: Path, skopeo: str) -> None:
    with DockerRegistry(tmp_path / "registry", Options(basic=True)) as registry:
        environ = {
            "TARMAC_REGISTRY_URL": f"{registry.address}/mirror",
            "TARMAC_REGISTRY_USERNAME": USER,
            "TARMAC_REGISTRY_PASSWORD": PASSWORD,
        }
        with service(tmp_path / "data", **environ) as running:
            status, known = running.curl("/registries")
            assert (status, known["registries"][0]["reachable"]) == (200, True)
            status, job = running.curl("-F", f"archive=@{ONE}", "/push?wait=30&prefix=team")
            assert status == 200, job
            (destination,) = job["images"][0]["destinations"]
            assert destination == f"{registry.address}/mirror/team/tiny/app:1.0"
            assert running.curl("-F", f"archive=@{ONE}", "/push?wait=30&registry=other")[0] == 422
        login = f"{USER}:{PASSWORD}"
        options = ["--tls-verify=false", "--creds", login]
        done = subprocess.run([skopeo, "inspect", *options, f"docker://{destination}"], capture_output=True, check=True)
        assert json.loads(done.stdout)["Digest"] == job["images"][0]["digest"]


def test_a_wrong_password_is_told_as_the_registrys_answer_and_never_shown(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry", Options(basic=True)) as registry:
        environ = {
            "TARMAC_REGISTRY_URL": registry.url,
            "TARMAC_REGISTRY_USERNAME": USER,
            "TARMAC_REGISTRY_PASSWORD": "wrong-and-secret",
        }
        with service(tmp_path / "data", **environ) as running:
            _, known = running.curl("/registries")
            assert known["registries"][0]["problem"]["code"] == "registry_auth"
            status, document = running.curl("-F", f"archive=@{ONE}", "/push?wait=30")
            assert (status, document["code"]) == (502, "registry_auth")
            assert "wrong-and-secret" not in json.dumps([known, document])
        for file in (tmp_path / "data").rglob("*"):
            assert file.is_dir() or b"wrong-and-secret" not in file.read_bytes()
