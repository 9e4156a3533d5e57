"""Pulp compares neither digest nor length of a layer that is PUT in one request. What of a cut connection reaches it,
through a front that streams, is stored under the whole layer's digest."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.interop.conftest import Site
from tests.interop.cutting import MAX_WAIT_SECONDS, Cut, CuttingProxy
from tests.interop.pulp import ADMIN, PASSWORD
from tests.interop.reader import PulpReader, TokenAuth
from tests.interop.service import Service
from tests.support.archives import Node, entry, image_of, layer, oci_image, oci_layout

LAYER_BYTES = 48 << 20
CUT_AFTER = 20 << 20  # more than lies in the buffers of a system and a front
FRONTS = ("apache", "streaming")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path) as service:
        yield service


def image(seed: str) -> tuple[Node, bytes]:
    """An image that no other test has pushed, with one large layer, and the archive that holds it."""
    content = random.Random(seed).randbytes(LAYER_BYTES)
    node = oci_image(image_of([layer({"model": content})]), compression="none")
    return node, oci_layout([entry(node)])


def layer_of(node: Node) -> tuple[str, bytes]:
    """Digest and content."""
    (descriptor,) = json.loads(node.raw)["layers"]
    return descriptor["digest"], node.blobs[descriptor["digest"]]


def check_whole(site: Site, skopeo: str, place: str, node: Node) -> None:
    """The image at `place` has the bytes of `node`, layers too."""
    reader = PulpReader(skopeo, site.nginx.url.removeprefix("http://"), "cut", Path())
    repository = place.partition(":")[0]
    manifest = json.loads(reader.raw(place))
    assert reader.raw(place) == node.raw
    for blob in (manifest["config"], *manifest["layers"]):
        content = reader.fetch(f"cut/{repository}/blobs/{blob['digest']}")
        assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (blob["size"], blob["digest"])


def is_tagged(site: Site, repository: str) -> bool:
    answer = httpx.get(f"{site.nginx.url}/v2/cut/{repository}/manifests/1", auth=TokenAuth(ADMIN, PASSWORD), timeout=60)
    assert answer.status_code in {200, 404}, answer.text
    return answer.status_code == httpx.codes.OK


@pytest.mark.parametrize("verify", ["tag", "content"])
@pytest.mark.parametrize("cut", [Cut.FIN, Cut.RST])
@pytest.mark.parametrize("front", FRONTS)
def test_a_layer_that_was_cut_off_is_sent_whole_before_it_is_tagged(
    front: str, cut: Cut, verify: str, site: Site, service: Service, skopeo: str, request: pytest.FixtureRequest
) -> None:
    node, archive = image(request.node.nodeid)
    repository = f"{front}-{cut}-{verify}"
    with CuttingProxy(getattr(site, front).port, after=CUT_AFTER, cut=cut) as proxy:
        service.start(site.environ(proxy.url))
        job = service.push(archive, tag=f"cut/{repository}:1", verify=verify)
        assert proxy.cuts == 1
    assert job["state"] == "succeeded", job["problem"]
    check_whole(site, skopeo, f"{repository}:1", node)


@pytest.mark.parametrize("front", FRONTS)
def test_a_service_that_was_killed_while_it_sent_a_layer_sends_it_whole_afterwards(
    front: str, site: Site, service: Service, skopeo: str, request: pytest.FixtureRequest
) -> None:
    node, archive = image(request.node.nodeid)
    with CuttingProxy(getattr(site, front).port, after=CUT_AFTER, cut=Cut.HOLD) as proxy:
        service.start(site.environ(proxy.url))
        job_id = service.submit(archive, tag=f"cut/killed-{front}:1")
        assert proxy.reached.wait(MAX_WAIT_SECONDS)
        service.kill()
        proxy.release()
        service.restart()
        job = service.ended(job_id)
    assert job["state"] == "succeeded", job["problem"]
    assert job["attempt"] == 2
    check_whole(site, skopeo, f"killed-{front}:1", node)


@pytest.mark.parametrize("verify", ["tag", "blobs", "content", "none"])
@pytest.mark.parametrize("put_there", ["same", "other"])
def test_a_layer_that_another_client_left_cut_off_is_never_tagged(
    put_there: str, verify: str, site: Site, service: Service, request: pytest.FixtureRequest
) -> None:
    """In the repository that is pushed to, and in another one: Pulp keeps one blob for all."""
    node, archive = image(request.node.nodeid)
    repository = f"broken-{put_there}-{verify}"
    holder = repository if put_there == "same" else f"{repository}-before"
    digest, content = layer_of(node)
    leave(site, f"cut/{holder}", digest, (content[: len(content) // 2], len(content)))
    service.start(site.environ(site.nginx.url))
    job = service.push(archive, tag=f"cut/{repository}:1", verify=verify)
    assert job["state"] == "failed"
    assert job["images"][0]["problem"]["code"] == "registry_lost"
    assert not is_tagged(site, repository)


@pytest.mark.parametrize("verify", ["blobs", "content"])
def test_other_bytes_of_the_same_length_are_found_by_reading_them_back(
    verify: str, site: Site, service: Service, request: pytest.FixtureRequest
) -> None:
    """Pulp takes them in a PUT, and states the right size."""
    node, archive = image(request.node.nodeid)
    digest, content = layer_of(node)
    other = bytes(len(content))
    leave(site, f"cut/other-{verify}", digest, (other, len(other)))
    service.start(site.environ(site.nginx.url))
    job = service.push(archive, tag=f"cut/other-{verify}:1", verify=verify)
    assert job["state"] == {"blobs": "succeeded", "content": "failed"}[verify], job
    if verify == "content":
        problem = job["images"][0]["problem"]
        assert (problem["code"], digest in problem["detail"]) == ("registry_lost", True), problem


def leave(site: Site, repository: str, digest: str, sent: tuple[bytes, int]) -> None:
    """Bytes under the digest of others, as a client leaves them that PUTs through Apache `sent[0]` of so many bytes as
    `sent[1]` says, and is cut."""
    (content, length), auth, front = sent, TokenAuth(ADMIN, PASSWORD), site.apache
    opened = httpx.post(f"{front.url}/v2/{repository}/blobs/uploads/", auth=auth, timeout=60)
    assert opened.status_code == httpx.codes.ACCEPTED, opened.text
    target = httpx.URL(front.url).join(opened.headers["Location"]).copy_merge_params({"digest": digest})
    head = (
        f"PUT {target.raw_path.decode()} HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\n"
        f"Authorization: {opened.request.headers['Authorization']}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", front.port), MAX_WAIT_SECONDS) as connection:
        connection.sendall(head.encode() + content)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
    stored = PulpReader("", site.nginx.url.removeprefix("http://"), "", Path()).fetch(f"{repository}/blobs/{digest}")
    assert content.startswith(stored), "Pulp has mended this"
    assert hashlib.sha256(stored).hexdigest() != digest.partition(":")[2], "Pulp has mended this"
