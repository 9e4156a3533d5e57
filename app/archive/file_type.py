"""Describe a file that is not a tar, and the remedy, for the error message."""

from __future__ import annotations

import re

EXPECTED = "a tar is expected, plain or compressed with gzip, zstd, xz or bzip2"
PART = "if it is a part of a split archive, send all parts in one request, in order, named x.tar.000, x.tar.001, …"
POWERSHELL = (
    "PowerShell's `>` changed its bytes: save it again with `docker save -o x.tar IMAGE`, or use `>` in cmd.exe"
)
_UNPACK = "unpack it and send the image archive in it"
_AGAIN = "it is not an image archive; download the archive again"
_SAVE = "it is not an image archive; save the image with `docker save -o x.tar IMAGE`"
_DECOMPRESS = "decompress it and send the tar, plain or compressed with gzip, zstd, xz or bzip2"
_DAMAGED = "its start is damaged; transfer it again"
_MAGIC = (
    (b"PK\x03\x04", "a zip file", _UNPACK),
    (b"PK\x05\x06", "an empty zip file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR file", _UNPACK),
    (b"hsqs", "a SquashFS image", _SAVE),
    (b"\xed\xab\xee\xdb", "an RPM package", _SAVE),
    (b"!<arch>\n", "an ar archive, such as a Debian package", _SAVE),
    (b"0707", "a cpio archive", _SAVE),
    (b"QFI\xfb", "a QCOW2 disk image", _SAVE),
    (b"KDMV", "a VMDK disk image", _SAVE),
    (b"\x7fELF", "an ELF program", _SAVE),
    (b"MZ", "a Windows program", _SAVE),
    (b"%PDF", "a PDF document", _AGAIN),
    (b"LZIP", "an lzip file", _DECOMPRESS),
    (b"\x04\x22\x4d\x18", "an LZ4 file", _DECOMPRESS),
    (b"\x1f\x9d", "a file of compress(1)", _DECOMPRESS),
    (b"\x1f\x8b", "gzip data", _DAMAGED),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", _DAMAGED),
    (b"\xfd7zXZ\x00", "xz data", _DAMAGED),
    (b"BZh", "bzip2 data", _DAMAGED),
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the file with `git lfs pull` and send it",
    ),
    (b"<", "an HTML or XML document, perhaps the error page of a download", _AGAIN),
    (b"{", "a JSON document", "it may be the error of a download; send the archive itself"),
    (b"[", "a JSON document", "it may be the error of a download; send the archive itself"),
    (b"-----BEGIN", "a PEM text", "send the archive itself"),
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8 = b"\xef\xbb\xbf"
_REPLACED = b"\xef\xbf\xbd"  # U+FFFD, which a decoder writes for invalid bytes
MIN_CHARACTERS = 16  # distinct ones in 60 of base64; fewer, such as a run of one letter, are not base64
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{60,}={0,2}\r?\n?")


def describe_file_type(head: bytes) -> tuple[str, str] | None:
    """Return a noun phrase for a file that starts with `head`, and the remedy; None if the type is not known."""
    if head.startswith(_UTF_16):
        return "a UTF-16 text", _then(POWERSHELL)
    if was_text(head[:16]) or (head.startswith(_UTF_8) and b"\0" in head):
        return "a tar that was converted as text", _then(POWERSHELL)
    text = head.removeprefix(_UTF_8).lstrip()
    found = next(((name, _then(remedy)) for magic, name, remedy in _MAGIC if text.startswith(magic)), None)
    if found is None and head.startswith(_UTF_8):
        return "a text file", _then(_AGAIN)
    if found is None and len(head) >= 64 and _BASE64.match(head) and len(set(head[:60])) > MIN_CHARACTERS:
        return "a base64 text", _then("decode it with `base64 -d` and send the result")
    return found


def _then(remedy: str) -> str:
    return f"{remedy}; "


def was_text(data: bytes) -> bool:
    """Return whether a program that read `data` as text replaced some of its bytes."""
    return _REPLACED in data


def shown(head: bytes) -> str:
    """Return a description of the first bytes."""
    return f"it starts with {_text(head[:16])}" if head else ""


def _text(head: bytes) -> str:
    """Return the bytes as text if they are printable ASCII, and in hex if not."""
    text = head.decode("ascii", "replace")
    return repr(text) if text.isprintable() and text.isascii() else f"the bytes {head.hex(' ')}"
