"""What is promised about speed, held against what was measured: a line for each promise, met or not.

`Parts` is what results.json has: part -> its figures. A promise whose figures are not there is not judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

Parts = Mapping[str, Any]
TARMAC = "Tarmac, path"
FORM = "Tarmac, curl -F"


class NotMeasured(Exception):
    """The part was not run, or what it needs is not on PATH."""


@dataclass(frozen=True, slots=True)
class Verdict:
    work: str
    bar: str
    measured: str
    met: bool | None  # None: not measured


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` gives the measured figure, `limit` the promise: at least so much, or at most with `at_most`."""

    work: str
    words: str
    value: Callable[[Parts], float]
    limit: float
    at_most: bool = False
    unit: str = " ×"

    def judge(self, parts: Parts) -> Verdict:
        try:
            value = self.value(parts)
        except NotMeasured as reason:
            return Verdict(self.work, self.words, f"not measured: {reason}", None)
        met = value <= self.limit if self.at_most else value >= self.limit
        return Verdict(self.work, self.words, f"{_figure(value)}{self.unit}", met)


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def row(parts: Parts, part: str, name: str) -> Mapping[str, Any]:
    """The row whose name begins so. Raises NotMeasured."""
    for item in parts.get(part, {}).get("rows", ()):
        if item["name"].startswith(name):
            if "error" in item:
                raise NotMeasured(f"{item['name']} failed")
            found: Mapping[str, Any] = item
            return found
    raise NotMeasured(f"{part}: no {name}")


def times_faster(part: str, peer: str, way: str = TARMAC) -> Callable[[Parts], float]:
    return lambda parts: float(row(parts, part, peer)["wall"] / row(parts, part, way)["wall"])


def share(part: str, figure: str, peer: str, way: str = TARMAC) -> Callable[[Parts], float]:
    """Tarmac's figure as a share of the peer's."""
    return lambda parts: float(row(parts, part, way)[figure] / row(parts, part, peer)[figure])


def figure_of(part: str, name: str, key: str) -> Callable[[Parts], float]:
    return lambda parts: float(row(parts, part, name)[key])


def total(part: str, key: str, scale: float = 1.0) -> Callable[[Parts], float]:
    def value(parts: Parts) -> float:
        if key not in parts.get(part, {}):
            raise NotMeasured(f"{part} was not run")
        return float(parts[part][key]) * scale

    return value


def over_the_floor(part: str) -> Callable[[Parts], float]:
    """Tarmac's time as a share of the best bare client's."""

    def value(parts: Parts) -> float:
        floors = [row(parts, part, f"bare client, {jobs}")["wall"] for jobs in (1, 2, 4)]
        return float(row(parts, part, TARMAC)["wall"] / min(floors))

    return value


def upload_share(sink: str) -> Callable[[Parts], float]:
    """Tarmac's rate as a share of what goes into `sink`."""
    return lambda parts: float(row(parts, "upload", "Tarmac")["rate"] / row(parts, "upload", sink)["rate"])


def requests_per_blob(part: str) -> Callable[[Parts], float]:
    """Of a first push: all requests, those for manifests and tags too, over the blobs that are new to the registry."""

    def value(parts: Parts) -> float:
        requests = row(parts, part, TARMAC)["requests"]
        return float(requests / max(1, parts[part]["input"]["blobs"]))

    return value


def memory_growth(parts: Parts) -> float:
    """MiB, from 100 MB to the largest archive."""
    points = parts.get("sizes", {}).get("points", ())
    if len(points) < 3:
        raise NotMeasured("sizes was not run")
    return float(points[-1]["memory"] - points[1]["memory"]) / 2**20


DOCKER, OCI, FLEET = "docker archive, plain layers", "OCI archive, gzip layers", "24 images on one base"
AGAIN, SMALL, LAG = "the same again", "300 small images", "last byte → pullable"
SENT = ("docker, plain layers", "docker, one plain layer", "OCI, gzip")
PACES = ("at 1 Gbit/s", "as fast as it is taken")
BARS = (
    Bar(DOCKER, "≥ 5 × faster than crane push", times_faster("docker", "crane"), 5),
    Bar(DOCKER, "≥ 2 × faster than skopeo copy", times_faster("docker", "skopeo"), 2),
    Bar(DOCKER, "stored ≤ crane's", share("docker", "stored", "crane"), 1, at_most=True),
    Bar(DOCKER, "stored ≤ 1.15 × skopeo's", share("docker", "stored", "skopeo"), 1.15, at_most=True),
    Bar(f"{DOCKER}, zstd", "stored < crane's", share("docker", "stored", "crane", "Tarmac, path, zstd"), 1, True),
    Bar(f"{DOCKER}, zstd", "stored < skopeo's", share("docker", "stored", "skopeo", "Tarmac, path, zstd"), 1, True),
    Bar(f"{DOCKER}, zstd", "faster than crane", times_faster("docker", "crane", "Tarmac, path, zstd"), 1),
    Bar(f"{DOCKER}, zstd", "faster than skopeo", times_faster("docker", "skopeo", "Tarmac, path, zstd"), 1),
    Bar(AGAIN, "≤ 0.3 s", figure_of("again", f"{TARMAC}: again", "wall"), 0.3, True, " s"),
    Bar(AGAIN, "no layer sent (bytes received)", figure_of("again", f"{TARMAC}: again", "received"), 1e5, True, " B"),
    Bar(f"{AGAIN}, second repository", "≤ 0.3 s", figure_of("again", f"{TARMAC}: second", "wall"), 0.3, True, " s"),
    Bar(
        f"{AGAIN}, second repository",
        "no layer sent (bytes received)",
        figure_of("again", f"{TARMAC}: second", "received"),
        1e5,
        True,
        " B",
    ),
    Bar(FLEET, "≥ 1.5 × faster than 24 skopeo copy", times_faster("fleet", "skopeo"), 1.5),
    Bar(FLEET, "≥ 40 × faster than mindthegap", times_faster("fleet", "mindthegap"), 40),
    Bar(OCI, "≤ 1.1 × of sending the blobs alone", over_the_floor("oci"), 1.1, True),
    *(Bar(OCI, f"faster than {peer}", times_faster("oci", peer), 1) for peer in ("crane", "skopeo", "oras", "regctl")),
    Bar(f"{SMALL}, bundle", "≥ 20 × faster than mindthegap", times_faster("bundle", "mindthegap"), 20),
    Bar(f"{SMALL}, OCI", "≥ 3 × faster than mindthegap", times_faster("small", "mindthegap"), 3),
    Bar(
        f"{SMALL}, OCI", "about 3 requests for a new blob, all requests counted", requests_per_blob("small"), 3.5, True
    ),
    Bar("upload", "≥ 80 % of a sink that reads the form and writes a file", upload_share("sink: uvicorn"), 0.8),
    Bar("upload", "≥ 80 % of a bare socket written to a file", upload_share("sink: bare"), 0.8),
    *(
        Bar(f"{LAG}: {way}", "≤ 1 s", figure_of("pullable", way, "seconds"), 1, True, " s")
        for way in map(", ".join, product(SENT, ("PUT", "form", "resumable"), PACES))
    ),
    Bar("memory, 8 uploads and pushes at once", "≤ 150 MB", total("load", "memory", 1e-6), 150, True, " MB"),
    Bar("memory, 100 MB → the largest archive", "flat (≤ 10 MiB more)", memory_growth, 10, True, " MiB"),
    Bar("status requests at full load", "p99 ≤ 50 ms", total("load", "p99", 1e3), 50, True, " ms"),
    Bar("start", "≤ 1.5 s", total("rest", "start"), 1.5, True, " s"),
    Bar("idle", "CPU ≈ 0 (≤ 1 % of a core)", total("rest", "idle", 100), 1, True, " %"),
)


def verdicts(parts: Parts) -> Iterator[Verdict]:
    for bar in BARS:
        yield bar.judge(parts)
