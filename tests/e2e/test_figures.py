"""`bytes_sent`, `blobs_reused` and the metrics, held against what a real registry read, for every way in."""

from __future__ import annotations

import json
import random
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.e2e.service import Service, service
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout
from tests.support.counting_proxy import CountingProxy, Counts
from tests.support.docker_registry import DockerRegistry

LAYERS = 4
LAYER_BYTES = 700_000
PACE = "2M"  # bytes a second: more than a second for an archive, so that much of it is sent before its end
MOST_LOOKS = 1_000


@dataclass(frozen=True, slots=True)
class Ground:
    running: Service
    proxy: CountingProxy
    folder: Path  # that is watched
    paths: Path

    def metric(self) -> int:
        with urlopen(f"{self.running.url}/metrics") as answer:
            found = re.search(r"^tarmac_sent_bytes_total (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    def pause(self) -> None:
        try:
            self.running.process.wait(0.02)
        except subprocess.TimeoutExpired:
            return
        pytest.fail("the service ended")


def opened(folder: Path, **settings: str) -> Iterator[Ground]:
    watched, paths = folder / "watched", folder / "paths"
    watched.mkdir()
    paths.mkdir()
    with DockerRegistry(folder / "registry") as registry, CountingProxy(registry.port) as proxy:
        environ = {
            "TARMAC_REGISTRY_URL": proxy.url,
            "TARMAC_WATCH_DIR": str(watched),
            "TARMAC_WATCH_SETTLE": "0s",
            "TARMAC_PATH_ROOTS": str(paths),
        }
        with service(folder / "data", **environ, **settings) as running:
            yield Ground(running, proxy, watched, paths)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    yield from opened(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    yield from opened(tmp_path_factory.mktemp("staged"), TARMAC_REGISTRY_STAGING_REPOSITORY="staging")


def form(ground: Ground, archive: Path, tag: str, *more: str) -> dict[str, Any]:
    return dict(ground.running.curl(*more, "-F", f"tag={tag}", "-F", f"archive=@{archive}", "/push?wait=30")[1])


def slow_form(ground: Ground, archive: Path, tag: str) -> dict[str, Any]:
    return form(ground, archive, tag, "--limit-rate", PACE)


def late_form(ground: Ground, archive: Path, tag: str) -> dict[str, Any]:
    """The tag comes behind the archive: where its blobs go is not known until then."""
    fields = ("--limit-rate", PACE, "-F", f"archive=@{archive}", "-F", f"tag={tag}")
    return dict(ground.running.curl(*fields, "/push?wait=30")[1])


def raw(ground: Ground, archive: Path, tag: str, *more: str) -> dict[str, Any]:
    return dict(ground.running.curl(*more, "-T", archive, f"/push/x.tar?wait=30&tag={tag}")[1])


def slow_raw(ground: Ground, archive: Path, tag: str) -> dict[str, Any]:
    return raw(ground, archive, tag, "--limit-rate", PACE)


def tus(ground: Ground, archive: Path, tag: str) -> dict[str, Any]:
    """In two requests, with a pause in which blobs are sent."""
    size = archive.stat().st_size
    place = begun(ground, size, f"filename {b64(archive.name)},tag {b64(tag)}")
    content, job = archive.read_bytes(), ""
    for start, end in ((0, size * 2 // 3), (size * 2 // 3, size)):
        before = ground.proxy.counts.bytes_read
        job = asked(ground, "PATCH", place, {"Upload-Offset": str(start)}, content[start:end])["tarmac-job"]
        while end < size and ground.proxy.counts.bytes_read == before:
            ground.pause()
    return dict(ground.running.curl(f"{job}?wait=30")[1])


def begun(ground: Ground, size: int, metadata: str) -> str:
    return asked(ground, "POST", "/uploads", {"Upload-Length": str(size), "Upload-Metadata": metadata})["location"]


def asked(
    ground: Ground, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Mapping[str, str]:
    """The headers of the answer."""
    kind = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    request = Request(f"{ground.running.url}{path}", body, {**kind, **headers}, method=method)
    with urlopen(request, timeout=40) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def path(ground: Ground, archive: Path, tag: str) -> dict[str, Any]:
    place = ground.paths / f"{archive.parent.name}-{archive.name}"
    archive.rename(place)
    asked = json.dumps({"paths": [str(place)], "tag": tag, "wait": 30})
    return dict(ground.running.curl("--json", asked, "/push")[1])


def watched(ground: Ground, archive: Path, tag: str) -> dict[str, Any]:
    name = f"{archive.parent.name}.tar"
    (ground.folder / f"{name}.json").write_text(json.dumps({"tag": tag}))
    archive.rename(ground.folder / f".{name}")
    (ground.folder / f".{name}").rename(ground.folder / name)
    report = ground.folder / "done" / f"{name}.report.json"
    for _ in range(MOST_LOOKS):
        if report.exists():
            return dict(json.loads(report.read_text()))
        ground.pause()
    pytest.fail("the watched file was not put away")


WAYS: dict[str, Callable[[Ground, Path, str], dict[str, Any]]] = {
    "form": form,
    "slow form": slow_form,
    "late form": late_form,
    "raw": raw,
    "slow raw": slow_raw,
    "tus": tus,
    "path": path,
    "watched": watched,
}
KINDS: dict[str, Callable[[Any], bytes]] = {
    "docker": lambda sample: docker_save([sample], style="podman"),
    "oci": lambda sample: oci_layout([entry(oci_image(sample, compression="gzip"))]),
}


@pytest.fixture
def archive(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return made(tmp_path, request.node.name, "oci")


def made(folder: Path, seed: str, kind: str) -> Path:
    """Of no other test: what is known in another repository is mounted from there."""
    noise = random.Random(seed)
    place = folder / "x.tar"
    layers = ({f"bin/{number}": noise.randbytes(LAYER_BYTES)} for number in range(LAYERS))
    place.write_bytes(KINDS[kind](image(*layers)))
    return place


def held(ground: Ground, push: Callable[[], dict[str, Any]], slack: int = 0) -> tuple[dict[str, Any], Counts]:
    """The job of a push, and what the registry read for it. The job and the metrics say the same figures; `slack`:
    bytes of which nobody but the registry knows whether it read them."""
    before, metric = ground.proxy.counts, ground.metric()
    job = push()
    assert job["state"] == "succeeded", job
    counts, progress = ground.proxy.counts - before, job["progress"]
    assert progress["bytes_sent"] == ground.metric() - metric
    assert abs(progress["bytes_sent"] - counts.bytes_read) <= slack
    assert progress["blobs_done"] == progress["blobs_total"]
    assert progress["blobs_reused"] == progress["blobs_total"] - counts.uploads
    return job, counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_new_image_is_sent_and_nothing_of_it_is_reused(ground: Ground, tmp_path: Path, way: str, kind: str) -> None:
    archive, tag = made(tmp_path, f"{way} {kind}", kind), f"new/{way.replace(' ', '-')}-{kind}:1"
    job, counts = held(ground, lambda: WAYS[way](ground, archive, tag))
    assert counts.bytes_read >= LAYERS * LAYER_BYTES
    assert (job["progress"]["blobs_reused"], counts.mounts) == (0, 0)


@pytest.mark.parametrize("way", ["form", "slow form", "path", "watched"])
def test_what_the_registry_has_is_mounted_and_not_sent(ground: Ground, archive: Path, way: str) -> None:
    kept = archive.read_bytes()
    form(ground, archive, f"first/{way.replace(' ', '-')}:1")
    archive.write_bytes(kept)
    job, counts = held(ground, lambda: WAYS[way](ground, archive, f"second/{way.replace(' ', '-')}:1"))
    assert counts.bytes_read < LAYER_BYTES  # a config is sent as fast as it is asked for
    assert job["progress"]["blobs_reused"] >= LAYERS


@pytest.mark.parametrize("way", ["slow form", "late form", "slow raw", "tus"])
def test_what_goes_over_a_staging_repository_is_sent_by_its_job(staged: Ground, archive: Path, way: str) -> None:
    job, counts = held(staged, lambda: WAYS[way](staged, archive, f"staged/{way.replace(' ', '-')}:1"))
    assert job["progress"]["blobs_reused"] == 0
    assert counts.bytes_read >= LAYERS * LAYER_BYTES


@pytest.mark.parametrize("way", ["path", "slow form", "raw"])
@pytest.mark.parametrize("cuts", [(400_000,), (650_000, 10_000), (300_000, 300_000)], ids=str)
def test_what_is_sent_again_after_a_cut_counts_again(
    ground: Ground, archive: Path, way: str, cuts: tuple[int, ...]
) -> None:
    """This registry rarely says what it has of a request that was cut: what lay in buffers on the way is not known.

    At times it says that it has none, and then a cut request counts nothing.
    """
    ground.proxy.cut(*cuts)
    tag = f"cut/{way.replace(' ', '-')}-{'-'.join(map(str, cuts))}:1"
    job, counts = held(ground, lambda: WAYS[way](ground, archive, tag), slack=len(cuts) * LAYER_BYTES)
    assert counts.bytes_read >= LAYERS * LAYER_BYTES + sum(cuts)
    assert job["progress"]["bytes_sent"] > LAYERS * LAYER_BYTES


@pytest.mark.parametrize("way", ["raw", "slow form", "path"])
def test_a_job_that_is_tried_again_counts_all_that_it_sent(ground: Ground, archive: Path, way: str) -> None:
    def pushed() -> dict[str, Any]:
        ground.proxy.refuses = True
        answer = WAYS[way](ground, archive, f"again/{way.replace(' ', '-')}:1")
        failed = answer.get("job", answer)
        assert (failed["state"], failed["progress"]["images_failed"]) == ("failed", 1)
        assert failed["progress"]["bytes_sent"] > LAYERS * LAYER_BYTES
        ground.proxy.refuses = False
        ground.running.curl("-X", "POST", f"/jobs/{failed['id']}/retry")
        return dict(ground.running.curl(f"/jobs/{failed['id']}?wait=30")[1])

    job, _ = held(ground, pushed)
    assert (job["attempt"], job["progress"]["blobs_reused"]) == (2, 0)
