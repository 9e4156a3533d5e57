"""Server paths: patterns below the allowed roots; nothing outside a root is ever opened.

Errors must not reveal whether a path outside the roots exists, so a missing file and one outside get the same
message."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from app.errors import LimitExceeded, PathNotAllowed, PathNotFound
from app.jobs.sources.glob import Effort, Search, has_magic
from app.jobs.sources.openat2 import open_beneath
from app.spool import SpooledFile
from app.spool.directory_tar import list_directory
from app.spool.verified_file import file_identity

MAX_FILES = 1_000  # archives in one request; each is opened before the first is pushed
DIRECTORY_MARKERS = (
    "oci-layout",
    "index.json",
    "manifest.json",
    "images.yaml",
    "charts.yaml",
    "zarf.yaml",
    "airgap.yaml",
)
STORAGE = ("docker", "registry", "v2")
MAX_LOOKED_AT = 10_000  # files and directories examined below a named directory until an archive is found


class AllowedRoots:
    """The directories of `TARMAC_PATH_ROOTS`. Without any, server paths are disabled."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(Path(os.path.normpath(root.absolute())) for root in roots)

    def find(self, patterns: Sequence[str]) -> tuple[SpooledFile, ...]:
        """Return the matching regular files, and the directories that contain an unpacked archive.

        They are sorted within each pattern, without duplicates and without the content of these directories. `**`
        matches any depth. Blocks. Raises PathNotAllowed, and PathNotFound also if one of several patterns matches
        nothing."""
        if not self._roots:
            raise PathNotAllowed("server paths are disabled; set TARMAC_PATH_ROOTS to the directories of the archives")
        with ExitStack() as stack:
            finder = _Finder(stack)
            for pattern in patterns:
                if not finder.find(*self._split(pattern)):
                    raise PathNotFound(_nothing(pattern))
        return tuple(finder.found.values())

    def relative(self, path: str) -> str:
        """Return the path of a file that was found, relative to its root."""
        return self._split(path)[1]

    def _split(self, pattern: str) -> tuple[Path, str]:
        """Return the root above a pattern, and the rest of the pattern.

        Only the literal text counts: `..` is resolved here; links are checked when the file is opened."""
        if "\0" in pattern or not pattern.startswith("/") or not _is_text(pattern):
            raise PathNotAllowed(
                f"not an absolute path: {pattern[:300]!r}; give the path from / on, below an allowed root"
            )
        path = os.path.normpath(pattern)
        for root in self._roots:
            below = path.removeprefix(str(root).rstrip("/") + "/")
            if below != path:
                return root, below
        raise PathNotAllowed(
            f"path not allowed: {pattern[:300]!r}; it must be below an allowed root (TARMAC_PATH_ROOTS)"
        )


def _nothing(pattern: str) -> str:
    return f"no file below the allowed roots matches {pattern[:300]!r}"


def _open_root(root: Path) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PathNotFound(f"cannot read the allowed root {root}: {error.strerror}") from error


def _is_text(path: str) -> bool:
    """Return whether the path is UTF-8. Other bytes are decoded to lone surrogates, which JSON cannot represent."""
    return path.isascii() or not any("\ud800" <= char <= "\udfff" for char in path)


class _Finder:
    """Finds the files of one request. Each name is opened once, even if several patterns match it."""

    def __init__(self, stack: ExitStack) -> None:
        self.found: dict[str, SpooledFile] = {}
        self._stack, self._effort = stack, Effort()
        self._roots: dict[Path, tuple[int, Search]] = {}
        self._taken: dict[tuple[Path, str, bool], _MatchedFile | None] = {}

    def find(self, root: Path, below: str) -> bool:
        """Add the matches and return whether there are any. Raises PathNotFound, LimitExceeded.

        The content of a directory that matched belongs to its archive; its names sort after the directory's."""
        directories: tuple[str, ...] = ()
        has_found = False
        for name in self._names(root, below):
            taken = None if name.startswith(directories) else self._take(root, name, is_named=name == below)
            if taken is None:
                continue
            directories += (f"{name}/",) * taken.is_directory
            self.found.setdefault(taken.spooled.path, taken.spooled)
            has_found = True
            if len(self.found) > MAX_FILES:
                raise LimitExceeded(f"the paths match too many files; the limit is {MAX_FILES}; send several requests")
        return has_found

    def _names(self, root: Path, below: str) -> list[str]:
        """Return the matching names relative to the root. A pattern may also be a literal name, as `b[1].tar`."""
        if not has_magic(below) or os.path.lexists(root / below):
            return [below]
        names = self._at(root)[1].matches(below)
        for name in names:
            if not _is_text(name):
                raise PathNotFound(f"file name is not UTF-8: {name!r:.300}; rename the file")
        return names

    def _take(self, root: Path, name: str, *, is_named: bool) -> _MatchedFile | None:
        key = (root, name, is_named)
        if key not in self._taken:
            self._taken[key] = _take(self._at(root)[0], root, name, is_named=is_named)
        return self._taken[key]

    def _at(self, root: Path) -> tuple[int, Search]:
        if root not in self._roots:
            descriptor = _open_root(root)
            self._stack.callback(os.close, descriptor)
            self._roots[root] = descriptor, Search(descriptor, self._effort)
        return self._roots[root]


class _MatchedFile(NamedTuple):
    spooled: SpooledFile
    is_directory: bool


def _take(directory: int, root: Path, name: str, *, is_named: bool) -> _MatchedFile | None:
    """Return the file or archive directory `name`; None if it is neither, not readable, or outside behind a link.

    `is_named`: the request names it, without a pattern."""
    try:
        descriptor = open_beneath(directory, name)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return _take_directory(descriptor, str(root / name), is_named=is_named)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return None
    return _MatchedFile(
        SpooledFile(str(root / name), status.st_size, owned=False, identity=file_identity(status)), is_directory=False
    )


def _take_directory(descriptor: int, path: str, *, is_named: bool) -> _MatchedFile | None:
    """Return the directory if it is an archive; a named directory may contain its archive at any depth."""
    is_archive = any(_exists(descriptor, marker) for marker in DIRECTORY_MARKERS) or _holds_storage(descriptor)
    if not (is_archive or (is_named and _holds_archive_below(descriptor))):
        return None
    listed = list_directory(descriptor, path, PathNotFound)
    listed.close()
    return _MatchedFile(SpooledFile(path, listed.size, owned=False, identity=listed.identity), is_directory=True)


def _holds_storage(directory: int) -> bool:
    """Return whether the directory is the storage of a registry. Links are not followed, as they may lead outside."""
    with ExitStack() as stack:
        for name in STORAGE:
            try:
                directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            except OSError:
                return False
            stack.callback(os.close, directory)
    return True


def _holds_archive_below(directory: int) -> bool:
    """Return whether image layouts, registry storage or oc mirrors are below the directory. Ignore links."""
    count = 0
    for path, directories, files, _ in os.fwalk(".", dir_fd=directory):
        parts = PurePosixPath(path).parts
        if {"oci-layout", "index.json"} <= set(files) or parts[-3:] == STORAGE:
            return True
        if "v2" in parts[:-1] and {"blobs", "manifests"} <= set(directories):
            return True
        count += len(directories) + len(files)
        if count > MAX_LOOKED_AT:
            return False
    return False


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
