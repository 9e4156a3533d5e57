"""While Pulp makes one tag of a repository, a manifest that shares its layers is MANIFEST_INVALID there, and a second
tag waits in a queue that overflows. Images of one repository land all the same, in one job and in several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest

from tests.interop.conftest import Site
from tests.interop.fronts import Answered
from tests.interop.pulp import ADMIN, PASSWORD
from tests.interop.reader import TokenAuth
from tests.interop.service import Service
from tests.peers.corpus import CORPUS
from tests.support.archives import Node, entry, image_of, layer, oci_image, oci_layout

ROUNDS = 12  # of 12 jobs as many as 6 failed before Tarmac took care, and 2 at the least
IMAGES = 8
CLOCK_SECONDS = 0.002  # nginx writes milliseconds
SEVERAL = ("mindthegap-bundle.tar", "mindthegap-image-bundle.tar", "podman-docker-archive-multi.tar")


@pytest.fixture(scope="module")
def service(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service")) as service:
        service.start(site.environ(site.nginx.url))
        yield service


def fleet(seed: str) -> list[Node]:
    """Images that share two layers of three."""
    base = [layer({f"base/{number}": f"{seed} {number}".encode() * 2_000}) for number in range(2)]
    return [
        oci_image(image_of([*base, layer({"app": f"{seed} app {number}".encode()})]), compression="gzip")
        for number in range(IMAGES)
    ]


def check_tagged(site: Site, repository: str, node: Node, tag: str) -> None:
    answer = httpx.get(
        f"{site.nginx.url}/v2/{repository}/manifests/{tag}",
        auth=TokenAuth(ADMIN, PASSWORD),
        headers={"Accept": node.media_type},
        timeout=60,
    )
    assert f"sha256:{hashlib.sha256(answer.content).hexdigest()}" == node.digest


def check_apart(site: Site, below: str) -> None:
    """Of no repository below `below` two manifests were under way at the same time."""
    puts: dict[str, list[Answered]] = {}
    for answered in site.nginx.answered():
        repository, slash, _ = answered.path.removeprefix("/v2/").partition("/manifests/")
        if slash and answered.method == "PUT" and repository.startswith(f"{below}/"):
            puts.setdefault(repository, []).append(answered)
    assert puts
    for requests in puts.values():
        in_order = sorted(requests, key=lambda request: request.began)
        for request, following in pairwise(in_order):
            assert request.ended <= following.began + CLOCK_SECONDS, (request, following)


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("file", SEVERAL)
def test_an_archive_with_several_images_of_one_repository_lands(
    file: str, turn: int, site: Site, service: Service
) -> None:
    job = service.push((CORPUS / file).read_bytes(), prefix=f"several/{turn}/{file}")
    assert job["state"] == "succeeded", job["images"]
    assert job["attempt"] == 1
    check_apart(site, f"several/{turn}/{file}")


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_images_that_share_their_layers_land_in_one_repository(turn: int, site: Site, service: Service) -> None:
    nodes = fleet(f"fleet {turn}")
    archive = oci_layout([entry(node, ref=f"example.com/app:{number}") for number, node in enumerate(nodes)])
    job = service.push(archive, prefix=f"fleet/{turn}")
    assert job["state"] == "succeeded", job["images"]
    for number, node in enumerate(nodes):
        check_tagged(site, f"fleet/{turn}/app", node, str(number))
    check_apart(site, f"fleet/{turn}")


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_jobs_at_once_that_push_to_one_repository_all_succeed(turn: int, site: Site, service: Service) -> None:
    nodes = fleet(f"jobs {turn}")[:4]
    jobs = [
        service.submit(oci_layout([entry(node)]), tag=f"jobs/{turn}/app:{number}") for number, node in enumerate(nodes)
    ]
    ended = [service.ended(job_id) for job_id in jobs]
    assert [(job["state"], job["attempt"]) for job in ended] == [("succeeded", 1)] * len(nodes), ended
    for number, node in enumerate(nodes):
        check_tagged(site, f"jobs/{turn}/app", node, str(number))
    check_apart(site, f"jobs/{turn}")
