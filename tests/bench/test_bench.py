"""The harness's own parts. What it measures is never asserted."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.bench import bars, report
from tests.bench.curves import drawn, sparse_archive
from tests.bench.inputs import docker_archive
from tests.bench.layers import Layer, blob_of, gzipped, write_layer
from tests.bench.load import percentile
from tests.bench.sinks import LENGTH


def judged(parts: dict[str, Any], words: str) -> bars.Verdict:
    return next(verdict for verdict in bars.verdicts(parts) if verdict.bar == words)


def test_a_promise_is_met_from_its_limit_on() -> None:
    parts = {"docker": {"rows": [{"name": "Tarmac, path", "wall": 1.0}, {"name": "crane push", "wall": 5.0}]}}
    assert judged(parts, "≥ 5 × faster than crane push").met is True
    parts["docker"]["rows"][1]["wall"] = 4.99
    assert judged(parts, "≥ 5 × faster than crane push").met is False


def test_a_promise_without_figures_is_not_judged() -> None:
    parts = {"docker": {"rows": [{"name": "Tarmac, path", "wall": 1.0}, {"name": "skopeo copy", "error": "no"}]}}
    assert judged(parts, "≥ 5 × faster than crane push").met is None
    assert judged(parts, "≥ 2 × faster than skopeo copy").met is None


def test_a_promise_of_at_most_is_broken_above_it() -> None:
    assert judged({"load": {"p99": 0.05}}, "p99 ≤ 50 ms").met is True
    assert judged({"load": {"p99": 0.06}}, "p99 ≤ 50 ms").met is False


def test_the_floor_is_the_best_of_the_bare_clients() -> None:
    names = ("Tarmac, path", "bare client, 1 at once", "bare client, 2 at once", "bare client, 4 at once")
    walls = (1.2, 2.0, 1.0, 1.5)
    part = {"rows": [{"name": name, "wall": wall} for name, wall in zip(names, walls, strict=True)]}
    assert bars.over_the_floor("oci")({"oci": part}) == 1.2


def test_p99_is_a_value_that_was_measured() -> None:
    ordered = [float(value) for value in range(1, 201)]
    assert (percentile(ordered, 50), percentile(ordered, 99), percentile([7.0], 99)) == (100.0, 198.0, 7.0)


def test_what_stands_around_the_tables_is_kept() -> None:
    once = report.into("# Measured\n\nby hand\n", "one")
    again = report.into(f"{once}\nafter\n", "two")
    assert again.startswith("# Measured\n\nby hand\n")
    assert again.endswith("\nafter\n")
    assert "two" in again
    assert "one" not in again


def test_the_curves_are_a_picture_with_a_point_for_each_figure() -> None:
    points = [{"x": x, "bytes": 1e6 * x, "wall": 0.1 * x, "memory": 1e8} for x in (1, 10, 100)]
    root = ElementTree.fromstring(drawn({"images": {"points": points}}))
    assert len(root.findall(".//{*}circle")) == 2 * len(points)
    assert drawn({}) == ""


def test_a_layer_is_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    source = tmp_path / "program"
    source.write_bytes(b"program" * 1000)
    found = []
    for name in ("one", "two"):
        plain = tmp_path / f"{name}.tar"
        write_layer(plain, [source])
        found.append((blob_of(plain).digest, blob_of(gzipped(plain)).digest))
    assert found[0] == found[1]


def test_a_layer_of_several_images_is_one_member(tmp_path: Path) -> None:
    source = tmp_path / "program"
    source.write_bytes(b"program")
    write_layer(tmp_path / "layer.tar", [source])
    layer = Layer(blob_of(tmp_path / "layer.tar"), blob_of(gzipped(tmp_path / "layer.tar")))
    made = docker_archive(tmp_path / "docker.tar", {"bench/a:1": [layer], "bench/b:1": [layer]})
    with tarfile.open(made.path) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) == 4


def test_a_sparse_archive_is_a_tar_with_a_layer_that_has_its_diff_id(tmp_path: Path) -> None:
    made = sparse_archive(tmp_path / "sparse.tar", 3_000_001)
    with tarfile.open(made.path) as tar:
        layer = tar.extractfile("layer.tar")
        assert layer is not None
        plain = tmp_path / "layer.tar"
        plain.write_bytes(layer.read())
        config = tar.extractfile(tar.getnames()[0])
        assert config is not None
        assert blob_of(plain).digest.encode() in config.read()
    with tarfile.open(plain) as inner:
        assert inner.getmember("zeros").size == 3_000_001


def test_the_length_of_a_request_is_found_in_any_case() -> None:
    found = LENGTH.search(b"POST / HTTP/1.1\r\nHOST: a\r\nContent-LENGTH: 42\r\n")
    assert found is not None
    assert found[1] == b"42"
