"""Changes of the tokens file by `tarmac token`: one line is added or removed, all others are unchanged."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.auth.token_file import TokenHolder, TokenSet, read_text
from app.errors import InvalidRequest, NotFound


def holders_of(path: Path) -> tuple[TokenHolder, ...]:
    """Return the tokens of the file. Raises InvalidRequest."""
    return _parsed(path, _read(path))


def add_holder(path: Path, holder: TokenHolder) -> None:
    """Add a line; create the file if it does not exist. Raises InvalidRequest if the name exists."""
    with _locked(path):
        text = _read(path) if path.exists() else ""
        if text and any(item.name == holder.name for item in _parsed(path, text)):
            raise InvalidRequest(f"a token named {holder.name} exists; revoke it first, or use another name")
        _replace(path, text + ("" if not text or text.endswith("\n") else "\n") + f"{holder}\n")


def remove_holder(path: Path, name: str) -> None:
    """Remove the line of a name. Raises NotFound, InvalidRequest."""
    with _locked(path):
        text = _read(path)
        if not any(item.name == name for item in _parsed(path, text)):
            raise NotFound(f"no token in {path} is named {name!r:.80}")
        kept = (line for line in text.splitlines(keepends=True) if line.partition(":")[0].strip() != name)
        _replace(path, "".join(kept))


def _parsed(path: Path, text: str) -> tuple[TokenHolder, ...]:
    if not any(line.strip() and not line.startswith("#") for line in text.splitlines()):
        return ()
    try:
        return TokenSet.parse(text).holders
    except ValueError as error:
        raise InvalidRequest(f"the tokens file {path}: {error}") from None


def _read(path: Path) -> str:
    with _file_errors(path):
        return read_text(path)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidRequest(f"the tokens file {path}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidRequest(f"the tokens file {path}: {error}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the file against concurrent changes. The directory is locked, because the file is replaced."""
    with _file_errors(path):
        directory = os.open(path.resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
        os.fsync(directory)
    finally:
        os.close(directory)


def _replace(path: Path, text: str) -> None:
    with _file_errors(path):
        _write(path.resolve(), text)


def _write(path: Path, text: str) -> None:
    """Replace the file atomically, with the owner and mode of the old one.

    The service must still be able to read it after another user's change."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            with suppress(FileNotFoundError, PermissionError):
                before = path.stat()
                os.fchmod(descriptor, before.st_mode & 0o777)
                os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


__all__ = ["add_holder", "holders_of", "remove_holder"]
