from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from app.errors import (
    RegistryAuth,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryRejected,
)
from app.registry.reply import Complaint, Reply, error_of, read_complaint
from app.registry.wire import WORDS, printable

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def reply(status: int, code: str = "", method: str = "PUT", **headers: str) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": "the words"}]}).encode() if code else b""
    url = "https://r.local/v2/a/blobs/uploads/1?_state=secret"
    return Reply(method, url, status, {name: (value,) for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (reply(401, "UNAUTHORIZED"), RegistryAuth, False),
        (reply(403, "DENIED"), RegistryDenied, False),
        (reply(404, "NAME_UNKNOWN"), RegistryDenied, False),
        (reply(404, method="POST"), RegistryDenied, False),
        (reply(404, "BLOB_UPLOAD_UNKNOWN"), RegistryRejected, False),
        (reply(400, "MANIFEST_INVALID"), RegistryRejected, False),
        (reply(413), RegistryRejected, False),
        (reply(302), RegistryRejected, False),
        (reply(200), RegistryRejected, False),
        (reply(408), RegistryFault, True),
        (reply(500), RegistryFault, True),
        (reply(503), RegistryFault, True),
        (reply(429), RegistryRateLimited, True),
        (reply(403, "TOOMANYREQUESTS"), RegistryRateLimited, True),
    ],
)
def test_each_status_is_an_error_of_ours(answer: Reply, kind: type[RegistryError], retryable: bool) -> None:
    error = error_of(answer, NOW)
    assert type(error) is kind
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "CSRF token invalid"),
        (403, "CSRF verification failed. Request aborted."),
        (401, "Anti cross-site request forgery token mismatch"),
        (400, "missing xsrf token"),
        (419, "CSRF token mismatch."),
    ],
)
def test_a_refusal_because_of_csrf_is_no_lack_of_rights(status: int, words: str) -> None:
    body = json.dumps({"errors": [{"code": "FORBIDDEN", "message": words}]}).encode()
    error = error_of(Reply("POST", "https://r.local/v2/a/blobs/uploads/", status, {}, body), NOW)
    assert type(error) is RegistryRejected
    assert words in str(error)


def test_the_message_keeps_the_code_and_the_words_and_leaves_the_query_out() -> None:
    message = str(error_of(reply(400, "MANIFEST_INVALID"), NOW))
    assert message == "r.local answered 400 to PUT /v2/a/blobs/uploads/1: MANIFEST_INVALID: the words"


@pytest.mark.parametrize(
    ("status", "value", "seconds"), [(429, "7", 7.0), (503, "Fri, 02 Jan 2026 03:05:05 GMT", 60.0)]
)
def test_retry_after_is_kept(status: int, value: str, seconds: float) -> None:
    error = error_of(reply(status, **{"retry-after": value}), NOW)
    assert isinstance(error, RegistryRateLimited)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no","detail":{"x":1}}]}', "DENIED", "no; {'x': 1}"),
        (b'{"errors":[{"code":"A"},{"code":"B"}]}', "A", ""),
        (b'{"error":"invalid_grant","error_description":"gone"}', "invalid_grant", "gone"),
        (b'{"details":"incorrect username or password"}', "", "incorrect username or password"),
        (b'{"errors":[]}', "", ""),
        (b'{"errors":["x"]}', "", "{'errors': ['x']}"),
        (b"[1]", "", "[1]"),
        (
            b"<html>\r\n<head><title>413</title></head>\r\n<body><h1>413 Request Entity Too Large</h1></body></html>",
            "",
            "413 Request Entity Too Large",
        ),
        (b"", "", ""),
        (b"[" * 60_000, "", "[" * WORDS + "…"),
        (b"\x1b[2J\xff\r\n.", "", "\\x1b[2J\ufffd\\r\\n."),
    ],
)
def test_any_error_body_can_be_read(body: bytes, code: str, words: str) -> None:
    assert read_complaint(body) == Complaint(code, words)


def test_what_could_steer_a_terminal_is_written_out() -> None:
    assert printable("a\u202eb\x00c\x1b") == "a\\u202eb\\x00c\\x1b"
    assert printable("größe") == "größe"
