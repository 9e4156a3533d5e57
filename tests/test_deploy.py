"""What lies in deploy/ is what its readers take: the container builder, compose, Kubernetes, systemd, Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import load_settings
from app.telemetry.metrics import Metrics
from tests.support.peers import peer

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = sorted(
    path for path in KUBERNETES.rglob("*.yaml") if path.name not in {"kustomization.yaml", "servicemonitor.yaml"}
)
VARIANTS = [KUBERNETES / "one", KUBERNETES / "replicas"]
BIN = Path(sys.executable).parent


def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(item) for item in command], capture_output=True, text=True, check=False, timeout=50)


def document(file: Path) -> dict[str, Any]:
    members: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return members


@cache
def metric_names() -> frozenset[str]:
    text = Metrics().render({}).decode()
    families = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    return frozenset(families | {f"{family}{suffix}" for family in families for suffix in ("_bucket", "_total")})


def test_compose_takes_its_file() -> None:
    done = ran(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout


def test_compose_starts_one_service_and_with_the_profile_two_more() -> None:
    services = document(ROOT / "docker-compose.yml")["services"]
    assert {name for name, each in services.items() if "profiles" not in each} == {"tarmac", "registry"}
    assert {name for name, each in services.items() if each.get("profiles") == ["ha"]} == {
        "tarmac-a",
        "tarmac-b",
        "database",
    }


@pytest.mark.parametrize("name", ["tarmac", "tarmac-a", "tarmac-b"])
def test_the_settings_in_compose_are_known(name: str) -> None:
    load_settings(
        environ=document(ROOT / "docker-compose.yml")["services"][name]["environment"] | {"TARMAC_HOST": "0.0.0.0"}
    )


def test_the_containerfile_has_no_fault_that_hadolint_knows() -> None:
    done = ran(BIN / "hadolint", DEPLOY / "Containerfile")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: str(file.relative_to(KUBERNETES)))
def test_kubernetes_takes_the_manifest(file: Path) -> None:
    import kubernetes_validate  # type: ignore[import-untyped]

    # a patch of kustomize has no selector and no image: those are in what it is laid over
    members = document(file)
    if file.parent.name == "replicas" and members["kind"] == "StatefulSet":
        members = laid_over(document(KUBERNETES / "one/statefulset.yaml"), members)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kubernetes_validate.validate(members, "1.31", strict=True)


def laid_over(below: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """As kustomize does it, as far as is needed here: lists of named members are merged by name, null removes."""
    merged = dict(below)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = laid_over(below.get(key, {}), value)
        elif isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
            present = {item["name"]: item for item in below.get(key, [])}
            merged[key] = list(
                (present | {item["name"]: laid_over(present.get(item["name"], {}), item) for item in value}).values()
            )
        else:
            merged[key] = value
    return merged


@pytest.mark.parametrize("directory", VARIANTS, ids=lambda directory: directory.name)
def test_a_kustomization_names_every_file_beside_it(directory: Path) -> None:
    text = (directory / "kustomization.yaml").read_text(encoding="utf-8")
    missing = [
        path.name for path in directory.glob("*.yaml") if path.name not in text and path.name != "kustomization.yaml"
    ]
    assert not missing


@pytest.mark.parametrize("directory", VARIANTS, ids=lambda directory: directory.name)
def test_a_kustomization_is_none_that_kustomize_refuses_or_bends(directory: Path) -> None:
    """It refuses what includes a directory above itself, and with includeSelectors writes the label into the selector
    of the cluster's name server too: then no pod matches, and no name is found."""
    members = document(directory / "kustomization.yaml")
    below = [(directory / member).resolve() for member in members["resources"]]
    assert not [item for item in below if directory.is_relative_to(item)]
    assert not [item for item in members.get("labels", []) if item.get("includeSelectors")]


def test_the_pod_may_do_nothing_it_need_not() -> None:
    pod = document(KUBERNETES / "one/statefulset.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_settings_in_kubernetes_are_known(tmp_path: Path) -> None:
    text = document(KUBERNETES / "one/settings.yaml")["data"]["tarmac.toml"]
    for name in ("tokens", "registry-password", "ca.pem"):
        (tmp_path / name).write_text("")
    (tmp_path / "tarmac.toml").write_text(text.replace("/secrets", str(tmp_path)))
    assert (
        load_settings(tmp_path / "tarmac.toml", environ={}).registries["default"].url == "https://registry.local:5000"
    )


def test_the_example_of_settings_is_taken_as_it_is_and_with_all_that_it_offers(tmp_path: Path) -> None:
    text = (DEPLOY / "tarmac.toml").read_text(encoding="utf-8")
    load_settings(DEPLOY / "tarmac.toml", environ={})
    places = dict.fromkeys(re.findall(r'"(/(?:etc|srv|run)[^"]*)"', text))
    for number, place in enumerate(places):
        here = tmp_path / str(number)
        here.mkdir() if place.startswith("/srv") else here.write_text("")
        text = text.replace(f'"{place}"', f'"{here}"')
    (tmp_path / "all.toml").write_text(re.sub(r"(?m)^#(?=\w+ = )", "", text))
    assert (
        load_settings(tmp_path / "all.toml", environ={"TARMAC_DATA_DIR": str(tmp_path / "data")}).watch_dir is not None
    )


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    command = tmp_path / "tarmac"
    shutil.copy(shutil.which("true") or "/bin/true", command)
    text = (DEPLOY / "systemd/tarmac.service").read_text(encoding="utf-8")
    (tmp_path / "tarmac.service").write_text(text.replace("/opt/tarmac/bin/tarmac", str(command)))
    done = ran(peer("systemd-analyze"), "verify", "--man=no", tmp_path / "tarmac.service")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_among_those_that_systemd_calls_safe() -> None:
    done = ran(
        peer("systemd-analyze"), "security", "--offline=true", "--threshold=20", DEPLOY / "systemd/tarmac.service"
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_unit_and_compose_write_no_core_which_would_hold_secrets() -> None:
    unit = (DEPLOY / "systemd/tarmac.service").read_text(encoding="utf-8").splitlines()
    assert {"LimitCORE=0", "PrivateUsers=yes", "PrivateIPC=yes"} <= set(unit)
    services = document(ROOT / "docker-compose.yml")["services"]
    assert [services[name]["ulimits"] for name in ("tarmac", "tarmac-a", "tarmac-b")] == [{"core": 0}] * 3


def test_the_network_policy_lets_pods_in_and_leaves_out_what_tells_credentials() -> None:
    spec = document(KUBERNETES / "one/networkpolicy.yaml")["spec"]
    assert all(rule["from"] for rule in spec["ingress"])
    blocks = [peer["ipBlock"] for rule in spec["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert set(blocks[0]["except"]) == {"169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"}
    assert set(blocks[1]["except"]) == {"fe80::/10", "fd00:ec2::/64"}


def test_the_deployment_says_how_every_image_is_pinned_by_its_digest() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    images = {item["image"] for item in document(ROOT / "docker-compose.yml")["services"].values() if "image" in item}
    base = re.search(r"^ARG BASE=(\S+)$", (DEPLOY / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert base is not None
    for image in images | {base[1]}:
        assert f"{image}@sha256:" in text


def test_prometheus_takes_the_rules() -> None:
    done = ran(peer("promtool"), "check", "rules", DEPLOY / "monitoring/alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json"])
def test_rules_and_dashboard_ask_for_metrics_that_there_are(file: str) -> None:
    asked = set(re.findall(r"\btarmac_\w+", (DEPLOY / "monitoring" / file).read_text(encoding="utf-8")))
    assert asked
    assert asked <= metric_names()


def test_the_dashboard_is_json_with_a_query_in_each_panel() -> None:
    dashboard = json.loads((DEPLOY / "monitoring/dashboard.json").read_text(encoding="utf-8"))
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def test_the_installer_is_a_script_that_sh_takes() -> None:
    assert ran("sh", "-n", DEPLOY / "install.sh").returncode == 0
