"""Directories and split archives as server paths, from the pattern to the registry."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.archive import DEFAULT_LIMITS
from app.errors import Conflict, MissingContent, PathNotFound
from app.jobs import JobRequest, JobState
from app.jobs.sources.continued_files import join_continued
from app.jobs.sources.split_files import join_parts
from app.push import PushOptions
from app.spool.disk import DiskSpool, stat_server_file
from tests.jobs.bench import APP, REQUEST, TWO, Bench, ended, upload
from tests.support.archives import Compress, entry, image, oci_image, oci_layout, sha256, tar, wrap
from tests.support.storage_tree import tree

STORAGE = tar(tree({"team/app": {"1": oci_image(image({"bin/app": b"stored" * 500}))}}))
LAYOUT = oci_layout([entry(oci_image(image({"bin/app": b"layout" * 500})), ref="example.com/team/layout:1")])


def joined(folder: Path, contents: dict[str, bytes], order: Sequence[str] = ()) -> list[tuple[str, int, int]]:
    """Name, size and number of parts of what `contents` become."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = [stat_server_file(str(folder / name)) for name in order or contents]
    spool = DiskSpool(folder / "spool")
    return [(Path(file.path).name, file.size, len(file.parts)) for file in join_parts(files, spool.open)]


def pieces(content: bytes, size: int, spelling: str = "x.tar.{:03}", first: int = 0) -> dict[str, bytes]:
    starts = range(0, len(content), size)
    return {spelling.format(number): content[at : at + size] for number, at in enumerate(starts, first)}


# --- which files become one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "first"),
    [
        ("x.tar.{:03}", 0),
        ("x.tar.{:03}", 1),
        ("x.tar.part{}", 1),
        ("x.tar.{:04}.chunk", 0),
    ],
)
def test_parts_become_one_in_natural_order(tmp_path: Path, spelling: str, first: int) -> None:
    contents = pieces(APP, len(APP) // 11, spelling, first)
    found = joined(tmp_path, contents | {"other.tar": TWO}, [*sorted(contents), "other.tar"])
    assert found == [("x.tar", len(APP), len(contents)), ("other.tar", len(TWO), 0)]


def continued(folder: Path, contents: dict[str, bytes]) -> list[list[str]]:
    """The names of the parts of what `contents` become by their content."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = [stat_server_file(str(folder / name)) for name in contents]
    found = join_continued(files, DiskSpool(folder / "spool").open, DEFAULT_LIMITS)
    return [[Path(part.path).name for part in file.parts or (file,)] for file in found]


SPELLINGS = ["{}-x", "x.tar.p{}", "haul_{}.tar.zst", "part {} of the release", "{}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("outer", ["none", "gzip", "zstd", "xz", "bzip2"])
def test_files_that_continue_an_archive_are_parts_of_it(tmp_path: Path, spelling: str, outer: Compress) -> None:
    content = wrap(APP, outer)
    contents = pieces(content, len(content) // 11 + 1, spelling, 1)
    names = list(contents)
    around = {
        "before.tar": TWO,
        **dict(sorted(contents.items())),
        "behind.tar": wrap(TWO, outer),
        "sums": b"a  b\n" * 9,
    }
    assert continued(tmp_path, around) == [["before.tar"], names, ["behind.tar"], ["sums"]]


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd"])
def test_what_an_archive_does_not_need_is_no_part_of_it(tmp_path: Path, outer: Compress) -> None:
    content = wrap(APP, outer)
    half = len(content) // 2
    contents = {"a": content, "b": b"\x89 no archive", "c": content[:half], "d": content[half:], "e": b"\x89 none"}
    assert continued(tmp_path, contents) == [["a"], ["b"], ["c", "d"], ["e"]]


def test_no_archive_is_a_part_of_another(tmp_path: Path) -> None:
    contents = {"a.tar": APP[:4000], "b.tar": TWO, "c.tgz": wrap(APP, "gzip")[:300], "d.tgz": wrap(TWO, "gzip")}
    assert continued(tmp_path, contents) == [[name] for name in contents]


def test_a_part_may_begin_with_a_header(tmp_path: Path) -> None:
    contents = pieces(APP, 512, "x-{:03}")
    assert continued(tmp_path, contents) == [list(contents)]


def test_files_of_other_names_are_not_blamed_on_one_that_breaks_off(tmp_path: Path) -> None:
    contents = {"image.tar": APP[:4000], "photo.png": b"\x89PNG" * 100}
    assert continued(tmp_path, contents) == [["image.tar"], ["photo.png"]]


def test_a_gap_in_numbers_is_named(tmp_path: Path) -> None:
    contents = pieces(wrap(APP, "zstd"), 150, "haul_{}.tar.zst")
    del contents["haul_1.tar.zst"]
    with pytest.raises(MissingContent, match=r"haul_1\.tar\.zst"):
        continued(tmp_path, contents)


def test_archives_of_their_own_that_are_numbered_stay_alone(tmp_path: Path) -> None:
    contents = {"app-1.tar": APP, "app-2.tar": TWO, "app-4.tar": wrap(APP, "gzip")}
    assert joined(tmp_path, contents) == [(name, len(content), 0) for name, content in contents.items()]


def test_a_gap_is_told_with_the_name_of_the_missing_part(tmp_path: Path) -> None:
    contents = pieces(APP, 3000)
    del contents["x.tar.001"]
    with pytest.raises(MissingContent, match=r"'x\.tar\.001'"):
        joined(tmp_path, contents)


def test_later_parts_alone_are_told_what_comes_before(tmp_path: Path) -> None:
    with pytest.raises(MissingContent, match=r"'x\.tar\.002' .* before 'x\.tar\.003'"):
        joined(tmp_path, {"x.tar.003": b"the rest"})


def test_whole_archives_that_are_numbered_stay_apart(tmp_path: Path) -> None:
    found = joined(tmp_path, {"x.tar.00": APP, "x.tar.01": TWO, "x.tar.07": wrap(APP, "gzip")})
    assert found == [("x.tar.00", len(APP), 0), ("x.tar.01", len(TWO), 0), ("x.tar.07", len(wrap(APP, "gzip")), 0)]


def test_a_first_part_alone_stays_what_it_is(tmp_path: Path) -> None:
    assert joined(tmp_path, {"x.tar.000": APP}) == [("x.tar.000", len(APP), 0)]


def test_the_description_of_zarf_is_no_part(tmp_path: Path) -> None:
    contents = pieces(APP, 3000, "z.tar.zst.part{:03}", 1)
    about = {"Sha256Sum": sha256(APP).removeprefix("sha256:"), "Bytes": len(APP), "Count": len(contents)}
    described = {"z.tar.zst.part000": json.dumps(about).encode()}
    assert joined(tmp_path, described | contents) == [("z.tar.zst", len(APP), len(contents))]
    last = contents.popitem()[0]
    with pytest.raises(MissingContent, match=last):
        joined(tmp_path, described | contents)
    with pytest.raises(MissingContent, match="part001"):
        joined(tmp_path, described)


# --- jobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_a_split_archive_is_pushed(bench: Bench, compression: str) -> None:
    content = wrap(APP, compression)  # type: ignore[arg-type]
    for name, piece in pieces(content, len(content) // 3).items():
        bench.put(name, piece)
    async with bench.service() as service:
        request = replace(REQUEST, paths=(f"{bench.roots}/x.tar.*",), checksum=sha256(content))
        done = await ended(service, await service.submit_paths(request))
    assert done.state is JobState.SUCCEEDED, done.problem
    (archive,) = done.archives
    assert (archive.name, archive.size, archive.format) == ("x.tar", len(content), "docker-archive")
    assert bench.spooled() == []
    assert len(bench.registry.tags) == 1


@pytest.mark.parametrize("outer", ["none", "gzip"])
async def test_parts_of_any_name_are_pushed(bench: Bench, outer: Compress) -> None:
    content = wrap(APP, outer)
    for name, piece in pieces(content, len(content) // 3 + 1, "x-{}of3", 1).items():
        bench.put(name, piece)
    bench.put("y.tar", TWO)
    async with bench.service() as service:
        request = replace(REQUEST, paths=(f"{bench.roots}/*",))
        done = await ended(service, await service.submit_paths(request))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert [(archive.name, archive.size) for archive in done.archives] == [
        ("x-1of3", len(content)),
        ("y.tar", len(TWO)),
    ]
    assert len(bench.registry.tags) == 3


@pytest.mark.parametrize("outer", ["none", "gzip"])
async def test_a_part_that_is_missing_is_named_in_the_problem(bench: Bench, outer: Compress) -> None:
    content = wrap(APP, outer)
    parts = pieces(content, len(content) // 3 + 1, "x-{}of3", 1)
    paths = tuple(bench.put(name, piece) for name, piece in parts.items() if name != "x-2of3")
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=paths)))
    assert done.problem is not None
    assert ["x-1of3" in done.problem.detail, "x-3of3" in done.problem.detail] == [True, True]


async def test_a_split_archive_waits_over_a_restart(bench: Bench) -> None:
    for name, piece in pieces(APP, 3000).items():
        bench.put(name, piece)
    async with bench.service() as service:
        job = await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/x.tar.*",)))
        stored = await bench.store.get(job.id)
        assert stored is not None
        assert stored.archives[0].file == job.archives[0].file
        assert stored.archives[0].file is not None
        assert len(stored.archives[0].file.parts) > 2
        await ended(service, job)


def unpack(content: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        packed.extractall(folder, filter="data")


@pytest.mark.parametrize(
    ("content", "format_"), [(APP, "docker-archive"), (LAYOUT, "oci-archive"), (STORAGE, "registry-storage")]
)
@pytest.mark.parametrize("pattern", ["x", "*", "**"])
async def test_a_directory_is_pushed_as_the_archive_it_was(
    bench: Bench, content: bytes, format_: str, pattern: str
) -> None:
    unpack(content, bench.roots / "x")
    async with bench.service() as service:
        job = await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/{pattern}",)))
        done = await ended(service, job)
    assert done.state is JobState.SUCCEEDED, done.problem
    assert [(archive.name, archive.format) for archive in done.archives] == [("x", format_)]


async def test_a_directory_changed_before_its_job_runs_is_told(bench: Bench) -> None:
    unpack(APP, bench.roots / "x")
    runtime = bench.runtime()
    (file,) = runtime.roots.find([f"{bench.roots}/x"])
    (bench.roots / "x" / "more").write_bytes(b"")
    assert stat_server_file(file.path).identity != file.identity


def test_a_directory_of_files_is_no_archive(bench: Bench) -> None:
    bench.put("folder/a.tar", APP)
    with pytest.raises(PathNotFound):
        bench.runtime().roots.find([f"{bench.roots}/folder"])


def test_a_storage_behind_a_link_is_none(bench: Bench) -> None:
    unpack(STORAGE, bench.roots / "x")
    (bench.roots / "y").mkdir()
    (bench.roots / "y" / "docker").symlink_to(bench.roots / "x" / "docker")
    (file,) = bench.runtime().roots.find([f"{bench.roots}/*"])
    assert Path(file.path).name == "x"


def test_what_a_link_in_a_directory_leads_to_is_not_read(bench: Bench) -> None:
    unpack(LAYOUT, bench.roots / "x")
    (bench.root / "secret").write_bytes(b"secret")
    (bench.roots / "x" / "out").symlink_to(bench.root / "secret")
    (bench.roots / "y").symlink_to(bench.root)
    (bench.root / "oci-layout").write_bytes(b"{}")
    (file,) = bench.runtime().roots.find([f"{bench.roots}/*"])
    assert Path(file.path).name == "x"
    opened = DiskSpool(bench.root / "spool").open(file)
    assert b"secret" not in opened.read_at(0, opened.size).replace(str(bench.root / "secret").encode(), b"")
    opened.close()


async def test_a_dry_run_says_what_is_in_the_archives_and_keeps_it(bench: Bench) -> None:
    bench.put("x.tar", APP)
    async with bench.service() as service:
        request = replace(REQUEST, paths=(f"{bench.roots}/x.tar",), options=PushOptions(dry_run=True))
        done = await ended(service, await service.submit_paths(request))
        stored = await service.get(done.id)
    assert done.state is JobState.SUCCEEDED
    (told,) = stored.document()["inspection"]
    assert (told["format"], told["images"][0]["names"]) == ("docker-archive", ["example.com/team/app:1"])
    assert told["to_send"] == told["images"][0]["to_send"] > told["images"][0]["size"]
    assert told["at_registry"] == told["images"][0]["at_registry"] == 0
    assert bench.registry.count("push_blob", "push_manifest") == 0


async def test_a_job_of_damaged_content_keeps_no_archive_and_says_so_when_it_is_tried_again(bench: Bench) -> None:
    node = oci_image(image({"a": b"1"}))
    content = node.blobs[json.loads(node.raw)["layers"][0]["digest"]]
    damaged = oci_layout([entry(node)]).replace(content, content[:-1] + bytes([content[-1] ^ 1]))
    async with bench.service() as service:
        done = await ended(service, await upload(service, damaged, JobRequest(PushOptions(tag="team/app:1"))))
        assert done.problem is not None
        assert (done.state, done.problem.code) == (JobState.FAILED, "digest_mismatch")
        with pytest.raises(Conflict, match="damaged"):
            await service.retry(done.id)
    assert bench.spooled() == []
