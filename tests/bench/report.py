"""results.json -> the tables of RESULTS.md, between two marks; what stands around them is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.bars import Parts, verdicts

FOLDER = Path(__file__).parent
RESULTS, TABLES, PICTURE = FOLDER / "results.json", FOLDER / "RESULTS.md", FOLDER / "curves.svg"
BEGIN, END = "<!-- written by make bench -->", "<!-- end of what make bench writes -->"
TITLES = {
    "docker": "One image of plain layers as a docker archive, first push",
    "oci": "The same layers in gzip as an OCI archive, first push",
    "fleet": "24 images on one base in one docker archive, first push",
    "small": "300 small images as an OCI archive, first push",
    "bundle": "The same 300 images as a mindthegap bundle, first push",
    "again": "The docker archive once more, and to a second repository",
    "upload": "Receiving: `curl -F` of the docker archive",
    "pullable": "From the last byte of the upload until the tag can be pulled",
}


def markdown(results: Mapping[str, Any]) -> str:
    parts: Parts = results["parts"]
    blocks = [_promises(parts)]
    blocks += [_table(name, parts[name]) for name in TITLES if name in parts]
    blocks += [_load(parts["load"])] if "load" in parts else []
    blocks += [_rest(parts["rest"])] if "rest" in parts else []
    blocks += [_curves(parts)] if any(name in parts for name in ("images", "sizes", "jobs")) else []
    blocks += [_store(parts["store"])] if "store" in parts else []
    blocks += [_opening(parts["opening"])] if "opening" in parts else []
    blocks.append(_when(parts))
    return "\n\n".join(blocks)


def into(text: str, tables: str) -> str:
    """`text` with `tables` between the marks; the marks are added at the end where they are not there yet."""
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _promises(parts: Parts) -> str:
    words = {True: "yes", False: "**no**", None: "–"}
    rows = [(verdict.work, verdict.bar, verdict.measured, words[verdict.met]) for verdict in verdicts(parts)]
    return f"## What is promised, and what was measured\n\n{grid(('work', 'bar', 'measured', 'met'), rows)}"


def _table(name: str, part: Mapping[str, Any]) -> str:
    size = part.get("input", {}).get("bytes")
    told = f"The archive has {size / 1e6:.0f} MB.\n\n" if size else ""
    return f"## {TITLES[name]}\n\n{told}{_rows(part['rows'])}"


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    if all("seconds" in row for row in rows):
        return grid(("what", "seconds"), [(row["name"], f"{row['seconds']:.2f}") for row in rows])
    if all("rate" in row for row in rows):
        lines = [(row["name"], f"{row['wall']:.2f} s", f"{row['rate'] / 1e6:.0f}") for row in rows]
        return grid(("into", "wall", "MB/s"), lines)
    best = min(row["wall"] for row in rows if "wall" in row)
    head = ("way", "wall", "÷ best", "CPU", "registry's CPU", "peak memory", "received", "stored", "requests")
    return grid(head, [_cells(row, best) for row in rows])


def _cells(row: Mapping[str, Any], best: float) -> tuple[str, ...]:
    if "error" in row:
        return (row["name"], "failed", *("–",) * 7)
    return (
        row["name"],
        f"{row['wall']:.2f} s",
        f"{row['wall'] / best:.2f}",
        f"{row['cpu']:.2f} s",
        f"{row['registry_cpu']:.2f} s",
        f"{row['memory'] / 1e6:.0f} MB",
        f"{row['received'] / 1e6:.1f} MB",
        f"{row['stored'] / 1e6:.1f} MB",
        f"{row['requests']:.0f}",
    )


def _load(part: Mapping[str, Any]) -> str:
    size = part["input"]["bytes"] / 1e6
    return (
        f"## {part['input']['archives']} uploads and pushes at once, {size:.0f} MB together\n\n"
        f"{part['wall']:.1f} s, {part['cpu']:.1f} s of CPU, peak memory {part['memory'] / 1e6:.0f} MB. "
        f"`GET /jobs` meanwhile, {part['asked']:.0f} times: p50 {part['p50'] * 1e3:.1f} ms, "
        f"p99 {part['p99'] * 1e3:.1f} ms, slowest {part['slowest'] * 1e3:.1f} ms."
    )


def _rest(part: Mapping[str, Any]) -> str:
    return (
        f"## At rest\n\nStart to ready {part['start']:.2f} s; idle {part['idle'] * 100:.2f} % of a core; "
        f"resident {part['memory'] / 1e6:.0f} MB."
    )


def _curves(parts: Parts) -> str:
    lines = [
        (name, f"{point['x']:,g}", f"{point['bytes'] / 1e6:,.0f} MB", *_point(point))
        for name in ("images", "sizes", "jobs")
        for point in parts.get(name, {}).get("points", ())
    ]
    table = grid(("curve", "images, MB or jobs", "archives", "wall", "CPU", "peak memory", "requests"), lines)
    return f"## How it grows\n\n![curves](curves.svg)\n\n{table}"


def _point(point: Mapping[str, float]) -> tuple[str, ...]:
    memory = f"{point['memory'] / 1e6:.0f} MB"
    return f"{point['wall']:.2f} s", f"{point['cpu']:.2f} s", memory, f"{point['requests']:.0f}"


def _store(part: Mapping[str, Any]) -> str:
    asked = {name: each for name, each in part.items() if isinstance(each, dict) and "median" in each}
    rows = [
        (name.replace("_", ", "), *(f"{each[figure]:.2f} ms" for figure in ("median", "p99", "cpu")))
        for name, each in asked.items()
    ]
    return (
        f"## The job store with {part['jobs']:,} jobs, {part['queued']:,} of them queued\n\n"
        f"From the start until jobs are taken: {part['ready']:.2f} s.\n\n"
        f"{grid(('asked for', 'median', 'p99', 'CPU'), rows)}"
    )


def _opening(part: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            *(f"{each[figure]:,}" for figure in ("images", "members", "header_reads", "document_reads")),
            f"{each['seconds']:.3f} s",
        )
        for name, each in part.items()
        if isinstance(each, dict) and "members" in each
    ]
    head = ("archive", "images", "members", "reads for headers", "reads for documents", "CPU")
    return f"## Opening an archive of 300 images\n\n{grid(head, rows)}"


def _when(parts: Parts) -> str:
    rows = [
        (name, part["at"], f"{part['runs']}", f"{part['load'][0]:.1f} → {part['load'][1]:.1f}", part["commit"])
        for name, part in parts.items()
    ]
    return (
        "## When\n\nThe load average before and after each part: much above 2 says that others used the machine.\n\n"
        f"{grid(('part', 'when', 'runs', 'load', 'commit'), rows)}\n\n{_machine(parts)}"
    )


def _machine(parts: Parts) -> str:
    newest = max(parts.values(), key=lambda part: str(part["at"]))
    peers: dict[str, str] = {}
    for part in parts.values():
        peers |= part["machine"].get("peers", {})
    return "\n".join(_facts({**newest["machine"], "peers": peers}))


def _facts(machine: Mapping[str, Any]) -> Iterator[str]:
    for name, value in machine.items():
        shown = ", ".join(f"{key}: {text}" for key, text in value.items()) if isinstance(value, dict) else value
        yield f"- {name}: {shown}"
