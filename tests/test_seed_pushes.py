"""What the tool that this service follows is tested for, and what it is not, as far as pushing goes: each case through
the whole service, at a real registry. (Reading archives: test_seed_cases.py.)

The numbers are those of its given/when/then cases; the letters are cases that it gets wrong or leaves open. Where it
speaks of flags of a command, the options of a request stand in their place."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.api.conftest import serving
from tests.support import archives
from tests.support.archives import Image, Member, docker_save, entry, oci_image, oci_index, oci_layout, tagged, tar
from tests.support.certificates import Certificates, make_certificates
from tests.support.docker_registry import PASSWORD, USER, DockerRegistry, Options, free_port
from tests.support.memory_registry import Manners, MemoryRegistry

PLAIN = archives.image({"bin/app": b"one"}, {"etc/app": b"two"})
APP = tagged(PLAIN, "example.com/app:v1")
OTHER = tagged(archives.image({"bin/other": b"1"}), "example.com/other:v2")
AMD = oci_image(PLAIN, platform="linux/amd64")
ARM = oci_image(archives.image({"bin/app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
WHOLE = oci_index([AMD, ARM])
CREDENTIALS = {"username": USER, "password": PASSWORD}
BUNDLE = "mindthegap-bundle"
NOWHERE = "http://127.0.0.1:1"  # nothing listens there

Job = dict[str, Any]
# What a registry must be asked with to give a manifest as it is, and not as an older client would have it.
ACCEPT = ", ".join((archives.OCI_MANIFEST, archives.OCI_INDEX, archives.DOCKER_MANIFEST, archives.DOCKER_LIST))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """One for the module: every test pushes below its own prefix."""
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:12]


async def push(
    place: Path, url: str, *tars: bytes, settings: dict[str, Any] | None = None, **options: str | list[str]
) -> Job:
    """The job of one request, ended; where the request was refused, the job it had come to."""
    parts = [("archive", (f"{number}.tar", data)) for number, data in enumerate(tars)]
    async with serving(place, registries={"default": {"url": url, **(settings or {})}}) as served:
        answer = await served.client.post("/push", params={"wait": 30, **options}, files=parts)
        document: Job = answer.json()
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert 400 <= answer.status_code < 500 or answer.status_code == 502
            document = document.get("job") or {"state": "failed", "problem": document, "images": []}
    assert document["state"] == "failed" or not list((place / "spool").glob(f"{document['id']}*"))
    return document


def code_of(job: Job) -> tuple[str, str]:
    """The problem's code and words of a job that failed."""
    assert job["state"] == "failed", job
    return job["problem"]["code"], job["problem"]["detail"]


def get(server: DockerRegistry, path: str, certificates: Certificates | None = None) -> bytes | None:
    """What the registry itself gives at a path below /v2/; None where there is nothing."""
    trust = ssl.create_default_context(cafile=certificates.ca) if certificates else None
    request = urllib.request.Request(f"{server.url}/v2/{path}", headers={"Accept": ACCEPT})
    try:
        with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
            content: bytes = answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 404:
            raise
        return None
    return content


def manifest(server: DockerRegistry, name: str) -> bytes | None:
    repository, _, tag = name.rpartition("@" if "@" in name else ":")
    return get(server, f"{repository}/manifests/{tag}")


def tags(server: DockerRegistry, prefix: str) -> list[str]:
    """Every tag below a prefix, as the registry itself lists them."""
    repositories = json.loads(get(server, "_catalog?n=1000") or b"")["repositories"]
    below = [repository for repository in repositories if repository.startswith(f"{prefix}/")]
    lists = {item: json.loads(get(server, f"{item}/tags/list") or b"{}").get("tags") or () for item in below}
    return sorted(f"{each.removeprefix(prefix + '/')}:{tag}" for each, found in lists.items() for tag in found)


def check_image(server: DockerRegistry, name: str, image: Image, certificates: Certificates | None = None) -> None:
    """The config is the archive's, and the layers unpack to its DiffIDs: what a docker archive keeps of an image."""
    repository, _, tag = name.rpartition(":")
    raw = get(server, f"{repository}/manifests/{tag}", certificates)
    assert raw is not None
    document = json.loads(raw)
    assert document["config"]["digest"] == image.config_digest
    blobs = [get(server, f"{repository}/blobs/{item['digest']}", certificates) for item in document["layers"]]
    assert tuple(archives.sha256(gzip.decompress(blob or b"")) for blob in blobs) == image.diff_ids


@asynccontextmanager
async def memory_registry(manners: Manners) -> AsyncIterator[tuple[MemoryRegistry, str]]:
    """The registry in memory behind a socket of the loopback network, and its URL."""
    memory = MemoryRegistry(manners)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(memory, port=port, lifespan="off", log_config=None, ws="none"))
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0)
        yield memory, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


# --- cases 15-28: options of the request -----------------------------------------------------------------------------


async def test_case_15_a_request_without_an_archive_is_told_to_send_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for answer in (await served.client.post("/push"), await served.client.post("/push", files={"x": b"y"})):
            assert answer.status_code == 422
            assert "archive" in answer.json()["detail"]


async def test_case_16_a_registry_that_is_not_known_is_told_before_a_missing_file(tmp_path: Path) -> None:
    async with serving(tmp_path, path_roots=(tmp_path,)) as served:
        body = {"paths": [f"{tmp_path}/nonexistent.tar"], "registry": "elsewhere"}
        answer = await served.client.post("/push", json=body)
        assert answer.json()["code"] == "unknown_registry"
        answer = await served.client.post("/push", json={"paths": body["paths"]})
        assert answer.json()["code"] == "path_not_found"


async def test_case_17_tag_with_one_image_is_valid_and_what_fails_is_the_registry(
    tmp_path: Path, registry: DockerRegistry
) -> None:
    """A registry that speaks no TLS stands for one that is not there: for that one a job would be patient."""
    job = await push(tmp_path, f"https://{registry.address}", docker_save([APP]), tag="example/other:v2")
    code, words = code_of(job)
    assert code == "registry_tls"
    assert "`tag`" not in words
    assert job["images"][0]["destinations"] == [f"{registry.address}/example/other:v2"]


async def test_case_18_tag_with_two_archives_is_refused(tmp_path: Path) -> None:
    job = await push(tmp_path, NOWHERE, docker_save([APP]), docker_save([OTHER]), tag="a:v2")
    code, words = code_of(job)
    assert code == "single_image_required"
    assert "2 in 2 archive" in words


async def test_case_19_tag_with_one_archive_of_two_images_is_refused(tmp_path: Path) -> None:
    job = await push(tmp_path, NOWHERE, docker_save([APP, OTHER]), tag="a:v2")
    code, words = code_of(job)
    assert code == "single_image_required"
    assert "2 in 1 archive" in words


async def test_case_20_a_docker_archive_at_http_loopback_pulls_as_the_image_it_was(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    job = await push(tmp_path, registry.address, docker_save([APP]), prefix=prefix)
    assert job["images"][0]["destinations"] == [f"{registry.address}/{prefix}/app:v1"]
    check_image(registry, f"{prefix}/app:v1", APP)
    assert archives.sha256(manifest(registry, f"{prefix}/app:v1") or b"") == job["images"][0]["digest"]


@pytest.mark.parametrize("data", [docker_save([APP]), oci_layout([entry(AMD, ref="example.com/app:v1")])])
async def test_cases_21_and_23_basic_with_the_right_password_lands_and_with_a_wrong_one_is_told(
    tmp_path: Path, data: bytes
) -> None:
    with DockerRegistry(tmp_path / "registry", Options(basic=True)) as server:
        assert (await push(tmp_path, server.address, data, settings=CREDENTIALS))["state"] == "succeeded"
        job = await push(tmp_path, server.address, data, settings={**CREDENTIALS, "password": "geheim-and-wrong"})
    code, words = code_of(job)
    assert code == "registry_auth"
    assert "geheim" not in words


async def test_case_22_a_token_service_at_the_registrys_own_loopback_address_is_asked(tmp_path: Path) -> None:
    async with memory_registry(Manners(auth="bearer")) as (memory, url):
        job = await push(tmp_path, url, docker_save([APP]), settings=CREDENTIALS)
        assert job["state"] == "succeeded", job
        assert "v1" in memory.repository("app").tags
        code, _ = code_of(await push(tmp_path, url, docker_save([OTHER]), settings={**CREDENTIALS, "password": "no"}))
    assert code == "registry_auth"


async def test_case_24_an_image_without_a_name_needs_the_option_tag_and_the_words_say_so(tmp_path: Path) -> None:
    code, words = code_of(await push(tmp_path, NOWHERE, oci_layout([entry(AMD)])))
    assert code == "missing_tag"
    assert "pass `tag`" in words


async def test_case_25_a_layout_pulls_with_the_digest_it_had(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    job = await push(tmp_path, registry.url, oci_layout([entry(AMD, ref="example.com/app:v1")]), prefix=prefix)
    assert job["images"][0]["digest"] == AMD.digest
    assert manifest(registry, f"{prefix}/app:v1") == AMD.raw


@pytest.mark.parametrize(
    ("data", "is_a"), [(oci_layout([entry(AMD, ref="a/b:1")]), "oci-archive"), (docker_save([APP]), "docker-archive")]
)
async def test_cases_26_27_and_37_an_image_archive_asserted_to_be_a_bundle_is_told_the_right_way_unasked(
    tmp_path: Path, registry: DockerRegistry, data: bytes, is_a: str
) -> None:
    before = registry.requests()
    code, words = code_of(await push(tmp_path, registry.url, data, format=BUNDLE))
    assert code == "format_mismatch"
    assert is_a in words
    assert registry.requests() == before


async def test_case_28_junk_in_gzip_called_a_bundle_is_told_no_way_that_it_is_not(tmp_path: Path) -> None:
    code, words = code_of(await push(tmp_path, NOWHERE, gzip.compress(b"junk, no tar" * 1000), format=BUNDLE))
    assert code == "unknown_format"
    assert "format=" not in words


# --- cases 35-43: end to end -----------------------------------------------------------------------------------------


async def test_cases_35_and_36_both_kinds_of_archive_land_in_one_request(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    job = await push(
        tmp_path,
        registry.url,
        oci_layout([entry(WHOLE, ref="example.com/multi:v1")]),
        docker_save([APP]),
        prefix=prefix,
    )
    assert [image["state"] for image in job["images"]] == ["pushed", "pushed"]
    assert manifest(registry, f"{prefix}/multi:v1") == WHOLE.raw
    for child in (AMD, ARM):
        assert manifest(registry, f"{prefix}/multi@{child.digest}") == child.raw
    check_image(registry, f"{prefix}/app:v1", APP)


async def test_case_38_both_images_of_a_docker_archive_land(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    one, two = tagged(PLAIN, "example.com/one:v1"), tagged(OTHER, "example.com/two:v2")
    await push(tmp_path, registry.url, docker_save([one, two]), prefix=prefix)
    assert tags(registry, prefix) == ["one:v1", "two:v2"]


async def test_case_39_tag_is_used_as_written_without_library(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    job = await push(tmp_path, f"{registry.url}/{prefix}", oci_layout([entry(AMD)]), tag="override:v3")
    assert job["images"][0]["destinations"] == [f"{registry.address}/{prefix}/override:v3"]
    assert tags(registry, prefix) == ["override:v3"]


async def test_case_40_loopback_without_a_scheme_falls_back_to_http_with_skip_verify(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    skip = {"insecure_skip_tls_verify": True}
    await push(tmp_path, registry.address, docker_save([APP]), settings=skip, prefix=prefix)
    check_image(registry, f"{prefix}/app:v1", APP)


async def test_cases_41_and_42_tls_by_an_own_authority_or_unverified_and_never_else(
    tmp_path: Path, certificates: Certificates
) -> None:
    options = Options(certificate=certificates.certificate, key=certificates.key, host="127.0.0.2")
    with DockerRegistry(tmp_path / "registry", options) as server:
        job = await push(tmp_path, server.address, docker_save([APP]), settings={"ca_file": certificates.ca})
        assert job["state"] == "succeeded", job
        check_image(server, "app:v1", APP, certificates)
        skip = {"insecure_skip_tls_verify": True}
        job = await push(tmp_path, server.address, docker_save([OTHER]), settings=skip)
        assert job["state"] == "succeeded", job
        check_image(server, "other:v2", OTHER, certificates)
        code, words = code_of(await push(tmp_path, server.address, docker_save([APP])))
    assert code == "registry_tls"
    assert "ca_file" in words


async def test_case_43_http_by_its_scheme_with_skip_verify(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry", Options(host="127.0.0.2")) as server:
        skip = {"insecure_skip_tls_verify": True}
        job = await push(tmp_path, server.url, docker_save([APP]), settings=skip)
        assert job["state"] == "succeeded", job
        check_image(server, "app:v1", APP)
        code, _ = code_of(await push(tmp_path, f"https://{server.address}", docker_save([APP]), settings=skip))
    assert code == "registry_tls", "what is asked for as https is never sent in the clear"


# --- gaps ------------------------------------------------------------------------------------------------------------


async def test_gap_a_short_names_land_below_library(tmp_path: Path, registry: DockerRegistry, prefix: str) -> None:
    data = docker_save([tagged(PLAIN, "alpine:latest", "docker.io/alpine:3.19", "team/app:1")])
    await push(tmp_path, registry.url, data, prefix=prefix)
    assert tags(registry, prefix) == ["library/alpine:3.19", "library/alpine:latest", "team/app:1"]


async def test_gap_b_a_ref_name_that_is_only_a_tag_needs_a_repository(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    data = oci_layout([entry(AMD, ref="v1")])
    code, words = code_of(await push(tmp_path, registry.url, data, prefix=prefix))
    assert code == "missing_tag"
    assert "REPO:v1" in words
    await push(tmp_path, registry.url, data, prefix=prefix, tag="app:v1")
    await push(tmp_path, registry.url, data, prefix=prefix, rename="v1=renamed:v1")
    assert tags(registry, prefix) == ["app:v1", "renamed:v1"]


@pytest.mark.parametrize("index_last", [False, True])
async def test_gaps_c_and_d_an_archive_of_both_kinds_lands_whole_under_the_name_containerd_gave(
    tmp_path: Path, registry: DockerRegistry, prefix: str, index_last: bool
) -> None:
    data = oci_layout(
        [entry(WHOLE, name="docker.io/library/foo:v1", ref="v1")],
        hybrid=[tagged(PLAIN, "foo:v1")],
        index_last=index_last,
    )
    await push(tmp_path, registry.url, data, prefix=prefix)
    assert tags(registry, prefix) == ["library/foo:v1"]
    assert manifest(registry, f"{prefix}/library/foo:v1") == WHOLE.raw


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd", "xz", "bzip2"])
async def test_gaps_e_and_f_any_wrapping_and_prefix_lands_the_same(
    tmp_path: Path, registry: DockerRegistry, prefix: str, outer: archives.Compress
) -> None:
    data = (
        docker_save([APP], dotslash=True, outer=outer),
        oci_layout([entry(AMD, ref="example.com/oci:v1")], dotslash=True, outer=outer),
    )
    job = await push(tmp_path, registry.url, *data, prefix=prefix)
    assert {archive["compression"] for archive in job["archives"]} == {outer}
    check_image(registry, f"{prefix}/app:v1", APP)
    assert manifest(registry, f"{prefix}/oci:v1") == AMD.raw


async def test_gap_g_what_the_file_is_called_does_not_count(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for name, data in {
            "image.oci.tar.gz": docker_save([APP]),
            "bundle.docker.tar": oci_layout([entry(AMD, ref="a/b:1")], outer="zstd"),
        }.items():
            answer = await served.client.put(f"/push/{name}?wait=30", content=data)
            assert answer.status_code == 200


async def test_gap_h_one_untagged_image_stops_the_request_before_anything_is_pushed(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    code, words = code_of(await push(tmp_path, registry.url, docker_save([APP, archives.image({"x": b"y"})])))
    assert code == "missing_tag"
    assert "rename" in words
    assert tags(registry, prefix) == []


async def test_gap_i_one_image_of_two_names_may_be_given_one_by_tag(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    for data in (
        docker_save([tagged(PLAIN, "a/a:1", "a/a:2")]),
        oci_layout([entry(AMD, ref="a/a:1"), entry(AMD, ref="a/a:2")]),
    ):
        await push(tmp_path, registry.url, data, prefix=prefix, tag="one:1")
    assert tags(registry, prefix) == ["one:1"]


@pytest.mark.parametrize("which", [0, 1], ids=["config", "layer"])
async def test_gap_j_a_tampered_config_or_layer_of_a_layout_is_never_tagged(
    tmp_path: Path, registry: DockerRegistry, prefix: str, which: int
) -> None:
    name = archives.blob_name(list(AMD.blobs)[which])
    members = archives.oci_members([entry(AMD, ref="a/b:1"), entry(ARM, ref="a/good:1")])
    members = [Member(member.name, member.data[:-1] + b"!") if member.name == name else member for member in members]
    job = await push(tmp_path, registry.url, tar(members), prefix=prefix)
    assert code_of(job)[0] == "digest_mismatch"
    assert "a/b:1" not in tags(registry, prefix)


async def test_gap_k_a_layer_that_is_not_of_its_diff_id_is_never_tagged(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    members = archives.docker_members([APP])
    layer = next(member.name for member in members if member.name.endswith("/layer.tar"))
    data = tar(
        Member(layer, archives.layer({"bin/evil": b"1"})) if member.name == layer else member for member in members
    )
    code, words = code_of(await push(tmp_path, registry.url, data, prefix=prefix))
    assert code == "digest_mismatch"
    assert APP.diff_ids[0] in words
    assert tags(registry, prefix) == []


async def test_gap_m_a_sparse_index_is_refused_with_what_is_missing_and_nothing_is_tagged(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    data = oci_layout([entry(WHOLE, ref="a/b:1")], without=[ARM.digest])
    code, words = code_of(await push(tmp_path, registry.url, data, prefix=prefix))
    assert code == "missing_content"
    assert f"{ARM.digest} (linux/arm64" in words
    assert tags(registry, prefix) == []


async def test_gap_n_a_child_of_an_unknown_media_type_travels(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    thing = archives.oci_artifact(b"thing", media_type="application/vnd.example.odd")
    whole = oci_index([AMD, thing])
    await push(tmp_path, registry.url, oci_layout([entry(whole, ref="a/b:1")]), prefix=prefix)
    assert manifest(registry, f"{prefix}/a/b:1") == whole.raw
    assert manifest(registry, f"{prefix}/a/b@{thing.digest}") == thing.raw


async def test_gap_o_without_a_media_type_in_its_descriptor_an_index_lands_as_one(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    data = oci_layout([entry(WHOLE, ref="a/b:1", media_type=False)])
    job = await push(tmp_path, registry.url, data, prefix=prefix)
    assert job["images"][0]["media_type"] == archives.OCI_INDEX
    assert manifest(registry, f"{prefix}/a/b:1") == WHOLE.raw


async def test_gap_p_an_image_named_by_sha512_lands_under_that_name(tmp_path: Path) -> None:
    """In the embedded destination: docker-registry 2.8 knows no other name of a manifest than its sha256."""
    node = oci_image(PLAIN, algorithm="sha512")
    async with serving(tmp_path) as served:
        data = oci_layout([entry(node, ref="a/b:1")])
        answer = await served.client.post("/push?wait=30", content=data)
        assert answer.json()["images"][0]["digest"] == node.digest
        kept = await served.client.get(f"/v2/a/b/manifests/{node.digest}", headers={"Accept": ACCEPT})
        assert kept.content == node.raw


async def test_gap_q_zstd_layers_of_a_docker_archive_are_pushed_as_zstd(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    await push(tmp_path, registry.url, docker_save([APP], compress="zstd"), prefix=prefix)
    document = json.loads(manifest(registry, f"{prefix}/app:v1") or b"")
    assert {layer["mediaType"] for layer in document["layers"]} == {archives.OCI_LAYER + "+zstd"}
    first = get(registry, f"{prefix}/app/blobs/{document['layers'][0]['digest']}")
    assert first is not None
    assert first.startswith(b"\x28\xb5\x2f\xfd")


@pytest.mark.parametrize("links", ["symlink", "hardlink"])
async def test_gap_r_a_layer_that_is_a_link_is_pushed_as_what_it_links_to(
    tmp_path: Path, registry: DockerRegistry, prefix: str, links: Any
) -> None:
    twice = tagged(archives.image({"a": b"1"}, {"a": b"1"}), "example.com/app:v1")
    await push(tmp_path, registry.url, docker_save([twice], links=links), prefix=prefix)
    check_image(registry, f"{prefix}/app:v1", twice)


async def test_gap_v_two_images_that_lose_the_same_host_are_refused_with_both_names(tmp_path: Path) -> None:
    images = [tagged(PLAIN, "quay.io/dup:v1"), tagged(OTHER, "ghcr.io/dup:v1")]
    code, words = code_of(await push(tmp_path, NOWHERE, docker_save(images)))
    assert code == "destination_conflict"
    assert "quay.io/dup:v1" in words
    assert "ghcr.io/dup:v1" in words


async def test_gap_w_a_name_by_digest_is_pushed_by_digest_and_gets_no_tag(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    data = oci_layout([entry(AMD, ref=f"example.com/app@{AMD.digest}")])
    await push(tmp_path, registry.url, data, prefix=prefix)
    assert manifest(registry, f"{prefix}/app@{AMD.digest}") == AMD.raw
    assert tags(registry, prefix) == []


@pytest.mark.parametrize("name", ["UPPER/Case:1", "a" * 400 + ":1", "a/b:" + "t" * 129, "../../etc:1"])
async def test_gap_x_a_name_that_is_not_valid_is_refused_and_rescued_by_tag(
    tmp_path: Path, registry: DockerRegistry, prefix: str, name: str
) -> None:
    data = docker_save([tagged(PLAIN, name)])
    assert code_of(await push(tmp_path, registry.url, data, prefix=prefix))[0] == "invalid_reference"
    await push(tmp_path, registry.url, data, prefix=prefix, tag="ok:1")
    assert tags(registry, prefix) == ["ok:1"]


async def test_gap_y_one_image_failing_leaves_the_others_and_each_is_reported(
    tmp_path: Path, registry: DockerRegistry, prefix: str
) -> None:
    members = archives.docker_members([APP, OTHER])
    layer = next(member for member in members if member.data == APP.layers[0])
    data = tar(
        Member(member.name, archives.layer({"bin/evil": b"1"})) if member is layer else member for member in members
    )
    job = await push(tmp_path, registry.url, data, prefix=prefix)
    assert [image["state"] for image in job["images"]] == ["failed", "pushed"]
    assert job["images"][0]["problem"]["code"] == "digest_mismatch"
    assert job["images"][1]["problem"] is None
    assert code_of(job)[1].startswith("1 of 2 images failed")
    assert tags(registry, prefix) == ["other:v2"]


@pytest.mark.parametrize("data", [docker_save([APP]), oci_layout([entry(AMD, ref="example.com/app:v1")])])
async def test_gap_z_what_is_there_costs_two_requests_and_is_said_to_be_there(tmp_path: Path, data: bytes) -> None:
    with DockerRegistry(tmp_path / "registry") as server:
        first = await push(tmp_path, server.url, data)
        before = len(server.requests())
        job = await push(tmp_path, server.url, data)
        assert len(server.requests()) - before <= 2 + PING
    assert (job["images"][0]["state"], job["images"][0]["digest"]) == ("already_present", first["images"][0]["digest"])
    assert job["progress"]["bytes_sent"] == 0
    assert job["progress"]["percent"] == 100.0


# --- requests, as the registry counts them ---------------------------------------------------------------------------

PING = 1  # a service that has just been started asks once how the registry wants to be spoken to
IMAGES = 5
BASE = {"base": b"b" * 5000}


async def test_what_was_asked_for_in_vain_counts_as_a_request_too(registry: DockerRegistry) -> None:
    async with httpx.AsyncClient(base_url=registry.url) as client:
        await client.head("/v2/nobody/manifests/1")
    assert registry.requests()[-1] == ("HEAD", "/v2/nobody/manifests/1")


@pytest.mark.parametrize("kind", ["docker", "oci"])
async def test_a_new_blob_costs_two_requests_an_image_three_and_a_second_repository_a_mount(
    tmp_path: Path, kind: str
) -> None:
    images = [archives.image(BASE, {"own": b"%d" % number}) for number in range(IMAGES)]
    names = [f"example.com/team/app-{number}:1" for number in range(IMAGES)]
    if kind == "docker":
        data = docker_save([tagged(image, name) for image, name in zip(images, names, strict=True)])
    else:
        data = oci_layout([entry(oci_image(image), ref=name) for image, name in zip(images, names, strict=True)])
    with DockerRegistry(tmp_path / "registry") as server:
        job = await push(tmp_path, server.url, data)
        assert job["state"] == "succeeded"
        asked = server.requests()
    sent, mounted = 1 + 2 * IMAGES, IMAGES - 1  # the base once; of every image its own layer and its config
    manifests = 3 * IMAGES  # asked for, put, and looked at once more
    assert len(asked) <= PING + 2 * sent + mounted + manifests, asked
    assert job["progress"]["blobs_reused"] == mounted


# --- every one of them -----------------------------------------------------------------------------------------------

NOT_OURS: dict[str, str] = {}


def test_every_case_and_every_gap_has_its_test() -> None:
    """Numbers and letters stand in the names of the tests, or here with the reason why they are not Tarmac's."""
    found: set[str] = set(NOT_OURS)
    for file in ("test_seed_cases.py", "test_seed_pushes.py"):
        for name in re.findall(r"def test_((?:case|gap)s?_\w+)\(", Path(__file__).with_name(file).read_text()):
            found |= set(told(name))
    wanted = {str(number) for number in range(1, 44)} | set("abcdefghijklmnopqrstuvwxyz")
    assert wanted - found == set()
    assert found - wanted == set()


def told(name: str) -> Iterator[str]:
    """`cases_29_to_31_…` 29, 30, 31; `gaps_f_and_g_…` f, g; `cases_26_27_and_37_…` 26, 27, 37."""
    kind, *words = name.split("_")
    member = re.compile(r"\d\d" if kind.startswith("case") else "[a-z]")
    previous = 0
    for place, word in enumerate(words):
        if member.fullmatch(word) and (kind.endswith("s") or place == 0):
            first = previous + 1 if place and words[place - 1] == "to" else None
            yield from (str(number) for number in range(first, int(word))) if first else ()
            previous = int(word) if word.isdigit() else 0
            yield str(previous) if word.isdigit() else word
        elif word not in ("to", "and"):
            return
