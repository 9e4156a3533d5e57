"""Moves processed files to done/ and failed/, through no link.

Otherwise a user with write access to the watched folder could make the service write to any place it may write to."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

_NOREPLACE = 1
_ABSENT = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM})  # old kernel, or a file system without this call
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class Filing:
    """Moves files below `root`, which itself may be a link, because the operator chose it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def file(self, name: str, paths: Sequence[str], kind: str, report: tuple[str, bytes]) -> dict[str, str]:
        """Move `paths` to the directory `kind` on their file system, as `name`, with a report next to it.

        `report` is the suffix of the report's name and its text; it is written first. All paths are relative to `root`.
        Raises OSError if something is in the way. Then nothing was moved, and the report is in `kind` of `root` if that
        is writable."""
        ending, text = report
        wanted = PurePosixPath(name)
        moved: dict[str, str] = {}
        try:
            target = (*self._disk_of(paths[0]), kind, *wanted.parts[:-1])
            with self._directory(target, create=True) as directory:
                place = _free_name(directory, wanted.name)
                _write(directory, place + ending, text)
                for path in paths:
                    own = PurePosixPath(path).name
                    is_called_so = own.startswith(wanted.name)
                    new = place + own.removeprefix(wanted.name) if is_called_so else _free_name(directory, own)
                    with self._directory(PurePosixPath(path).parts[:-1]) as source:
                        rename_new(source, own, directory, new)
                    moved[path] = "/".join((*target, new))
        except OSError:
            with self._directory((kind, *wanted.parts[:-1]), create=True) as here:
                _write(here, wanted.name + ending, text)
            raise
        return moved

    def write_reports(self, disk: str, kind: str, texts: Mapping[str, bytes]) -> None:
        """Write `texts`, by the endings of their names, to the directory `kind` of a disk, or to `kind` of `root`.

        Raises OSError if neither can be written."""
        try:
            self._write_all((*self._disk_of(f"{disk}/x" if disk else "x"), kind), disk, texts)
        except OSError:
            self._write_all((kind,), disk, texts)

    def _write_all(self, parts: Sequence[str], disk: str, texts: Mapping[str, bytes]) -> None:
        with self._directory(parts, create=True) as directory:
            number, name = 1, disk or "folder"
            while any(_exists(directory, name + ending) for ending in texts):
                number += 1
                name = f"{disk or 'folder'}.{number}"
            for ending, text in texts.items():
                _write(directory, name + ending, text)

    def _disk_of(self, path: str) -> tuple[str, ...]:
        """Return the topmost directory above `path` on the same file system."""
        parts = PurePosixPath(path).parts[:-1]
        devices = []
        for depth in range(len(parts) + 1):
            with self._directory(parts[:depth]) as directory:
                devices.append(os.fstat(directory).st_dev)
        depth = len(parts)
        while depth and devices[depth - 1] == devices[-1]:
            depth -= 1
        return parts[:depth]

    @contextmanager
    def _directory(self, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
        """Open a directory below the root, one component after the other, refusing links. Raises OSError."""
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=directory)
                below = os.open(part, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = below
            yield directory
        finally:
            os.close(directory)


def rename_new(source: int, name: str, target: int, new: str) -> None:
    """Rename between directories without replacing a file (renameat2(2)). Raises OSError."""
    done = _libc.renameat2(source, os.fsencode(name), target, os.fsencode(new), _NOREPLACE) if _HAS_RENAMEAT2 else -1
    if done == 0:
        return
    code = ctypes.get_errno() if _HAS_RENAMEAT2 else errno.ENOSYS
    if code not in _ABSENT:
        raise OSError(code, os.strerror(code), name)
    os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)


_HAS_RENAMEAT2 = hasattr(_libc, "renameat2")


def _free_name(directory: int, name: str) -> str:
    number, free = 1, name
    while _exists(directory, free):
        number += 1
        free = f"{name}.{number}"
    return free


def _exists(directory: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def _write(directory: int, name: str, text: bytes) -> None:
    """Write a file atomically. Raises OSError. A leftover of a crash is replaced; a link is removed, never followed."""
    unfinished = f".{name}.part"
    with suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=directory)
    descriptor = os.open(
        unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=directory
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)


__all__ = ["Filing", "rename_new"]
