"""Hostile requests: methods and routes, with queries, header fields and bodies that no honest client sends.

`%JOB%` and `%UPLOAD%` stand for the id of a job that has ended and of an upload that was begun for the request."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.support.archives import docker_save, image, tagged

APP = docker_save([tagged(image({"bin/app": b"hostile"}), "hostile/app:1")])
LENGTH = len(APP)
_TUS = "Tus-Resumable: 1.0.0"
_FORM = "Content-Type: multipart/form-data; boundary=XX"
_JSON = "Content-Type: application/json"
_DEEP = b"[" * 100_000
LONG = "x" * 30_000


@dataclass(frozen=True, slots=True)
class Hostile:
    """`segments` are sent one after the other; `cut`: then the client ends its side."""

    name: str
    segments: tuple[bytes, ...]
    cut: bool = False

    def __str__(self) -> str:
        return self.name


Cases = Iterator[Hostile]


def asked(
    method: str, target: str | bytes, *fields: str | bytes, body: bytes = b"", length: int | None = None
) -> bytes:
    """A request. Texts are sent as UTF-8. With `length` below 0 there is no Content-Length."""
    path = target if isinstance(target, bytes) else target.encode()
    size = len(body) if length is None else length
    lines = [field if isinstance(field, bytes) else field.encode() for field in ("Host: 127.0.0.1", *fields)]
    if size > 0 or (body and size == 0) or method in ("POST", "PUT", "PATCH"):
        lines += [b"Content-Length: %d" % size] * (size >= 0)
    return b"\r\n".join((b"%b %b HTTP/1.1" % (method.encode(), path), *lines, b"", body))


def one(method: str, target: str | bytes, *fields: str | bytes, body: bytes = b"", why: str = "") -> Hostile:
    said = f"{method} {target!r:.60} {' '.join(map(str, fields))!r:.80} {why or body[:30]!r}"
    return Hostile(said, (asked(method, target, *fields, body=body),))


ROUTES = (
    "/", "/docs", "/docs/swagger-ui.css", "/page/station.js", "/openapi.json", "/healthz", "/readyz", "/metrics",
    "/registries", "/jobs", "/jobs/%JOB%", "/jobs/%JOB%/events", "/jobs/%JOB%/cancel", "/audit", "/push", "/push/x.tar",
    "/uploads", "/uploads/%UPLOAD%", "/uploads/%UPLOAD%/push", "/v2/", "/v2/_catalog", "/v2/hostile/app/tags/list",
    "/v2/hostile/app/manifests/1", "/v2/hostile/app/blobs/sha256:" + "0" * 64, "/_ping", "/v1.43/_ping", "/version",
    "/images/load", "/images/hostile/app/push", "/images/hostile/app/json", "/nothing",
)  # fmt: skip


def methods() -> Cases:
    """Each route with each method that it does not know, and with none that anybody knows."""
    for route in ROUTES:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            yield one(method, route)
    for method in ("get", "BREW", "CONNECT", "PRI", "", "GET\t", "POST/push", "P\x00ST"):
        yield one(method, "/push")


PATHS = (
    b"*", b"", b"push", b"//", b"/%", b"/%zz", b"/%00", b"/%ff", b"/\xff", b"/jobs/%00", b"/jobs/%2e%2e", b"/jobs/..",
    b"/jobs/%ed%a0%80", b"/push/%ed%a0%80", b"/push/../../etc/passwd", b"/push/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    b"/push/" + b"x" * 20_000, b"/jobs/" + b"x" * 20_000, b"/page/..%2f..%2fmain.py", b"/docs/../../main.py",
    b"/docs/%2e%2e/docs.html", b"/page/%00", b"/uploads/..", b"/uploads/" + b"0" * 32, b"/uploads/" + b"f" * 33,
    b"/uploads/%2e%2e%2fjobs", b"/jobs/a/b/c/d/events", b"/jobs//events", b"/v2//tags/list", b"/v2/../jobs",
    b"/v2/%2e%2e/tags/list", b"/v2/UPPER/tags/list", b"/v2/a/manifests/" + b"x" * 500, b"/v2/a/manifests/%00",
    b"/v2/a/blobs/sha256:..%2f..", b"/v2/a/blobs/md5:0", b"/v2/a/referrers/x", b"/v2/" + b"a/" * 3000 + b"tags/list",
    b"/v1.99999999999999999999/_ping", b"/v1.9223372036854775808/images/load", b"/v1.-1/_ping", b"/v1.x/_ping",
    b"/images/%00/json", b"/images/..%2f..%2fx/json", b"/images/:::/json", b"/images/a@sha256:0/json",
    b"http://evil.example/jobs", b"https://[::1/jobs", b"http://127.0.0.1:99999/jobs", b"/jobs#x", b"/jobs?",
    b"/jobs;a=b",
    b"/push/%0d%0aSet-Cookie:%20a=b", b"/jobs/%0d%0aX:%20y", b"/%E2%80%AE", b"/" + b"%41" * 5000,
)  # fmt: skip


def paths() -> Cases:
    for path in PATHS:
        for method in ("GET", "PUT"):
            yield one(method, path)
    for version in (
        b"HTTP/9.9",
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"HTTP/0.9",
        b"HTTP/1.1 x",
        b"HTTP/",
        b"http/1.1",
        b"ICY/1.0",
        b"",
    ):
        yield Hostile(f"version {version!r}", (b"GET /jobs %b\r\nHost: 127.0.0.1\r\n\r\n" % version,))


_NUMBERS = (
    "",
    "-1",
    "0",
    "1e999",
    "nan",
    "inf",
    "-inf",
    "1_0",
    "0x10",
    "٣",
    "9" * 400,
    "1.5",
    "+1",
    " 1",
    "1;2",
    "%00",
)
_VALUES = (
    "",
    "%00",
    "%ff",
    "%ed%a0%80",
    "%F0%9F%98%80",
    "..",
    "'",
    "%22%3Cscript%3E",
    "x" * 300,
    LONG,
    "%0d%0a",
    "a=b",
    "=",
)


def queries() -> Cases:
    for route, names in {
        "/jobs": ("limit", "cursor", "state", "label", "brief", "q"),
        "/audit": ("since", "limit", "cursor", "format"),
        "/v2/_catalog": ("n", "last"),
        "/v2/hostile/app/tags/list": ("n", "last"),
        "/jobs/%JOB%": ("wait",),
    }.items():
        for name in names:
            for value in dict.fromkeys((*_NUMBERS, *_VALUES)):
                yield one("GET", f"{route}?{name}={value}")
    for since in (
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00%2B14:00",
        "2026-02-30",
        "1e10",
        "-1",
        "9" * 30,
        "now",
    ):
        yield one("GET", f"/audit?since={since}")
    for query in ("&" * 5000, "=" * 5000, "a" * LENGTH, "limit=1&limit=2", "&".join(f"a{n}=b" for n in range(2000))):
        yield one("GET", f"/jobs?{query}")


OPTIONS = {
    "registry": ("", "nowhere", "../default", "http://evil.example", "127.0.0.1:1", "%00"),
    "tag": ("", ":", "a:", ":b", "A:1", "a:1:2", "../a:1", "a@sha256:0", "a" * 300 + ":1", "%00:1", "a:%ff", "%0a:1"),
    "rename": ("", "=", "a=", "=b", "a=b=c", "*=*", "a*=b", "[=a:1", "%00=a:1"),
    "prefix": ("/", "//", "A", "a//b", "a/../b", "%00", "a" * 300),
    "on_existing_tag": ("", "OVERWRITE", "delete"),
    "images": ("[", "***********************a", "%00", "[!]", "a" * 3000),
    "platforms": ("", ",", "linux", "linux/amd64/a/b", "%00", ",".join(["linux/a"] * 500)),
    "layer_compression": ("", "lzma"),
    "media_types": ("", "x"),
    "verify": ("", "everything"),
    "format": ("", "tar"),
    "checksum": ("", "sha256:", "sha256:" + "0" * 63, "md5:0", "sha256:" + "g" * 64, "SHA256:" + "0" * 64, "sha512:0"),
    "dry_run": ("maybe", ""),
    "allow_missing": ("2",),
    "keep_going": ("2",),
    "priority": ("1e3", "101", "-101", "9" * 400, "٣"),
    "label": ("", "=", "a", "%00=b", "a=%00", "a" * 1000 + "=b", "a=" + "b" * 10_000),
    "wait": ("-1", "nan", "inf", "1e400", "86401", "x"),
    "unknown": ("x",),
    "hold": ("true",),
}


def options() -> Cases:
    """Of a push whose archive is good, and of an upload."""
    for name, values in OPTIONS.items():
        for value in values:
            yield one("POST", f"/push?{name}={value}", body=APP, why=f"{name}={value:.30}")
            yield one("POST", f"/uploads?{name}={value}", _TUS, "Upload-Length: 10")
    for name in ("tag=a:1&tag=b:1", "checksum=sha256:0&checksum=x", "label=a=b&label=a=c"):
        yield one("PUT", f"/push/x?{name}", body=APP, why=name)


FIELDS: Mapping[str, tuple[str, ...]] = {
    "Idempotency-Key": ("", " ", "x" * 256, LONG, "ä", "a\tb", "\x7f"),
    "Prefer": ("wait", "wait=", "wait=x", "wait=-1", "wait=1e400", 'wait="', "wait=1, wait=2", "," * 1000),
    "Content-Digest": ("", "x", "sha-256=", "sha-256=:::", "sha-256=:!!:", "sha-256=:AA==:", "md5=:AA==:",
    "sha-256=:" + "A" * 5000),
    "Repr-Digest": ("sha-256=:AA==:", "sha-512=:AA==:"),
    "Content-Type": (
        "", ";", ";;;", "/", "a/b;c", "multipart/form-data", "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=" + "X" * 300, "multipart/form-data; boundary=ä",
        "multipart/form-data; boundary=a b",
        "multipart/byteranges; boundary=XX", "application/json; charset=utf-16", "application/+json", "\x80", "ä" * 100,
        "application/json" + ";a=b" * 2000,
    ),
    "Content-Encoding": ("gzip", "br", "identity", "gzip, gzip"),
    "Transfer-Encoding": ("gzip", "chunked, gzip", "identity", "xchunked", "chunked, chunked"),
    "Content-Range": ("bytes 0-1/2", "x", ""),
    "Authorization": ("", "Bearer", "Bearer ", "Basic %%%", "Basic " + "A" * 5000, "Digest x", "Bearer \x80",
    "Negotiate"),
    "Origin": ("", "null", "http://[", "http://a:b", "://", "http://evil.example", "file://"),
    "Sec-Fetch-Site": ("", "cross-site", "x"),
    "Expect": ("100-continue", "200-ok", "", "100-continue, x"),
    "Upgrade": ("h2c", "websocket", ""),
    "X-Forwarded-For": ("", "unknown", ",,,", "1.2.3.4, [::1", "::ffff:1.2.3.4", "1.2.3.4:99999", "1," * 5000,
    "fe80::1%eth0"),
    "X-Forwarded-Proto": ("", "javascript", "https,http"),
    "X-Forwarded-Host": ("", "evil.example", "[", "a b", "127.0.0.1:99999", "127.0.0.1:x"),
    "X-Forwarded-Prefix": ("/", "//evil.example", "/../..", "x", '/"><script>', "/" + "a/" * 3000, "/v2"),
    "X-Request-Id": ("", "a b", "x" * 65, '"}\x7f'),
    "X-HTTP-Method-Override": ("PATCH", "DELETE", "TRACE", ""),
}  # fmt: skip


def fields() -> Cases:
    """With a good archive behind them, and to a route that takes none."""
    for name, values in FIELDS.items():
        for value in values:
            yield one("POST", "/push", f"{name}: {value}", body=APP, why="archive")
            yield one("GET", "/jobs", f"{name}: {value}")
    for host in (
        "",
        "a b",
        "a/b",
        "a@b",
        "[",
        "[::1",
        "127.0.0.1:x",
        "127.0.0.1:999999",
        "evil.example",
        "127.0.0.1\x00",
        "ä",
    ):
        yield Hostile(f"Host {host!r}", (b"GET /jobs HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode(),))
    for last in ("-1", "x", "9" * 19, "9" * 400, "1.5", "٣", ""):
        yield one("GET", "/jobs/%JOB%/events", f"Last-Event-ID: {last}")
    for asked_for in (
        "bytes=0-0",
        "bytes=5-1",
        "bytes=-",
        "bytes=0-0,2-3",
        "x=1-2",
        "bytes=" + "9" * 30 + "-",
        "bytes=0-" + "9" * 400,
    ):
        yield one("GET", "/v2/hostile/app/manifests/1", f"Range: {asked_for}")
    many = [f"X-{number}: y" for number in range(200)]
    yield Hostile("200 fields", (asked("GET", "/jobs", *many),))
    yield Hostile("40 KB of a field", (asked("GET", "/jobs", "X: " + "y" * 40_000),))
    for bad in (
        b"X",
        b": y",
        b"X : y",
        b"X: a\nb",
        b" X: y",
        b"X: \x00",
        b"X\xff: y",
        b"Host: 127.0.0.1",
        b"\xff: \xff",
    ):
        yield Hostile(f"field {bad!r}", (b"GET /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n\r\n" % bad,))


_B64 = base64.b64encode(b"x.tar").decode()
TUS_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Tus-Resumable": ("", "0.2.2", "2.0.0", "1.0.0, 1.0.0"),
    "Upload-Length": ("", "-1", "x", "1e3", "9" * 15, "9" * 16, "9" * 400, "0x1", "+1", "٣", "1.0"),
    "Upload-Defer-Length": ("0", "2", "x", ""),
    "Upload-Metadata": (
        "filename", f"filename {_B64},filename {_B64}", "filename !!!",
        "filename " + base64.b64encode(b"\xff").decode(),
        ",".join(f"a{number} {_B64}" for number in range(70)), f" {_B64}", f"tag {_B64}", f"wait {_B64}",
        f"registry {_B64}",
        "label " + base64.b64encode(b"a\n\nb=c").decode(), "filename " + base64.b64encode(b"../../x\x00").decode(),
        f"dry_run {_B64}", ",,,", "filename " + "A" * 20_000,
    ),
    "Upload-Concat": ("", "final", "final;", "final;x", "final;/uploads/x", "final;/uploads/" + "0" * 32,
    "final;/uploads/%UPLOAD%",
                      "final;/uploads/%UPLOAD% /uploads/%UPLOAD%", "partially", "partial;x",
                      "final;http://[/uploads/x"),
    "Upload-Complete": ("", "?2", "true", "1", "?1;a=b", "?0"),
    "Upload-Offset": ("1", "-1", "x"),
    "Upload-Checksum": ("", "sha1", "sha1 x", "crc32 AAAA", "sha1 " + _B64, "md5 " + "A" * 5000),
    "Upload-Draft-Interop-Version": ("3", "x", "9" * 400),
    "Content-Disposition": ("x",
    'attachment; filename="', "inline; filename*=x", "inline; filename*=UTF-8''%ff", "; " * 3000),
    "Content-Digest": ("sha-256=:AA==:",),
    "Repr-Digest": ("sha-256=:AA==:", "x"),
}  # fmt: skip


def uploads() -> Cases:
    """The creation of an upload, with and without bytes of it, and what follows."""
    for name, values in TUS_FIELDS.items():
        for value in values:
            said = f"{name}: {value}"
            more = [field for field in (_TUS, f"Upload-Length: {LENGTH}") if not field.startswith(f"{name}:")]
            yield one("POST", "/uploads", *more, said)
            yield one(
                "POST",
                "/uploads",
                *more,
                said,
                "Content-Type: application/offset+octet-stream",
                body=APP,
                why="archive",
            )
    for length in (10, LENGTH - 1, LENGTH + 1):
        yield one(
            "POST", "/uploads", _TUS, f"Upload-Length: {length}", body=APP, why=f"{length} announced, {LENGTH} sent"
        )
    for complete in ("?1", "?0"):
        yield one(
            "POST", "/uploads", f"Upload-Complete: {complete}", "Upload-Length: 10", body=APP, why="too many bytes"
        )
        yield one("POST", "/uploads", f"Upload-Complete: {complete}", body=b"nonsense" * 100)
    whole = asked("POST", "/uploads", _TUS, f"Upload-Length: {LENGTH}", body=APP)
    yield Hostile("a creation that is cut off", (whole[:-1000],), cut=True)
    yield Hostile(
        "a creation of the draft that is cut off",
        (asked("POST", "/uploads", "Upload-Complete: ?1", body=APP)[:-9],),
        cut=True,
    )
    for offset in ("0", "1", "-1", "x", "9" * 15, "9" * 400, ""):
        for kind in ("application/offset+octet-stream", "application/partial-upload", "text/plain", ""):
            target = "/uploads/%UPLOAD%"
            yield one(
                "PATCH", target, _TUS, f"Upload-Offset: {offset}", f"Content-Type: {kind}", body=b"nonsense" * 100
            )
    for method in ("HEAD", "DELETE", "PATCH", "POST", "PUT", "GET"):
        yield one(method, "/uploads/" + "0" * 32, _TUS)
    for body in (
        b"",
        b"{}",
        b"[]",
        b'{"tag": 1}',
        b'{"unknown": 1}',
        b"\xff",
        _DEEP,
        b'{"wait": 1}',
        b'{"checksum": "x"}',
    ):
        yield one("POST", "/uploads/%UPLOAD%/push", _JSON, body=body)


BODIES = (
    b"", b"{", b"{}", b"[]", b"null", b"1", b'"x"', _DEEP, b"{" * 50_000, b"\xff\xfe", b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b'{"paths": []}', b'{"paths": "x"}', b'{"paths": [1]}', b'{"paths": [null]}', b'{"paths": [[]]}',
    b'{"paths": ["", "/"]}',
    b'{"paths": ["/etc/passwd"]}', b'{"paths": ["/etc/shadow*"]}', b'{"paths": ["/../../etc"]}',
    b'{"paths": ["/\\u0000"]}',
    b'{"paths": ["/\\ud800"]}', b'{"paths": ["/a"], "paths": ["/b"]}', b'{"paths": ["/a"], "Paths": 1}',
    b'{"paths": ["/a"], "tag": {}}',
    b'{"paths": ["/a"], "tag": [1,2]}', b'{"paths": ["/a"], "label": {"a": {}}}',
    b'{"paths": ["/a"], "label": [["a"]]}',
    b'{"paths": ["/a"], "wait": NaN}', b'{"paths": ["/a"], "wait": 1e999}',
    b'{"paths": ["/a"], "priority": ' + b"9" * 5000 + b"}",
    b'{"paths": ["/a"], "dry_run": "maybe"}', b'{"paths": ["' + b"*" * 3000 + b'"]}', b'{"paths": ["/**/**/**/**/**"]}',
    b'{"paths": [' + b'"/a",' * 2000 + b'"/a"]}', b'{"paths": ["/dev/zero"]}', b'{"paths": ["/proc/self/mem"]}',
    b'{"a": 1}' * 2,
    b'{"paths": ["[["]}', b'{"paths": ["/[!"]}', b'{"paths": ["' + b"/x" * 9000 + b'"]}',
    b"[" + b"1," * 200_000 + b"1]",
)  # fmt: skip


def json_bodies() -> Cases:
    for body in BODIES:
        for method, target in (("POST", "/push"), ("PUT", "/push/x")):
            yield one(method, target, _JSON, body=body)


def _part(head: bytes, content: bytes = b"") -> bytes:
    return b"--XX\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


_ARCHIVE = _part(b'Content-Disposition: form-data; name="archive"; filename="x.tar"', APP)
_END = b"--XX--\r\n"
FORMS = (
    b"", b"--", b"--XX", b"--XX--", _END, b"\r\n" * 1000, b"x" * 70_000, b"--XX\r\n\r\n", b"--XX\n\nx\n--XX--\n",
    _part(b"X: y") + _END, _part(b"Content-Disposition: form-data") + _END,
    _part(b"Content-Disposition: attachment; name=a") + _END,
    _part(b'Content-Disposition: form-data; name="') + _END,
    _part(b"Content-Disposition: form-data; name=" + b"x" * 9000) + _END,
    _part(b"A: b\r\n" * 20 + b"C: d") + _END, _part(b"Content-Disposition: form-data; name=tag\r\n folded") + _END,
    _part(b'Content-Disposition: form-data; name="tag"', b"\xff") + _ARCHIVE + _END,
    _part(b'Content-Disposition: form-data; name="tag"', b"x" * 70_000) + _ARCHIVE + _END,
    _part(b'Content-Disposition: form-data; name="unknown"', b"x") + _ARCHIVE + _END,
    _ARCHIVE + _part(b'Content-Disposition: form-data; name="unknown"', b"x") + _END,
    _ARCHIVE + _part(b'Content-Disposition: form-data; name="tag"', b":::") + _END,
    _ARCHIVE + _part(b'Content-Disposition: form-data; name="checksum"', b"sha256:" + b"0" * 64) + _END,
    _ARCHIVE + _ARCHIVE + _part(b'Content-Disposition: form-data; name="tag"', b"a:1") + _END,
    _ARCHIVE + _ARCHIVE + _part(b'Content-Disposition: form-data; name="checksum"', b"sha256:" + b"0" * 64) + _END,
    _part(b'Content-Disposition: form-data; name="archive"; filename="x"', b"nonsense" * 200) + _END,
    _part(b'Content-Disposition: form-data; name="archive"; filename="x"') + _END,
    _part(b'Content-Disposition: form-data; name="archive"') + _END,
    _ARCHIVE + _part(b'Content-Disposition: form-data; name="archive"; filename="y"', APP[:3000]) + _END,
    _part(b'Content-Disposition: form-data; name="archive"; filename="x.tar.001"', APP[:3000]) + _END,
    _part(b'Content-Disposition: form-data; name="archive"; filename="x.tar.000"', APP[:3000]) + _END,
    _part(b'Content-Disposition: form-data; name="archive"; filename="\xff\x00\x1b[31m"', APP) + _END,
    _part(b"Content-Disposition: form-data; name=archive; filename*=UTF-8''%00%0d%0a%ff", APP) + _END,
    _part(b"Content-Disposition: form-data; name=label", b"a=b") * 110 + _ARCHIVE + _END, _ARCHIVE,
    _ARCHIVE + b"--XX", _ARCHIVE[:-2000],
    _ARCHIVE + _END + _ARCHIVE, _ARCHIVE.replace(b"\r\n", b"\n", 3) + _END, b"--XX \t" * 20_000,
)  # fmt: skip


def forms() -> Cases:
    for number, body in enumerate(FORMS):
        yield one("POST", "/push", _FORM, body=body, why=f"form {number} {body[:40]!r}")
        yield one(
            "PUT",
            "/push/x.tar",
            "Content-Type: multipart/form-data",
            body=body,
            why=f"form {number} without a boundary",
        )


ARCHIVES = {
    "nothing": b"", "one byte": b"x", "zeros": bytes(1024), "text": b"nonsense" * 1000, "half": APP[: LENGTH // 2],
    "gzip": gzip.compress(APP)[:-9],
    "no end": APP[:-1024], "gzip of gzip": gzip.compress(gzip.compress(APP)), "json": b"{}", "html": b"<html>",
    "two": APP + APP,
    "a form": _ARCHIVE + _END, "pairs": b"archive=@x.tar",
}  # fmt: skip
_DOORS = (
    ("POST", "/push"),
    ("PUT", "/push/x.tar"),
    ("POST", "/push?wait=5"),
    ("POST", "/push?dry_run=true"),
    ("POST", "/images/load"),
    ("POST", "/images/load?platform=x"),
)


def archives() -> Cases:
    for name, body in ARCHIVES.items():
        for method, target in _DOORS:
            yield one(method, target, body=body, why=name)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json", "image/png"):
            yield one("POST", "/push", f"Content-Type: {kind}", body=body, why=name)


def framings() -> Cases:
    """Bodies that end too early or too late, lengths that lie, and chunks that are none."""
    for method, target in (*_DOORS, ("POST", "/uploads")):
        begun = (_TUS, f"Upload-Length: {LENGTH}") if target == "/uploads" else ()
        whole = asked(method, target, *begun, body=APP)
        for size in (1, 513, LENGTH // 2, LENGTH - 1):
            yield Hostile(f"{method} {target} cut {size} bytes before its end", (whole[:-size],), cut=True)
        for length in (LENGTH + 1, 10**12, 10**17, 2**63, 2**64 - 1, 10**30):
            yield Hostile(
                f"{method} {target} of {length} bytes",
                (asked(method, target, *begun, body=APP, length=length),),
                cut=True,
            )
        yield Hostile(f"{method} {target} of fewer", (asked(method, target, *begun, body=APP, length=600),), cut=True)
        head = asked(method, target, *begun, "Transfer-Encoding: chunked", length=-1)
        for chunk in (b"x", b"-1\r\n", b"5\r\nab", b"ffffffffffffffffff\r\n", b"0\r\n",
        b"3;" + b"a" * 20_000 + b"\r\nabc\r\n0\r\n\r\n",
                      b"3\r\nabcX", b"0\r\nX: y\r\n\r\n", b"\r\n", b" 3\r\nabc\r\n0\r\n\r\n",
                      b"3\nabc\n0\n\n"):  # fmt: skip
            yield Hostile(f"{method} {target} in chunks {chunk[:20]!r}", (head, chunk), cut=True)
        yield Hostile(
            f"{method} {target} with an offer",
            (head.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost", 1),),
            cut=True,
        )
    for extra in (
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 1, 1",
    ):
        yield Hostile(
            f"smuggled by {extra!r}",
            (b"POST /push HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n\r\n0\r\n\r\n" % extra,),
            cut=True,
        )
    for data in (
        b"\0" * 1000,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200),
        b"\r\n" * 500,
        b"SSH-2.0-x\r\n",
        b"{}",
        b"GET",
    ):
        yield Hostile(f"no HTTP: {data[:12]!r}", (data,), cut=True)
    for version in ("1.0", "0.9"):
        head = f"POST /push HTTP/{version}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        yield Hostile(f"chunks in HTTP/{version}", (head, b"3\r\nabc\r\n0\r\n\r\n"), cut=True)


GROUPS = {
    group.__name__: tuple(replace(case, name=f"{number} {case}") for number, case in enumerate(group()))
    for group in (methods, paths, queries, options, fields, uploads, json_bodies, forms, archives, framings)
}
