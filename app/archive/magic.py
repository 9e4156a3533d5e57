"""What a file that is no tar may be, so that the message can say it."""

from __future__ import annotations

_MAGIC = (
    (b"PK\x03\x04", "a zip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file"),
    (b"Rar!\x1a\x07", "a RAR file"),
    (b"hsqs", "a SquashFS image"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"!<arch>\n", "an ar archive, such as a Debian package"),
    (b"0707", "a cpio archive"),
    (b"QFI\xfb", "a QCOW2 disk image"),
    (b"\x7fELF", "an ELF program"),
    (b"%PDF", "a PDF document"),
    (b"LZIP", "an lzip file"),
    (b"\x04\x22\x4d\x18", "an LZ4 file"),
    (b"\x1f\x9d", "a file of compress"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"\xef\xbb\xbf", "a text file"),
    (b"<", "an HTML or XML document, perhaps the error page of a download"),
    (b"{", "a JSON document"),
    (b"[", "a JSON document"),
)


def describe(head: bytes) -> str | None:
    """A noun phrase for what starts with `head`; None if that is not known."""
    return next((name for magic, name in _MAGIC if head.lstrip().startswith(magic)), None)


def shown(head: bytes) -> str:
    """The first bytes of it."""
    return f"it starts with {_text(head[:16])}" if head else ""


def _text(head: bytes) -> str:
    """As text where it is some, else in hex."""
    text = head.decode("ascii", "replace")
    return repr(text) if text.isprintable() and text.isascii() else f"the bytes {head.hex(' ')}"
