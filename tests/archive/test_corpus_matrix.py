"""Every archive of the corpus in other forms means what it means as its tool wrote it, or is refused alike.

That the order of members does not count holds for what has each member once, and links that are resolved within the
archive; of the corpus nothing that is accepted has more (held below). Two members of one name, and hard links before
what they lead to, have tests of their own, and the packaged Helm chart is told by its first member."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.archive import Archive, DockerImage, ImageEntry, TarIndex, index_file, open_archive
from app.errors import TarmacError, UnknownFormat
from app.oci import Descriptor
from app.push.plan.completeness import with_faults
from app.push.report.inspection import inspect
from tests.archive.transformed import REWRITTEN, WRAPPED, Members, members_of
from tests.support import archives
from tests.support.opening import Memory, checked, opened, taken_in

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
FILES = tuple(sorted(path.name for path in CORPUS.iterdir() if path.name not in {"INDEX.md", "facts.json"}))
CHART = "other-helm-chart.tgz"
BOMB = "bad-bomb.tar.gz"  # too large to be unwrapped; bombs in every codec are among the hostile archives
MISLEADING = ("{}.jpg", "{}.zip", "{}.tar.gz", "{}.docx", "manifest.json.{}", "{}")
SPLIT = ("d20-save-one.tar", "mindthegap-bundle.tar", "outer-d29c-save-one.tar.xz", "buildx-oci-multi.tar", CHART)

Outcome = str | tuple[object, ...]  # the code of the error, or everything that the archive holds


def outcome(index: TarIndex, source: Memory) -> Outcome:
    try:
        archive = checked(open_archive(index, source))
    except TarmacError as error:
        return error.code
    return (
        archive.format,
        [_image(image, source) for image in archive.images],
        {digest: manifest.raw for digest, manifest in archive.manifests.items()},
        {digest: source.read_at(extent.offset, extent.size) for digest, extent in archive.blobs.items()},
        set(archive.notes),
    )


def _image(image: ImageEntry, source: Memory) -> tuple[object, ...]:
    told = (image.names, image.paths, image.bare_tags, image.platforms, image.referrers, image.attached)
    return (_root(image.root, source), image.original, *told)


def _root(root: Descriptor | DockerImage, source: Memory) -> object:
    if isinstance(root, Descriptor):
        return root
    layers = [
        (layer.diff_id, layer.compression, source.read_at(layer.extent.offset, layer.extent.size))
        for layer in root.layers
    ]
    return (root.config, root.oci, layers)


def outcome_of(data: bytes) -> Outcome:
    """As it is received."""
    try:
        return outcome(*taken_in(data))
    except TarmacError as error:
        return error.code


def outcome_of_file(plain: bytes) -> Outcome:
    """As a plain tar at a path of the server."""
    source = Memory(plain)
    return outcome(index_file(source, len(plain)), source)


def unwrapped(file: str) -> bytes:
    """The plain bytes in `file`; of one that is cut off or no tar, those that are there."""
    data = (CORPUS / file).read_bytes()
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(data)
    try:
        return taken_in(data)[1].data
    except TarmacError:
        return data


def rewritable(plain: bytes) -> Members:
    try:
        index, source = taken_in(plain)
        open_archive(index, source)
    except TarmacError as error:
        if error.code in {"truncated_archive", "unknown_format"}:
            return ()  # nothing to put in another order
    return members_of(plain)


def order_means_something(members: Members) -> bool:
    """With a member twice, or a hard link, it would be part of what the archive means."""
    counts = Counter(info.name.removeprefix("./") for info, _ in members)
    return max(counts.values()) > 1 or any(info.islnk() for info, _ in members)


def forms(plain: bytes) -> Iterator[tuple[str, bytes]]:
    yield from ((name, wrap(plain)) for name, wrap in WRAPPED.items())
    members = rewritable(plain)
    yield from ((name, rewrite(members)) for name, rewrite in REWRITTEN.items() if members)


@pytest.mark.parametrize("file", sorted(set(FILES) - {CHART, BOMB}))
def test_an_archive_in_another_form_means_the_same(file: str) -> None:
    plain = unwrapped(file)
    expected = outcome_of((CORPUS / file).read_bytes())
    for name, data in forms(plain):
        assert outcome_of(data) == expected, name
        if name in REWRITTEN:
            assert outcome_of_file(data) == expected, name
    assert isinstance(expected, str) or not order_means_something(members_of(plain))


def test_the_rewritten_archives_are_other_bytes() -> None:
    plain = unwrapped("odd-dotslash.tar")
    found = dict(forms(unwrapped("d20-save-multi.tar")))
    assert len({plain, *found.values()}) == 1 + len(WRAPPED) + len(REWRITTEN)
    headers = {name: taken_in(data)[0] for name, data in found.items() if name in REWRITTEN}
    assert len({tuple(index.members) for index in headers.values()}) == 3  # `./` is taken away, PAX says no other name
    assert b"./manifest.json" in found["./"]
    assert found["PAX"].count(b" comment=moved\n") == len(headers["PAX"].members)


# --- where the order, or the wrapping, is part of the meaning --------------------------------------------------------


@pytest.mark.parametrize("name", REWRITTEN)
def test_two_members_of_one_name_are_one_in_any_order_or_are_refused_in_any(name: str) -> None:
    members = archives.docker_members([archives.tagged(archives.image({"a": b"1"}), "a:1")])
    same = archives.tar([*members, members[-1]])
    other = archives.tar([*members, archives.Member("manifest.json", b"[]")])
    assert outcome_of(REWRITTEN[name](members_of(same))) == outcome_of(same) != "malformed_archive"
    assert outcome_of(REWRITTEN[name](members_of(other))) == outcome_of(other) == "malformed_archive"


def test_a_hard_link_before_what_it_leads_to_leads_there() -> None:
    """No other member has that name, so every reader that takes the archive finds the same bytes."""
    twice = archives.tagged(archives.image({"a": b"1"}, {"a": b"1"}), "a:1")
    data = archives.docker_save([twice], links="hardlink")
    assert any(info.islnk() for info, _ in members_of(data))
    assert outcome_of(REWRITTEN["reversed"](members_of(data))) == outcome_of(data)


def test_a_chart_is_one_as_long_as_gzip_wraps_it() -> None:
    plain = unwrapped(CHART)
    members = members_of(plain)
    for data in (plain, *(REWRITTEN[how](members) for how in ("./", "PAX", "reversed"))):
        archive = opened(WRAPPED["gzip"](data))
        assert (archive.format, archive.images[0].called) == ("helm-chart", ("chart:0.1.0",))
    for data in (WRAPPED[name](plain) for name in ("zstd", "xz", "bzip2")):
        with pytest.raises(UnknownFormat, match=r"\.tgz"):
            opened(data)


# --- names of files --------------------------------------------------------------------------------------------------


def told(archive: Archive, source: Memory) -> dict[str, Any]:
    document = inspect(archive, source)
    return {key: document[key] for key in ("format", "why", "producer", "notices")} | {"images": document["images"]}


def expected_of(file: str) -> Any:
    data = (CORPUS / file).read_bytes()
    try:
        index, source = taken_in(data)
        return told(with_faults(open_archive(index, source)), source)
    except TarmacError as error:
        return error.code


def inspected(files: list[Path], capsys: pytest.CaptureFixture[str]) -> list[Any]:
    main(["inspect", "--json", *map(str, files)])
    found = []
    for archive in json.loads(capsys.readouterr().out)["archives"]:
        if archive["problem"] is not None:
            found.append(archive["problem"]["code"])
            continue
        images = [{key: each for key, each in image.items() if key != "destinations"} for image in archive["images"]]
        found.append({key: archive[key] for key in ("format", "why", "producer", "notices")} | {"images": images})
    return found


def test_the_name_of_a_file_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meant = sorted(set(FILES) - {BOMB})
    files = [tmp_path / MISLEADING[number % len(MISLEADING)].format(number) for number in range(len(meant))]
    for path, file in zip(files, meant, strict=True):
        path.symlink_to(CORPUS / file)
    assert inspected(files, capsys) == [expected_of(file) for file in meant]


def test_an_archive_in_parts_means_what_it_means_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = []
    for number, file in enumerate(SPLIT):
        data = (CORPUS / file).read_bytes()
        size = len(data) // 3 + 1
        for part, start in enumerate(range(0, len(data), size)):
            parts.append(tmp_path / f"x{number}.tar.part{part}")
            parts[-1].write_bytes(data[start : start + size])
    assert len(parts) == 3 * len(SPLIT)
    assert inspected(parts, capsys) == [expected_of(file) for file in SPLIT]
