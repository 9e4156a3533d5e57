"""Folder: the archives in a watched folder, their side files, and moving them when they are processed. Blocks."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from app.archive.split import PartName
from app.errors import (
    ChecksumMismatch,
    ErrorOrigin,
    InvalidRequest,
    MissingContent,
    PathNotFound,
    Problem,
    TruncatedArchive,
)
from app.jobs.deliveries.model import DeliveryFile
from app.jobs.sources.openat2 import open_beneath
from app.jobs.sources.paths import DIRECTORY_MARKERS, STORAGE, AllowedRoots
from app.jobs.watch.checksum_lists import find_checksum, is_list
from app.jobs.watch.content import NO_ARCHIVE, ArchiveHeads
from app.jobs.watch.continued import Continuations
from app.jobs.watch.filing import Filing
from app.jobs.watch.unfinished import ends_early, is_written

DONE, FAILED = "done", "failed"
OPTIONS, CHECKSUM, REPORT = ".json", ".sha256", ".report.json"
FOLDER_OPTIONS = ".tarmac.json"
MAX_DROPS = 10_000  # in one scan; the others follow when these are processed
MAX_ENTRIES = 100_000  # names read in one scan; an unpacked layout of 300 images has about 3,000
MAX_DEPTH = 8  # directories below the folder; the disk of a release has one to three
MAX_DEPTH_INSIDE = 64  # within an unpacked archive; a registry's storage has 12, and the slashes of its repositories
MAX_SIDE_BYTES = 1 << 20  # for a side file; renames for a thousand images take a tenth of it
_GROWING = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")
_BESIDE = (OPTIONS, CHECKSUM)
SIDE_FILE = "checksums or options"
_CUT_OFF = frozenset({TruncatedArchive.code, MissingContent.code})


@dataclass(frozen=True, slots=True)
class DroppedArchive:
    """An archive in the folder: one file, the parts of a split one, or the directory of an unpacked one.

    `name` (of the whole) and `files` are paths relative to the folder. `state` changes as soon as anything of it is
    written, renamed or replaced."""

    name: str
    files: tuple[str, ...]
    beside: tuple[str, ...]
    state: str
    inodes: frozenset[int]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the paths for a job and for moving: the files, or the directory as one."""
        return (self.name,) if self.files[0].startswith(f"{self.name}/") else self.files

    def side_file(self, suffix: str) -> str | None:
        return next((item for item in self.beside if item.endswith(suffix)), None)


@dataclass(frozen=True, slots=True)
class FolderScan:
    """The result of a scan. `growing`: inodes of files whose name marks them as unfinished (`x.tar.part`), and
    `unfinished` their paths. `left`: files that are no archives."""

    drops: tuple[DroppedArchive, ...]
    growing: frozenset[int]
    unfinished: tuple[str, ...] = ()
    left: tuple[DeliveryFile, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    status: os.stat_result

    @property
    def mark(self) -> str:
        """Return the identity of the file. Due to the inode change time, a file moved out and back is a new one."""
        is_of = self.status
        return f"{self.path}\0{is_of.st_ino}\0{is_of.st_size}\0{is_of.st_mtime_ns}\0{is_of.st_ctime_ns}"


class Folder:
    """The directory of `TARMAC_WATCH_DIR`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._filing = Filing(root)
        self._continuations = Continuations(root)
        self._heads = ArchiveHeads(root)
        self._lists: dict[str, list[str]] = {}  # of checksums, by directory
        self.root = AllowedRoots((root,))

    def scan(self) -> FolderScan:
        """Return the archives, sorted by name. Raises OSError if the folder itself cannot be read.

        Hidden, unfinished and processed files, links and side files are ignored."""
        os.close(os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        groups: dict[tuple[str, str], list[_Entry]] = defaultdict(list)
        beside: dict[str, _Entry] = {}
        growing: dict[str, int] = {}
        lists: dict[str, list[str]] = defaultdict(list)
        for key, entry in self._entries():
            directory, _, name = entry.path.rpartition("/")
            if is_list(name):
                lists[directory].append(entry.path)
            if entry.path.endswith(_GROWING):
                growing[entry.path] = entry.status.st_ino
            elif entry.path.endswith(_BESIDE) and key[0] == entry.path:
                beside[entry.path] = entry
            elif len(groups) < MAX_DROPS or key in groups:
                groups[key].append(entry)
        self._lists = lists
        self._join_continued(groups)
        left = self._take_out(groups)
        drops = tuple(_drop(name, entries, beside) for (name, _), entries in sorted(groups.items()))
        used = {path for drop in drops for path in drop.beside}
        left += [entry for path, entry in beside.items() if path not in used]
        listed = (_left(entry) for entry in sorted(left, key=lambda entry: entry.path))
        return FolderScan(drops, frozenset(growing.values()), tuple(growing), tuple(listed))

    def _take_out(self, groups: dict[tuple[str, str], list[_Entry]]) -> list[_Entry]:
        """Remove the files that are no archives, and return them. A directory is an archive by its content."""
        self._heads.keep(entry.mark for entries in groups.values() for entry in entries)
        left: list[_Entry] = []
        for key, entries in tuple(groups.items()):
            first = entries[0]
            if not first.path.startswith(f"{key[0]}/") and not self._heads.is_archive(first.path, first.mark):
                left += groups.pop(key)
        return left

    def _join_continued(self, groups: dict[tuple[str, str], list[_Entry]]) -> None:
        single = [entries[0] for (name, _), entries in groups.items() if [entry.path for entry in entries] == [name]]
        found = self._continuations.find({entry.path: entry.mark for entry in single})
        for path, first in found.items():
            groups[first, ""] += groups.pop((path, ""))

    def _entries(self) -> Iterator[tuple[tuple[str, str], _Entry]]:
        """Yield ((name of the whole, its series if it has parts), an entry of it)."""
        count = 0
        unpacked: tuple[str, ...] = ()
        for directory, directories, names in os.walk(self._root):
            below = "" if directory == str(self._root) else directory.removeprefix(f"{self._root}/")
            inside = next((item for item in unpacked if below == item or below.startswith(f"{item}/")), None)
            if inside is None and below and self._is_unpacked(below, names):
                inside = below
                unpacked += (below,)
            is_hidden = _never if inside is not None else _is_hidden
            deep = below.count("/") >= (MAX_DEPTH if inside is None else MAX_DEPTH_INSIDE)
            directories[:] = () if deep else sorted(item for item in directories if not is_hidden(item))
            for name in sorted(item for item in names if not is_hidden(item)):
                count += 1
                if count > MAX_ENTRIES:
                    return
                entry = self._entry(f"{below}/{name}" if below else name)
                if entry is not None:
                    yield (inside, "") if inside is not None else _whole(entry.path), entry

    def _is_unpacked(self, below: str, names: list[str]) -> bool:
        """Return whether the directory is an unpacked archive or a registry's storage, without following links."""
        steps = accumulate(STORAGE, Path.joinpath, initial=self._root / below)
        return not set(DIRECTORY_MARKERS).isdisjoint(names) or all(
            step.is_dir() and not step.is_symlink() for step in steps
        )

    def _entry(self, path: str) -> _Entry | None:
        try:
            status = os.lstat(self._root / path)
        except OSError:
            return None  # deleted since it was listed
        return _Entry(path, status) if stat.S_ISREG(status.st_mode) else None

    def paths(self, drop: DroppedArchive) -> tuple[str, ...]:
        """Return the absolute paths for a job."""
        return tuple(str(self._root / path) for path in drop.paths)

    def is_same(self, drop: DroppedArchive) -> bool:
        """Return whether it still exists, and nothing of it was written, renamed or replaced."""
        entries = [self._entry(path) for path in (*drop.files, *drop.beside)]
        return None not in entries and _state([entry for entry in entries if entry is not None]) == drop.state

    def is_written(self, drop: DroppedArchive) -> bool:
        """Return whether a process has it open for writing, as far as that can be determined."""
        return is_written(self._root, drop.files)

    def is_cut_off(self, drop: DroppedArchive, problem: Problem) -> bool:
        """Return whether `problem` can be due to an archive that is not complete yet."""
        may_be = problem.origin is ErrorOrigin.ARCHIVE or problem.code == ChecksumMismatch.code
        return problem.code in _CUT_OFF or (may_be and ends_early(self._root, drop.files))

    def options(self, drop: DroppedArchive) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return the texts of the folder's `.tarmac.json`, of the nearest one below it, and of `x.tar.json`.

        Raises InvalidRequest."""
        beside = drop.side_file(OPTIONS)
        nearest = next(
            filter(None, (self._read(f"{place}/{FOLDER_OPTIONS}") for place in _directories(drop.name))), None
        )
        return self._read(FOLDER_OPTIONS), nearest, None if beside is None else self._read(beside)

    def checksum(self, drop: DroppedArchive) -> str | None:
        """Return `sha256:…` from `x.tar.sha256`, or from the nearest list that names the archive.

        Raises ChecksumMismatch if `x.tar.sha256` has none."""
        beside = drop.side_file(CHECKSUM)
        text = None if beside is None else self._read(beside)
        if text is None:
            return self._listed_checksum(drop.name)
        word = (text.decode("latin-1").split() or [""])[0].removeprefix("sha256:").lower()
        if len(word) != hashlib.sha256().digest_size * 2 or not set(word) <= set("0123456789abcdef"):
            raise ChecksumMismatch(f"no SHA-256 checksum in {beside}; write it with `sha256sum {drop.name}`")
        return f"sha256:{word}"

    def _listed_checksum(self, name: str) -> str | None:
        for place in (*_directories(name), ""):
            for path in self._lists.get(place, ()):
                text = self._read(path) or b""
                found = find_checksum(text.decode(errors="replace"), name.removeprefix(f"{place}/" if place else ""))
                if found is not None:
                    return found
        return None

    def _read(self, path: str) -> bytes | None:
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.fdopen(open_beneath(directory, path), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise PathNotFound(f"not a regular file: {path}")
                text = file.read(MAX_SIDE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PathNotFound(f"cannot read {path}: {error.strerror}") from error
        finally:
            os.close(directory)
        if len(text) > MAX_SIDE_BYTES:
            raise InvalidRequest(f"{path} is too large for a file of options; the limit is {MAX_SIDE_BYTES} bytes")
        return text

    def put_away(self, drop: DroppedArchive, kind: str, report: bytes) -> dict[str, str]:
        """Move it to `done/` or `failed/` on its file system, with a report next to it. Raises OSError.

        Return the new path of each file by the former one, both absolute."""
        moved = self._filing.file(drop.name, (*drop.paths, *drop.beside), kind, (REPORT, report))
        return {str(self._root / path): str(self._root / new) for path, new in moved.items()}

    def file_reports(self, disk: str, texts: Mapping[str, bytes]) -> None:
        """Write reports about a disk, by the endings of their names, to its `done/`. Raises OSError."""
        self._filing.write_reports(disk, DONE, texts)


def _directories(path: str) -> Iterator[str]:
    """Yield the directories below the folder that `path` is in, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _left(entry: _Entry) -> DeliveryFile:
    is_side = entry.path.endswith(_BESIDE) or is_list(entry.path.rpartition("/")[2])
    return DeliveryFile(entry.path, entry.status.st_size, SIDE_FILE if is_side else NO_ARCHIVE)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in {DONE, FAILED}


def _never(_: str) -> bool:
    return False


def _whole(path: str) -> tuple[str, str]:
    directory, slash, name = path.rpartition("/")
    part = PartName.of_series(name)
    if part is None:
        return path, ""
    return f"{directory}{slash}{part.stem}", f"{part.before}{part.letters}{part.after}"


def _drop(name: str, entries: list[_Entry], beside: dict[str, _Entry]) -> DroppedArchive:
    mine = [beside[name + suffix] for suffix in _BESIDE if name + suffix in beside]
    return DroppedArchive(
        name,
        tuple(entry.path for entry in entries),
        tuple(entry.path for entry in mine),
        _state([*entries, *mine]),
        frozenset(entry.status.st_ino for entry in entries),
    )


def _state(entries: Iterable[_Entry]) -> str:
    marks = "\n".join(entry.mark for entry in entries)
    return hashlib.sha256(marks.encode(errors="surrogateescape")).hexdigest()
