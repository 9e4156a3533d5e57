"""The manifests for Kubernetes: what kustomize makes of them, and the image run as the kubelet would run its pod."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.container.conftest import REGISTRY
from tests.container.engine import Engine
from tests.container.landing import assert_landed, pushed
from tests.container.services import ADDRESSES, ROOT, kept, laid_out, pod_flags
from tests.container.stand_ins import TOOLS
from tests.support.certificates import make_certificates
from tests.support.docker_registry import HTPASSWD, PASSWORD, USER
from tests.support.peers import peer

KUBERNETES = ROOT / "deploy/kubernetes"
KINDS = {
    "one": {"Namespace", "ServiceAccount", "ConfigMap", "Service", "StatefulSet", "NetworkPolicy"},
    "replicas": {"PersistentVolumeClaim", "PodDisruptionBudget"},
}
KINDS["replicas"] |= KINDS["one"]

Manifest = dict[str, Any]


def rendered(engine: Engine, name: str) -> list[Manifest]:
    """What `kubectl apply -k deploy/kubernetes/NAME` would send."""
    printed = engine.run(
        TOOLS, f"--volume={KUBERNETES}:/kubernetes:ro", command=("kubectl", "kustomize", f"/kubernetes/{name}")
    )
    return list(yaml.safe_load_all(printed))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


@pytest.mark.parametrize("name", KINDS)
def test_kubernetes_takes_what_kustomize_makes(engine: Engine, tools: None, name: str) -> None:
    manifests = rendered(engine, name)
    assert {manifest["kind"] for manifest in manifests} == KINDS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for manifest in manifests:
            kubernetes_validate.validate(manifest, "1.31", strict=True)


@pytest.mark.parametrize("name", KINDS)
def test_every_selector_finds_the_pods_and_none_has_more_than_it_says(engine: Engine, tools: None, name: str) -> None:
    manifests = rendered(engine, name)
    (workload,) = of_kind(manifests, "StatefulSet")
    labels = workload["spec"]["template"]["metadata"]["labels"]
    (service,) = of_kind(manifests, "Service")
    policies = [item["spec"] for item in of_kind(manifests, "NetworkPolicy")]
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert all(policy["podSelector"]["matchLabels"].items() <= labels.items() for policy in policies)
    names = [
        rule for policy in policies for rule in policy["egress"] if {"protocol": "UDP", "port": 53} in rule["ports"]
    ]
    assert [item["to"][0]["podSelector"]["matchLabels"] for item in names] == [{"k8s-app": "kube-dns"}]


def ports_let_out(manifests: list[Manifest]) -> set[int]:
    policies = of_kind(manifests, "NetworkPolicy")
    return {port["port"] for policy in policies for rule in policy["spec"]["egress"] for port in rule["ports"]}


def test_the_registry_and_the_database_are_let_out_to(engine: Engine, tools: None) -> None:
    assert ports_let_out(rendered(engine, "one")) == {53, 443, 5000}
    assert ports_let_out(rendered(engine, "replicas")) == {53, 443, 5000, 5432}


@pytest.fixture
def registry(engine: Engine, tools: None, tmp_path: Path) -> Path:
    """As settings.yaml has it: at registry.local:5000, with TLS, for who knows the password. Its authority."""
    served = tmp_path / "registry"
    served.mkdir()
    made = make_certificates(served, "subjectAltName=DNS:registry.local\n")
    (served / "htpasswd").write_text(HTPASSWD)
    for folder in (tmp_path, served):
        folder.chmod(0o755)
    made.key.chmod(0o644)
    engine.start(
        "registry",
        REGISTRY,
        f"--volume={served}:/served:ro",
        "--env=REGISTRY_HTTP_TLS_CERTIFICATE=/served/certificate.pem",
        "--env=REGISTRY_HTTP_TLS_KEY=/served/key.pem",
        "--env=REGISTRY_AUTH_HTPASSWD_REALM=tests",
        "--env=REGISTRY_AUTH_HTPASSWD_PATH=/served/htpasswd",
    )
    return made.ca


@pytest.fixture
def token_and_volumes(engine: Engine, image: str, registry: Path, tmp_path: Path) -> tuple[str, dict[str, Path]]:
    """A token made as deploy/README.md says, and the pod's volumes as the kubelet mounts them."""
    manifests = rendered(engine, "one")
    pod = pod_of(manifests)
    group = pod["securityContext"]["fsGroup"]
    made = kept(tmp_path / "made", group)
    token = engine.run(
        image, f"--volume={made}:/made", command=("token", "create", "ci", "--tokens-file", "/made/tokens")
    )
    files = {
        "tokens": (made / "tokens").read_text(encoding="utf-8"),
        "registry-password": PASSWORD,
        "ca.pem": registry.read_text(encoding="utf-8"),
    }
    (mode,) = (item["secret"]["defaultMode"] for item in pod["volumes"] if "secret" in item)
    settings: dict[str, str] = of_kind(manifests, "ConfigMap")[0]["data"]
    return token, {
        "data": kept(tmp_path / "data", group),
        "settings": laid_out(tmp_path / "settings", 0, 0o644, settings),
        "secrets": laid_out(tmp_path / "secrets", group, mode, files),
    }


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    pod: dict[str, Any] = of_kind(manifests, "StatefulSet")[0]["spec"]["template"]["spec"]
    return pod


def test_the_pod_runs_as_its_manifest_says(
    engine: Engine, image: str, token_and_volumes: tuple[str, dict[str, Path]], tmp_path: Path
) -> None:
    token, volumes = token_and_volumes
    pod = pod_of(rendered(engine, "one"))
    (container,) = pod["containers"]
    engine.start("tarmac", image, *pod_flags(pod, volumes), command=tuple(container["args"]))
    engine.await_health("tarmac")
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[name]["httpGet"]["path"]
        engine.inside(peer("curl"), "--fail", "-sS", f"http://127.0.0.1:{container['ports'][0]['containerPort']}{path}")
    pushed(engine, "-H", f"Authorization: Bearer {token}")
    back = f"{ADDRESSES['registry.local']}:5000"  # this machine does not know the name, and so not the certificate
    assert_landed(engine, tmp_path / "back", back, f"--src-creds={USER}:{PASSWORD}", "--src-tls-verify=false")
    engine.podman("stop", "tarmac")
    assert engine.inspect("container", "tarmac")["State"]["ExitCode"] == 0, engine.log("tarmac")
