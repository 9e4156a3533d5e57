"""open_beneath(): open a file below a directory; no link, `..` or race leads outside (openat2(2), Linux 5.6)."""

from __future__ import annotations

import ctypes
import errno
import os

from app.spool.verified_file import OPEN_FLAGS

_OPENAT2 = 437  # the same number on every Linux architecture except alpha
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_AGAIN = 16  # a rename in the path during the walk causes EAGAIN; more than a few in a row are an attack
_ABSENT = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL})  # old kernel, or a seccomp filter without this call


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def open_beneath(directory: int, name: str) -> int:
    """Return a descriptor of `name` below `directory`. Raises OSError.

    Links are followed as long as they stay below it; without openat2 in the kernel every link is refused."""
    try:
        return open_by_kernel(directory, name)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    return open_by_steps(directory, name)


def open_by_kernel(directory: int, name: str) -> int:
    how = _OpenHow(OPEN_FLAGS, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    code = errno.EAGAIN
    for _ in range(_AGAIN):
        descriptor = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(os.fsencode(name)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        code = ctypes.get_errno()
        if code not in {errno.EAGAIN, errno.EINTR}:
            break
    raise OSError(code, os.strerror(code), name)


def open_by_steps(directory: int, name: str) -> int:
    """Open one component after the other, and refuse links."""
    *parents, last = name.split("/")
    if not {"", ".", ".."}.isdisjoint((*parents, last)):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    step = os.dup(directory)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=step)
            os.close(step)
            step = below
        return os.open(last, OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=step)
    finally:
        os.close(step)
