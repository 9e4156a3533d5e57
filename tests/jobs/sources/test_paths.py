"""Server paths: only regular files below the roots, whatever the pattern says."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.archive import Compression
from app.errors import ChecksumMismatch, InvalidRequest, LimitExceeded, PathNotAllowed, PathNotFound, SourceChanged
from app.jobs import AllowedRoots, JobState
from app.jobs.sources import openat2 as beneath
from app.jobs.sources import paths
from app.jobs.sources.openat2 import open_beneath, open_by_kernel, open_by_steps
from tests.jobs.bench import APP, NAMELESS, REQUEST, TWO, Bench, ended
from tests.support.archives import sha256, wrap


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for name in ("b.tar", "a.tar", "sub/c.tar", "sub/deep/d.tar", "b[1].tar", "note.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (tmp_path / "secret.tar").write_text("secret")
    return root


def found(root: Path, *patterns: str) -> list[str]:
    return [os.path.relpath(file.path, root) for file in AllowedRoots((root,)).find([f"{root}/{p}" for p in patterns])]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["a.tar"], ["a.tar"]),
        (["*.tar"], ["a.tar", "b.tar", "b[1].tar"]),
        (["?.tar"], ["a.tar", "b.tar"]),
        (["[ab].tar"], ["a.tar", "b.tar"]),
        (["**/*.tar"], ["a.tar", "b.tar", "b[1].tar", "sub/c.tar", "sub/deep/d.tar"]),
        (["*/c.tar"], ["sub/c.tar"]),
        (["b[1].tar"], ["b[1].tar"]),
        (["b.tar", "*.tar"], ["b.tar", "a.tar", "b[1].tar"]),
        (["sub/../a.tar"], ["a.tar"]),
    ],
)
def test_patterns_match_sorted_and_none_twice(root: Path, patterns: list[str], expected: list[str]) -> None:
    assert found(root, *patterns) == expected


@pytest.mark.parametrize(
    "names",
    [
        ("team/web/oci-layout", "team/web/index.json"),
        ("registry/docker/registry/v2/repositories/a/_manifests/tags/1/current/link",),
        ("v2/openshift/release/blobs/sha256:1", "v2/openshift/release/manifests/1"),
        ("airgap.yaml", "app.tar.gz"),
    ],
)
def test_a_directory_that_is_named_may_hold_its_archive_deeper(root: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (root / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "unpacked" / name).write_bytes(b"")
    assert found(root, "unpacked") == ["unpacked"]
    (root / "sub" / "link").symlink_to(root / "unpacked")
    with pytest.raises(PathNotFound):
        found(root, "sub")


def test_a_directory_is_looked_through_up_to_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x/1", "x/2", "x/y/oci-layout", "x/y/index.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    assert found(root, "x") == ["x"]
    monkeypatch.setattr(paths, "MAX_LOOKED_AT", 2)
    with pytest.raises(PathNotFound):
        found(root, "x")


def test_paths_are_off_without_a_root() -> None:
    with pytest.raises(PathNotAllowed, match="set TARMAC_PATH_ROOTS"):
        AllowedRoots(()).find(["/etc/passwd"])


@pytest.mark.parametrize(
    "pattern", ["/etc/passwd", "relative.tar", "{root}/../secret.tar", "{root}", "{root}x", "/a\0"]
)
def test_what_is_not_below_a_root_is_refused(root: Path, pattern: str) -> None:
    with pytest.raises(PathNotAllowed):
        AllowedRoots((root,)).find([pattern.format(root=root)])


def test_a_missing_file_and_one_behind_a_link_get_the_same_words(root: Path) -> None:
    (root / "out.tar").symlink_to(root.parent / "secret.tar")
    (root / "up").symlink_to(root.parent)
    words = set()
    for name in ("none.tar", "out.tar", "up/secret.tar", "up/none.tar", "sub", "*/nothing"):
        with pytest.raises(PathNotFound) as raised:
            found(root, name)
        words.add(str(raised.value).replace(name, ""))
    assert len(words) == 1


def test_a_link_that_stays_below_its_root_is_followed(root: Path) -> None:
    (root / "in.tar").symlink_to("sub/c.tar")
    assert found(root, "in.tar") == ["in.tar"]


def test_a_fifo_neither_blocks_nor_counts(root: Path) -> None:
    os.mkfifo(root / "fifo.tar")
    assert "fifo.tar" not in found(root, "*.tar")


def test_a_root_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="allowed root"):
        AllowedRoots((tmp_path / "gone",)).find([f"{tmp_path}/gone/a.tar"])


def test_too_many_files_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_FILES", 2)
    with pytest.raises(LimitExceeded, match=r"\b2\b"):
        found(root, "**/*.tar")


def test_the_file_system_as_a_root_allows_everything(root: Path) -> None:
    (file,) = AllowedRoots((Path("/"),)).find([f"{root}/a.tar"])
    assert file.path == f"{root}/a.tar"


# --- opening beneath -------------------------------------------------------------------------------------------------

OPENERS: list[Callable[[int, str], int]] = [open_beneath, open_by_kernel, open_by_steps]


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("name", ["../secret.tar", "out.tar", "up/secret.tar", "/etc/passwd", "sub/../../secret.tar"])
def test_nothing_outside_is_opened(root: Path, opener: Callable[[int, str], int], name: str) -> None:
    (root / "out.tar").symlink_to(root.parent / "secret.tar")
    (root / "up").symlink_to(root.parent)
    directory = os.open(root, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=r"\[Errno"):
            opener(directory, name)
    finally:
        os.close(directory)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_file_deep_inside_is_opened(root: Path, opener: Callable[[int, str], int]) -> None:
    directory = os.open(root, os.O_RDONLY)
    file = opener(directory, "sub/deep/d.tar")
    assert os.read(file, 100) == b"sub/deep/d.tar"
    os.close(file)
    os.close(directory)


def test_an_old_kernel_is_stepped_around(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_OPENAT2", 0xFFFF)  # no such call: ENOSYS
    directory = os.open(root, os.O_RDONLY)
    with pytest.raises(OSError, match="not implemented") as raised:
        open_by_kernel(directory, "a.tar")
    assert raised.value.errno == errno.ENOSYS
    os.close(open_beneath(directory, "a.tar"))
    os.close(directory)


# --- jobs of server paths --------------------------------------------------------------------------------------------


async def test_a_plain_server_file_is_pushed_from_where_it_lies(bench: Bench) -> None:
    path = bench.put("x.tar", APP)
    async with bench.service() as service:
        job = await service.submit_paths(replace(REQUEST, paths=(path,)))
        assert job.archives[0].compression is None
        done = await ended(service, job)
    assert done.state is JobState.SUCCEEDED, done.problem
    assert bench.spooled() == []
    assert Path(path).read_bytes() == APP
    assert done.archives[0].compression is Compression.NONE
    assert done.archives[0].digest is None
    assert bench.registry.manifest("team/app", "1")


async def test_server_files_whose_names_fail_still_tell_what_they_are_and_which_of_them_is_wrong(bench: Bench) -> None:
    files = (bench.put("a.tar", APP), bench.put("nameless.tar", NAMELESS))
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=files)))
    assert done.problem is not None
    assert done.problem.code == "missing_tag"
    assert " in nameless.tar has no name" in done.problem.detail
    assert [archive.format for archive in done.archives] == ["docker-archive", "docker-archive"]
    assert bench.registry.calls == []


async def test_a_compressed_server_file_is_unwrapped_into_the_spool(bench: Bench) -> None:
    wrapped = wrap(APP, "zstd")
    path = bench.put("x.tar.zst", wrapped)
    bench.registry.gate = None
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(path,))))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert done.archives[0].compression is Compression.ZSTD
    assert str(done.archives[0].digest) == sha256(wrapped)
    assert Path(path).exists()
    assert bench.spooled() == []


async def test_files_of_one_name_are_told_apart(bench: Bench) -> None:
    bench.put("a/x.tar", APP)
    bench.put("b/x.tar", TWO)
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/**/*.tar",))))
    assert [archive.name for archive in done.archives] == ["x.tar", "x.tar (2)"]
    assert len(done.images) == 3


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_the_checksum_of_a_server_file_is_compared(bench: Bench, compression: str) -> None:
    content = wrap(APP, compression)  # type: ignore[arg-type]
    good, bad = sha256(content), "sha256:" + "0" * 64
    path = bench.put("x.tar", content)
    async with bench.service() as service:
        wrong = await service.submit_paths(replace(REQUEST, paths=(path,), checksum=bad))
        done = await ended(service, wrong)
        assert done.problem is not None
        assert done.problem.code == ChecksumMismatch.code
        assert bench.spooled() == []
        assert bench.registry.calls == []
        right = await service.submit_paths(replace(REQUEST, paths=(path,), checksum=good))
        assert (await ended(service, right)).state is JobState.SUCCEEDED


async def test_one_checksum_cannot_be_of_two_files(bench: Bench) -> None:
    bench.put("a.tar", APP)
    bench.put("b.tar", APP)
    request = replace(REQUEST, paths=(f"{bench.roots}/*",), checksum=sha256(APP))
    async with bench.service() as service:
        with pytest.raises(InvalidRequest, match="paths match 2"):
            await service.submit_paths(request)


async def test_a_file_replaced_while_its_job_waits_is_not_pushed(bench: Bench) -> None:
    path = bench.put("x.tar", APP)
    runtime = bench.runtime()
    from app.jobs.runner import Runner
    from app.jobs.service import JobService

    service = JobService(runtime)
    job = await service.submit_paths(replace(REQUEST, paths=(path,)))
    Path(path).unlink()
    Path(path).symlink_to(bench.put("other/y.tar", TWO))
    await Runner(runtime).run(job.id)
    done = await service.get(job.id)
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.code == SourceChanged.code
    assert bench.registry.calls == []


async def test_a_bad_server_file_is_a_failed_job(bench: Bench) -> None:
    path = bench.put("x.tar", b"no archive" * 1000)
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(path,))))
    assert done.problem is not None
    assert done.problem.code == "unknown_format"


def test_a_directory_is_read_once_for_all_patterns_of_a_request(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = sum(1 for _ in root.rglob("*"))
    monkeypatch.setattr("app.jobs.sources.glob.MAX_ENTRIES", 3 * entries + 3)
    assert found(root, *["**/*.tar"] * 200, *[f"**/*.t[a{'b' * number}]r" for number in range(200)])


def test_patterns_of_a_request_are_counted_together(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = sum(1 for _ in root.rglob("*"))
    monkeypatch.setattr("app.jobs.sources.glob.MAX_COMPARED", 10 * entries + 100)
    assert found(root, "**/*.tar")
    with pytest.raises(LimitExceeded):
        found(root, *["**/*.tar"] * 200)


def test_a_pattern_reads_no_more_directories_than_it_should(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.sources.glob.MAX_ENTRIES", 3)
    with pytest.raises(LimitExceeded, match=r"\b3\b"):
        AllowedRoots([root]).find([f"{root}/**/*.tar"])


def test_a_name_that_is_no_text_is_told(root: Path) -> None:
    (root / "\udcff.tar").write_bytes(b"")
    with pytest.raises(PathNotFound, match="UTF-8"):
        AllowedRoots([root]).find([f"{root}/*.tar"])
