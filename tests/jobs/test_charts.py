"""Charts and their provenance files in one request, each a file of its own: pushed as `helm push` does."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from app.archive.formats.helm_chart import CHART_LAYER, PROVENANCE_LAYER
from app.jobs import JobState
from tests.jobs.bench import REQUEST, Bench, ended, upload
from tests.support.helm import CHART_YAML, packaged

CHART, NEWER = packaged(), packaged(CHART_YAML.replace(b"6.0.0", b"6.1.0"))


def signed(chart: bytes, *, padding: int = 0) -> bytes:
    """As helm, pkg/provenance/sign.go, has it."""
    stated = f"files:\n  podinfo-6.0.0.tgz: sha256:{sha256(chart).hexdigest()}\n".encode()
    return b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + CHART_YAML + b"\n...\n" + stated + b"-" * padding


def layers(bench: Bench) -> dict[str, list[str]]:
    """The media types of the layers of each tag."""
    return {
        tag: sorted(
            layer["mediaType"] for layer in json.loads(bench.registry.manifests[repository, digest].raw)["layers"]
        )
        for (repository, tag), digest in bench.registry.tags.items()
    }


BOTH = {"6.0.0_build.1": [PROVENANCE_LAYER, CHART_LAYER], "6.1.0_build.1": [CHART_LAYER]}


@pytest.mark.parametrize("padding", [0, 3000])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_provenance_file_goes_with_the_chart_whose_digest_it_states(
    bench: Bench, padding: int, place: int
) -> None:
    sent = [NEWER, CHART]
    sent.insert(place, signed(CHART, padding=padding))
    async with bench.service() as service:
        done = await ended(service, await upload(service, sent))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert layers(bench) == {tag: sorted(found) for tag, found in BOTH.items()}
    assert [archive.format for archive in done.archives] == ["helm-chart"] * 3


async def test_it_goes_with_it_from_a_path_too(bench: Bench) -> None:
    for name, data in {"a.tgz": CHART, "a.tgz.prov": signed(CHART), "b.tgz": NEWER}.items():
        bench.put(name, data)
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/*",))))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert layers(bench) == {tag: sorted(found) for tag, found in BOTH.items()}


async def test_a_provenance_file_of_another_chart_is_told(bench: Bench) -> None:
    async with bench.service() as service:
        done = await ended(service, await upload(service, [CHART, signed(NEWER)]))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert layers(bench) == {"6.0.0_build.1": [CHART_LAYER]}
    assert any("not pushed: 1/provenance.prov" in notice for notice in done.notices)


async def test_a_provenance_file_alone_asks_for_its_chart(bench: Bench) -> None:
    bench.put("a.tgz.prov", signed(CHART))
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/*",))))
    assert done.problem is not None
    assert done.problem.code == "unknown_format"
    assert "in one request with its chart" in done.problem.detail
