"""Packaged Helm charts: found out while they are received, kept as they were sent, pushed as helm does."""

from __future__ import annotations

import base64
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.archive import Archive, index_file, open_archive
from app.archive.formats import helm_chart
from app.archive.formats.helm_chart import CHART_CONFIG, CHART_LAYER, PROVENANCE_LAYER
from app.archive.helm import package as chart
from app.archive.ingest import IngestStream
from app.archive.yaml import MAX_BYTES
from app.errors import ArchiveError, LimitExceeded, MalformedArchive, TruncatedArchive, UnknownFormat
from app.oci import Manifest
from app.push import Destination, PushOptions, make_plan
from tests.support.archives import Member, docker_save, image, sha256, tar, wrap
from tests.support.helm import CHART_YAML, packaged
from tests.support.opening import opened, read, taken_in

DATA = Path(__file__).parents[2] / "data"
REAL = DATA / "corpus" / "other-helm-chart.tgz"


def manifest_of(archive: Archive) -> Manifest:
    (manifest,) = archive.manifests.values()
    return manifest


def config_of(archive: Archive) -> dict[str, Any]:
    config = manifest_of(archive).config
    assert config is not None
    assert config.data is not None
    members: dict[str, Any] = json.loads(config.data)
    return members


@pytest.mark.parametrize("data", [packaged(), REAL.read_bytes()])
def test_the_layer_is_the_file_as_it_was_sent(data: bytes) -> None:
    index, source = taken_in(data)
    archive = open_archive(index, source)
    manifest = manifest_of(archive)
    (layer,) = manifest.layers
    extent = archive.blobs[layer.digest]
    assert archive.format == "helm-chart"
    assert source.read_at(extent.offset, extent.size) == data
    assert (str(layer.digest), layer.size, layer.media_type) == (sha256(data), len(data), CHART_LAYER)
    assert manifest.config is not None
    assert manifest.config.media_type == CHART_CONFIG


def test_the_name_is_the_charts_and_a_plus_becomes_an_underscore() -> None:
    (entry,) = opened(packaged()).images
    assert (entry.paths, entry.names) == (("podinfo:6.0.0_build.1",), ())


def test_the_config_is_chart_yaml_as_json() -> None:
    archive = opened(packaged())
    assert config_of(archive) == {
        "apiVersion": "v2",
        "name": "podinfo",
        "version": "6.0.0+build.1",
        "appVersion": "6.0",
        "description": "A small web application",
        "home": "https://example.com",
        "keywords": ["demo"],
        "maintainers": [{"name": "someone", "email": "someone@example.com"}],
        "dependencies": [{"name": "redis", "version": "1.0.0", "repository": "", "enabled": True}],
    }
    assert manifest_of(archive).annotations == {
        "org.opencontainers.image.title": "podinfo",
        "org.opencontainers.image.version": "6.0.0+build.1",
        "org.opencontainers.image.description": "A small web application",
        "org.opencontainers.image.url": "https://example.com",
        "org.opencontainers.image.authors": "someone (someone@example.com)",
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
    }
    assert archive.notes == ()


def test_the_spool_has_a_tar_that_is_understood_again_after_a_restart() -> None:
    _, source = taken_in(packaged())
    with tarfile.open(fileobj=io.BytesIO(source.data)) as spooled:
        assert spooled.getnames() == ["podinfo.tgz"]
    again = open_archive(index_file(source, len(source.data)), source)
    assert manifest_of(again).descriptor == manifest_of(opened(packaged())).descriptor


def test_any_pieces_give_the_same() -> None:
    data = packaged(more={"README.md": random.Random(1).randbytes(5000)})
    whole = IngestStream()
    expected = b"".join((*whole.feed(data), *whole.finish()))
    for size in (1, 7, 1000):
        intake = IngestStream()
        plain = [piece for start in range(0, len(data), size) for piece in intake.feed(data[start : start + size])]
        assert b"".join((*plain, *intake.finish())) == expected
        assert (intake.digest, intake.received) == (whole.digest, len(data))


def test_several_charts_in_a_tar_are_several_artifacts() -> None:
    other = packaged(CHART_YAML.replace(b"name: podinfo", b"name: other"), "other")
    archive = opened(tar([Member("podinfo-6.0.0.tgz", packaged()), Member("other-6.0.0.tgz", other)]))
    assert [entry.paths for entry in archive.images] == [("podinfo:6.0.0_build.1",), ("other:6.0.0_build.1",)]


def test_members_that_cannot_be_read_are_left_out_and_told() -> None:
    archive = opened(packaged(CHART_YAML + b"sources: [*x]\nicon: 'a b'\n"))
    assert "sources" not in config_of(archive)
    assert config_of(archive)["icon"] == "a b"
    assert "Chart.yaml" in archive.notes[0]
    assert "alias" in archive.notes[0]


@pytest.mark.parametrize(
    "chart_yaml",
    [
        b"- a\n",
        b"",
        b"name: a\n",
        b"version: 1.0.0\n",
        b"name:\n  - a\nversion: 1.0.0\n",
        b"name: *a\nversion: 1.0.0\n",
    ],
)
def test_a_chart_without_a_name_and_a_version_is_refused(chart_yaml: bytes) -> None:
    with pytest.raises(MalformedArchive):
        opened(packaged(chart_yaml))


@pytest.mark.parametrize(
    "line",
    [
        "home: [b]",
        "keywords: a",
        "keywords: {a: b}",
        "maintainers: [a]",
        "maintainers: [{name: [a]}]",
        "maintainers:\n-\n",
        "deprecated: 'true'",
        "deprecated: 1",
        "annotations: [a]",
        "annotations: {a: [b]}",
        "dependencies: {a: b}",
        "dependencies: [{name: a, import-values: [.inf]}]",
        "sources: !!seq [a]",
        "<<: {home: a}",
        "[a]: b",
        "home: 'a",
        f"home: {'[' * 20}",
    ],
)
def test_no_member_but_name_and_version_refuses_a_chart(line: str) -> None:
    archive = opened(packaged(f"name: a\nversion: 1.0.0\n{line}\n".encode()))
    assert config_of(archive) == {"name": "a", "version": "1.0.0", "apiVersion": "v1"}
    assert archive.images[0].paths == ("a:1.0.0",)
    assert "Chart.yaml" in archive.notes[0]


@pytest.mark.parametrize("line", ["unknown: {a: [b]}", "engine: gotpl", "home: ~", "type: other", "apiVersion: v9"])
def test_what_helm_does_not_know_is_no_matter(line: str) -> None:
    archive = opened(packaged(f"name: a\nversion: 1.0.0\n{line}\n".encode()))
    assert archive.notes == ()
    assert "unknown" not in config_of(archive)


PUSHED: dict[str, dict[str, str]] = json.loads((DATA / "helm" / "pushed.json").read_text())


@pytest.mark.parametrize("case", sorted(PUSHED))
def test_config_annotations_and_digest_are_those_of_helm_push(case: str) -> None:
    expected = PUSHED[case]
    tgz = base64.b64decode(expected["tgz"])
    beside = [Member("sample.tgz.prov", expected["prov"].encode())] if "prov" in expected else []
    archive = opened(tar([Member("sample.tgz", tgz), *beside]) if beside else tgz)
    manifest = manifest_of(archive)
    assert manifest.config is not None
    assert manifest.config.data is not None
    assert manifest.config.data.decode() == expected["config"]
    assert manifest.raw.decode() == expected["manifest"]
    assert archive.images[0].paths == (f"sample:{expected['tag']}",)
    assert archive.notes == ()


@pytest.mark.parametrize("stamp", [b"77777777777\0", b"\x80" + bytes(11), b" " * 12])
def test_any_time_of_packaging_is_taken(stamp: bytes) -> None:
    plain = bytearray(tar([Member("a/Chart.yaml", b"name: a\nversion: 1.0.0\n")]))
    plain[136:148] = stamp
    plain[148:156] = b" " * 8
    plain[148:156] = b"%06o\0 " % sum(plain[:512])
    annotations = manifest_of(opened(wrap(bytes(plain), "gzip"))).annotations
    assert annotations["org.opencontainers.image.created"] in {"1970-01-01T00:00:00Z", "2242-03-16T12:56:31Z"}


def test_charts_of_a_repository_are_pushed_with_their_provenance() -> None:
    other = packaged(CHART_YAML.replace(b"name: podinfo", b"name: other"), "other")
    members = [
        Member("charts/index.yaml", b"apiVersion: v1\n"),
        Member("charts/podinfo-6.0.0.tgz", packaged()),
        Member("charts/podinfo-6.0.0.tgz.prov", b"signed"),
        Member("charts/old/other-6.0.0.tgz", other),
    ]
    archive = opened(tar(members))
    assert [entry.paths for entry in archive.images] == [("podinfo:6.0.0_build.1",), ("other:6.0.0_build.1",)]
    layers = [{layer.media_type for layer in manifest.layers} for manifest in archive.manifests.values()]
    assert layers == [{CHART_LAYER, PROVENANCE_LAYER}, {CHART_LAYER}]
    assert all(layer.digest in archive.blobs for manifest in archive.manifests.values() for layer in manifest.layers)
    assert archive.notes == ()


def test_what_stands_beside_charts_is_told() -> None:
    names = ("README.md", "LICENSE", "other.tgz.prov", "SHA256SUMS", "values.yaml")
    archive = opened(tar([Member("podinfo.tgz", packaged()), *(Member(name, b"x") for name in names)]))
    assert [note.endswith(f": {', '.join(names)}") for note in archive.notes] == [True]


@pytest.mark.parametrize(
    "members",
    [
        [Member("podinfo/values.yaml", b""), Member("podinfo/Chart.yaml", CHART_YAML)],
        [*(Member(f"podinfo/d{n}", directory=True) for n in range(100)), Member("podinfo/Chart.yaml", CHART_YAML)],
        [Member("podinfo/templates/a", random.Random(1).randbytes(30_000)), Member("podinfo/Chart.yaml", CHART_YAML)],
        [Member("podinfo\\values.yaml", b""), Member("podinfo\\Chart.yaml", CHART_YAML)],
    ],
)
def test_a_chart_that_was_packed_by_hand_is_a_chart_too(members: list[Member]) -> None:
    sent = wrap(tar(members), "gzip")
    for data in (sent, tar([Member("podinfo.tgz", sent)])):
        archive = opened(data)
        assert [entry.paths for entry in archive.images] == [("podinfo:6.0.0_build.1",)]
        assert str(manifest_of(archive).layers[0].digest) == sha256(sent)


@pytest.mark.parametrize(
    "data",
    [
        wrap(tar([Member("a/podinfo/Chart.yaml", CHART_YAML)]), "gzip"),
        wrap(tar([Member("x", b""), Member("podinfo/Chart.yaml", CHART_YAML)]), "gzip"),
        wrap(tar([Member("other/x", b""), Member("podinfo/Chart.yaml", CHART_YAML)]), "gzip"),
        wrap(tar([Member("podinfo/Chart.yaml", CHART_YAML)]), "zstd"),
        tar([Member("podinfo/Chart.yaml", CHART_YAML)]),
        tar([Member("a.tgz", wrap(tar([Member("x", b"x")]), "gzip"))]),
        tar([Member("a.tgz", wrap(b"no tar" * 1000, "gzip"))]),
        tar([Member("a.tgz", b"no gzip")]),
        tar([Member("a.tgz", wrap(tar([Member("d", directory=True)] * 200), "gzip"))]),
        tar([Member("podinfo.tgz", packaged()), Member("images.tar", tar([Member("x", b"x")]))]),
        tar([Member("podinfo.tgz", packaged()), Member("podinfo/Chart.yaml", CHART_YAML)]),
        tar([Member("podinfo.tgz", packaged()), Member("src/main.py", b"")]),
        tar([Member("podinfo.tgz.prov", b"signed")]),
        wrap(tar([]), "gzip"),
    ],
)
def test_what_helm_would_not_have_packaged_is_no_chart(data: bytes) -> None:
    with pytest.raises(UnknownFormat):
        opened(data)


def test_what_turns_out_to_be_no_chart_reaches_the_spool_whole() -> None:
    plain = tar([*(Member(f"d{number}", directory=True) for number in range(10_000)), Member("x", b"x" * 3000)])
    for data in (plain, tar([Member("d", directory=True)])):
        intake = IngestStream()
        assert b"".join((*intake.feed(wrap(data, "gzip")), *intake.finish())) == data
        assert intake.index.size == len(data)


def test_a_chart_that_is_cut_off_is_told() -> None:
    with pytest.raises(TruncatedArchive):
        opened(packaged()[:-20])
    with pytest.raises(TruncatedArchive):
        opened(tar([Member("podinfo.tgz", packaged()[:-9])]))


def test_a_chart_is_not_held_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packaged(more={"noise": random.Random(1).randbytes(100_000)})
    monkeypatch.setattr(chart, "MAX_CHART_BYTES", 50_000)
    intake = IngestStream()
    pieces = (piece for start in range(0, len(data), 1000) for piece in intake.feed(data[start : start + 1000]))
    with pytest.raises(LimitExceeded, match="50000 bytes"):
        list(pieces)


def test_a_chart_is_not_unpacked_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packaged(more={"zeros": bytes(3 << 20)})
    monkeypatch.setattr(chart, "MAX_UNPACKED_BYTES", 2 << 20)
    with pytest.raises(LimitExceeded):
        opened(data)


def test_charts_in_a_tar_are_bounded_in_number_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar([Member("a.tgz", packaged()), Member("b.tgz", packaged())])
    monkeypatch.setattr(helm_chart, "MAX_TOTAL_BYTES", 15_000)
    with pytest.raises(LimitExceeded):
        opened(data)
    monkeypatch.setattr(helm_chart, "MAX_CHARTS", 1)
    with pytest.raises(UnknownFormat):
        opened(data)


def test_a_chart_whose_chart_yaml_comes_late_is_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    late = [Member("a/x", random.Random(1).randbytes(50_000)), Member("a/Chart.yaml", CHART_YAML)]
    sent = wrap(tar(late), "gzip")
    assert taken_in(sent)[0].roots == ("a.tgz",)
    monkeypatch.setattr(chart, "MAX_AHEAD", 20_000)
    monkeypatch.setattr(chart, "MAX_HEAD_UNPACKED", 20_000)
    intake = IngestStream()
    pieces = [piece for start in range(0, len(sent), 1000) for piece in intake.feed(sent[start : start + 1000])]
    assert b"".join((*pieces, *intake.finish())) == tar(late)
    with pytest.raises(UnknownFormat):
        opened(tar([Member("a.tgz", sent)]))


def test_a_file_of_a_chart_that_is_too_large_is_refused() -> None:
    for name in ("Chart.yaml", "requirements.yaml"):
        large = b"name: a\nversion: 1.0.0\n" + b"#" * MAX_BYTES
        files = {"Chart.yaml": CHART_YAML} | {name: large}
        members = [Member(f"a/{file}", content) for file, content in files.items()]
        with pytest.raises(LimitExceeded):
            opened(wrap(tar(members), "gzip"))


# --- several charts of which some are damaged ------------------------------------------------------------------------

GOOD = packaged()
NO_NAME = wrap(tar([Member("x/Chart.yaml", b"description: none\n")]), "gzip")
DAMAGED = {
    "cut.tgz": (GOOD[: len(GOOD) - 40], "truncated_archive"),
    "nameless.tgz": (NO_NAME, "malformed_archive"),
    "text.tgz": (b"not found", "malformed_archive"),
    "other.tgz": (wrap(tar([Member("notes/readme", b"x")]), "gzip"), "malformed_archive"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_chart_refuses_itself_alone(name: str) -> None:
    content, code = DAMAGED[name]
    archive = read(tar([Member("good.tgz", GOOD), Member(name, content)]))
    good, bad = archive.images
    assert (good.fault, good.paths) == (None, ("podinfo:6.0.0_build.1",))
    assert bad.fault is not None
    assert bad.fault.error.code == code
    assert name in bad.fault.message


def test_all_damaged_charts_are_named() -> None:
    members = [Member(name, content) for name, (content, _) in DAMAGED.items()]
    archive = read(tar([Member("good.tgz", GOOD), *members]))
    with pytest.raises(ArchiveError) as raised:
        make_plan([archive], PushOptions(), Destination("default", "registry.test"))
    assert [name in str(raised.value) for name in DAMAGED] == [True] * len(DAMAGED)
    plan = make_plan([archive], PushOptions(keep_going=True), Destination("default", "registry.test"))
    assert (len(plan.images), sorted(plan.refused)) == (5, [1, 2, 3, 4])


def test_images_beside_charts_are_no_charts() -> None:
    images = Member("images.tgz", wrap(docker_save([image({"a": b"1"})]), "gzip"))
    with pytest.raises(UnknownFormat, match=r"images\.tgz"):
        read(tar([Member("good.tgz", GOOD), images]))
