"""The image alone, run as docker-compose.yml has it: hardened, on a volume of its own."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.container.conftest import REGISTRY
from tests.container.engine import Engine, wait_until
from tests.container.landing import SERVICE, asked, assert_landed, pushed
from tests.container.services import ADDRESSES, ROOT, compose_flags
from tests.support.certificates import make_certificates
from tests.support.peers import peer

USER = "65532"
SIGTERM_BIT = 1 << (signal.SIGTERM - 1)
STOP_SECONDS = 30  # far less than the engine's patience
REGISTRY_PLACE = f"{ADDRESSES['registry']}:5000"
# What the engine itself lays into every container.
ENGINE_OWN = {
    "/etc",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mtab",
    "/etc/passwd",
    "/etc/group",
    "/run",
    "/run/.containerenv",
}


@pytest.fixture
def registry(engine: Engine, tools: None) -> str:
    engine.start("registry", REGISTRY, *compose_flags("registry"))
    engine.await_health("registry")
    return REGISTRY_PLACE


def started(engine: Engine, image: str, *more: str) -> float:
    engine.start("tarmac", image, *compose_flags("tarmac"), *more)
    return engine.await_health("tarmac")


def status(engine: Engine) -> dict[str, str]:
    """What the kernel says of the container's first process."""
    pid = engine.inspect("container", "tarmac")["State"]["Pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_an_archive_lands_and_comes_back(
    engine: Engine, image: str, registry: str, tmp_path: Path, measured: dict[str, str]
) -> None:
    measured["start until healthy"] = f"{started(engine, image):.1f} s"
    pushed(engine)
    assert_landed(engine, tmp_path / "back", registry, "--src-tls-verify=false")


def test_the_image_itself_is_carried_over_and_lands(
    engine: Engine, image: str, registry: str, tmp_path: Path, measured: dict[str, str]
) -> None:
    archive = tmp_path / "tarmac.tar"
    engine.podman("save", "--output", archive, image)
    started(engine, image)
    pushed(engine, "-F", "tag=tarmac:0.1.0", archive=archive)
    shown = [peer("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/tarmac:0.1.0"]
    manifest = json.loads(engine.inside(*shown))
    assert manifest["config"]["digest"].endswith(engine.inspect("image", image)["Id"])
    compressed = sum(item["size"] for item in manifest["layers"]) / 1e6
    measured["size at a registry"] = f"{compressed:.0f} MB with its base"


def test_who_has_no_token_that_was_made_in_the_container_is_not_let_in(
    engine: Engine, image: str, registry: str
) -> None:
    made = ("token", "create", "ci", "--tokens-file", "/data/tokens")
    token = engine.run(image, *compose_flags("tarmac"), command=made)
    started(engine, image, "--env=TARMAC_ALLOW_ANONYMOUS=false", "--env=TARMAC_TOKENS_FILE=/data/tokens")
    status = engine.inside(peer("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{SERVICE}/jobs")
    assert status == "401"
    pushed(engine, "-H", f"Authorization: Bearer {token}")


def test_a_stop_during_the_start_is_not_passed_over(engine: Engine, image: str) -> None:
    engine.start("tarmac", image, *compose_flags("tarmac"))
    wait_until(lambda: bool(int(status(engine)["SigCgt"], 16) & SIGTERM_BIT), lambda: engine.log("tarmac"))
    since = time.monotonic()
    engine.podman("stop", "tarmac")
    assert time.monotonic() - since < STOP_SECONDS
    assert engine.inspect("container", "tarmac")["State"]["ExitCode"] == 0


def test_the_process_has_no_right_that_it_need_not_have(engine: Engine, image: str) -> None:
    started(engine, image)
    found = status(engine)
    assert found["Uid"].split() == [USER] * 4
    assert found["Gid"].split() == [USER] * 4
    assert {int(found[item], 16) for item in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"  # a filter


def test_it_stops_in_time_and_knows_its_jobs_afterwards(
    engine: Engine, image: str, registry: str, tmp_path: Path, measured: dict[str, str]
) -> None:
    started(engine, image)
    job = pushed(engine)
    since = time.monotonic()
    engine.podman("stop", "tarmac")
    measured["stop"] = f"{time.monotonic() - since:.1f} s"
    assert engine.inspect("container", "tarmac")["State"]["ExitCode"] == 0, engine.log("tarmac")
    assert "Finished server process" in engine.log("tarmac")
    engine.podman("rm", "tarmac")
    started(engine, image)
    assert asked(engine, f"{SERVICE}/jobs/{job['id']}") == job
    assert [item["id"] for item in asked(engine, f"{SERVICE}/jobs")["jobs"]] == [job["id"]]


def test_it_writes_nowhere_but_to_its_volume_even_where_it_could(engine: Engine, image: str, registry: str) -> None:
    flags = [flag for flag in compose_flags("tarmac") if not flag.startswith(("--read-only", "--tmpfs"))]
    engine.start("tarmac", image, *flags)
    engine.await_health("tarmac")
    pushed(engine)
    engine.podman("stop", "tarmac")
    changed = {line.split(maxsplit=1)[1] for line in engine.podman("container", "diff", "tarmac").splitlines()}
    assert changed <= ENGINE_OWN


def test_it_does_not_start_where_nobody_said_who_may_push(engine: Engine, image: str) -> None:
    done = engine.tried("run", "--rm", "--network=none", "--health-interval=disable", image)
    assert done.returncode != 0
    assert "TARMAC_TOKENS_FILE" in done.stdout + done.stderr


@pytest.mark.parametrize("more", [(), ("--env=TARMAC_TLS_CLIENT_CA=/tls/ca.pem",)], ids=["tls", "certificate-asked"])
def test_the_health_check_passes_behind_a_proxy_and_with_tls(
    engine: Engine, image: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    made = make_certificates(tmp_path)
    made.key.chmod(0o644)
    tmp_path.chmod(0o755)
    started(
        engine,
        image,
        f"--volume={tmp_path}:/tls:ro",
        *(
            f"--env=TARMAC_TLS_{name}=/tls/{file}"
            for name, file in (("CERT", made.certificate.name), ("KEY", "key.pem"))
        ),
        *more,
        "--env=http_proxy=http://127.0.0.9:9",
        "--env=https_proxy=http://127.0.0.9:9",
    )


def test_the_health_check_fails_where_nothing_answers(engine: Engine, image: str) -> None:
    engine.start("tarmac", image, *compose_flags("tarmac"), "--entrypoint=/bin/cat", "--interactive")
    assert engine.tried("healthcheck", "run", "tarmac").returncode == 1


def test_every_extra_is_there_and_speaks(engine: Engine, image: str) -> None:
    tried = (
        "import asyncpg, cryptography, jwt, obstore, opentelemetry.sdk, pgqueuer, botocore.session as b\n"
        "[b.Session().create_client(each, region_name='eu-central-1') for each in ('ecr', 'sts', 'sso', 'sso-oidc')]"
    )
    assert engine.run(image, "--read-only", "--entrypoint=/opt/tarmac/bin/python", command=("-c", tried)) == ""


def test_the_api_is_the_one_that_is_described(engine: Engine, image: str) -> None:
    described = json.loads((ROOT / "openapi/openapi.json").read_text(encoding="utf-8"))
    assert json.loads(engine.run(image, command=("openapi",))) == described


def test_the_image_holds_what_it_runs_and_no_trace_of_its_making(engine: Engine, image: str) -> None:
    config = engine.inspect("image", image)
    assert config["Config"]["User"] == f"{USER}:{USER}"
    assert "127.0.0.1" not in json.dumps(config)  # where the index was
    found = engine.run(image, "--user=0", "--entrypoint=/bin/find", command=("/opt/tarmac", "/tmp", "/root", "/data"))
    assert not [line for line in found.splitlines() if re.search(r"/(pip|requirements\.lock|\.cache)(/|$)", line)]
    own = {line for line in found.splitlines() if re.fullmatch(r"/opt/tarmac/src(/[^/]+)?", line)}
    assert own == {"/opt/tarmac/src", "/opt/tarmac/src/app"}
    assert {line for line in found.splitlines() if line.startswith("/data")} == {"/data"}
