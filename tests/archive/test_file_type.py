"""What is no tar is named, with what to do about it."""

from __future__ import annotations

import base64

import pytest

from app.errors import TarmacError, UnknownFormat
from tests.support import archives
from tests.support.opening import opened

SAVED = archives.docker_save([archives.tagged(archives.image({"bin/app": bytes(range(256)) * 40}), "a:1")])


def replaced(data: bytes) -> bytes:
    """As PowerShell 7 before 7.4 redirects bytes: read as UTF-8, written as lines that end with CR LF."""
    return data.decode("utf-8", "replace").replace("\n", "\r\n").encode()


POWERSHELL = {
    "5.1": SAVED.decode("cp437").encode("utf-16"),
    "5.1, big-endian": b"\xfe\xff" + SAVED.decode("cp437").encode("utf-16-be"),
    "5.1, gzip": archives.wrap(SAVED, "gzip").decode("cp437").encode("utf-16"),
    "5.1, short": b"\xff\xfea\0",
    "7": replaced(SAVED),
    "7, gzip": replaced(archives.wrap(SAVED, "gzip")),
    "7, zstd": replaced(archives.wrap(SAVED, "zstd")),
    "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + replaced(SAVED),
}


@pytest.mark.parametrize("what", POWERSHELL)
def test_what_powershell_made_of_an_archive_is_refused_with_its_cause(what: str) -> None:
    with pytest.raises(TarmacError) as refused:
        opened(POWERSHELL[what])
    assert refused.value.code in {"unknown_format", "malformed_archive"}
    assert "PowerShell" in str(refused.value)
    assert "docker save -o" in str(refused.value)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"PK\x03\x04", "zip file; unpack"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip file; unpack"),
        (b"Rar!\x1a\x07\x01\0", "RAR file; unpack"),
        (b"!<arch>\ndebian-binary", "Debian package;.*docker save"),
        (b"\xed\xab\xee\xdb\x03\0", "RPM package;.*docker save"),
        (b"QFI\xfb\0\0\0\x03", "QCOW2 disk image;.*docker save"),
        (b"<!DOCTYPE html><html><title>404", "HTML or XML document.*download"),
        (b"\n  <html>", "HTML or XML document.*download"),
        (b'{"errors":[{"code":"UNAUTHORIZED"}]}', "JSON document;.*download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS.*git lfs pull"),
        (base64.b64encode(SAVED), "base64.*decode"),
        (base64.encodebytes(SAVED), "base64.*decode"),
        (b"\x7fELF\x02\x01", "ELF program"),
        (b"%PDF-1.7", "PDF document"),
    ],
)
@pytest.mark.parametrize("size", [0, 2000])
def test_what_else_is_sent_by_mistake_is_named_with_what_to_do(head: bytes, words: str, size: int) -> None:
    for data in (head + b"\x07" * size, archives.wrap(head + b"\x07" * size, "gzip")):
        with pytest.raises(UnknownFormat, match=words):
            opened(data)
    with pytest.raises(UnknownFormat):
        opened(bytes(32769) + b"CD001" + bytes(2043))
