from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from app.errors import (
    Failure,
    RegistryAuth,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryRejected,
)
from app.net.response import Response
from app.net.urls import MAX_SHOWN_CHARACTERS, printable
from app.registry.distribution import hints
from app.registry.distribution.responses import (
    ErrorDetail,
    is_page,
    is_version_check,
    read_error_detail,
    to_registry_error,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def reply(status: int, code: str = "", method: str = "PUT", **headers: str) -> Response:
    body = json.dumps({"errors": [{"code": code, "message": "the words"}]}).encode() if code else b""
    url = "https://r.local/v2/a/blobs/uploads/1?_state=secret"
    return Response(method, url, status, {name: (value,) for name, value in headers.items()}, body)


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
        (reply(302), RegistryRejected, True),
        (reply(200), RegistryRejected, True),
        (reply(408), RegistryFault, True),
        (reply(500), RegistryFault, True),
        (reply(503), RegistryFault, True),
        (reply(429), RegistryRateLimited, True),
        (reply(403, "TOOMANYREQUESTS"), RegistryRateLimited, True),
    ],
)
def test_each_status_is_an_error_of_ours(answer: Response, kind: type[RegistryError], retryable: bool) -> None:
    error = to_registry_error(answer, NOW)
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
    error = to_registry_error(Response("POST", "https://r.local/v2/a/blobs/uploads/", status, {}, body), NOW)
    assert type(error) is RegistryRejected
    assert words in str(error)


@pytest.mark.parametrize(
    ("method", "status", "failure"),
    [
        ("PUT", 500, Failure.CONTENT_ERROR),
        ("PATCH", 507, Failure.CONTENT_ERROR),
        ("PUT", 599, Failure.CONTENT_ERROR),
        ("POST", 500, Failure.SERVER_ERROR),
        ("HEAD", 520, Failure.SERVER_ERROR),
        ("GET", 501, Failure.SERVER_ERROR),
        ("PUT", 502, Failure.OVERLOADED),
        ("PUT", 503, Failure.OVERLOADED),
        ("HEAD", 504, Failure.OVERLOADED),
        ("PUT", 408, Failure.OVERLOADED),
        ("PUT", 429, Failure.RATE_LIMITED),
        ("PUT", 101, Failure.BROKEN_RESPONSE),
        ("POST", 206, Failure.BROKEN_RESPONSE),
        ("PUT", 304, Failure.BROKEN_RESPONSE),
        ("GET", 511, Failure.REFUSED_NOW),
        ("PUT", 421, Failure.REFUSED_NOW),
        ("PUT", 423, Failure.REFUSED_NOW),
        ("PUT", 400, Failure.REFUSED),
        ("PUT", 401, Failure.REFUSED),
        ("PUT", 407, Failure.REFUSED),
        ("POST", 418, Failure.REFUSED),
        ("POST", 426, Failure.REFUSED),
        ("POST", 451, Failure.REFUSED),
        ("PUT", 499 - 1, Failure.REFUSED),
    ],
)
def test_every_status_has_its_class(method: str, status: int, failure: Failure) -> None:
    error = to_registry_error(reply(status, method=method), NOW)
    assert error.failure is failure
    assert error.retryable is (failure is not Failure.REFUSED)


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/v2/a/blobs/uploads/", ""),
        ("PUT", "/v2/a/manifests/1", ""),
        ("POST", "/v2/a/blobs/uploads/", "The system is in read only mode. Any modification is prohibited."),
        ("PATCH", "/v2/a/blobs/uploads/1", "the registry is currently read-only"),
    ],
)
def test_a_registry_that_takes_no_pushes_now_is_worth_a_retry(method: str, path: str, words: str) -> None:
    body = json.dumps({"errors": [{"code": "DENIED", "message": words}]}).encode()
    error = to_registry_error(Response(method, f"https://r.local{path}", 403 if words else 405, {}, body), NOW)
    assert type(error) is RegistryDenied
    assert (error.failure, error.retryable, error.outage) == (Failure.REFUSED_NOW, True, False)
    assert hints.READ_ONLY in str(error)


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "blobs/uploads/?mount=sha256:1&from=a"), ("PUT", "blobs/uploads/1"), ("HEAD", "blobs/sha256:1")],
)
def test_a_405_to_one_way_of_asking_says_nothing_of_pushes(method: str, target: str) -> None:
    error = to_registry_error(Response(method, f"https://r.local/v2/a/{target}", 405, {}), NOW)
    assert (type(error), error.retryable) == (RegistryRejected, False)


def test_missing_rights_are_no_wrong_password() -> None:
    challenge = 'Bearer realm="https://a/t",service="s",scope="repository:team/app:push",error="insufficient_scope"'
    error = to_registry_error(reply(401, "UNAUTHORIZED", **{"www-authenticate": challenge}), NOW)
    assert type(error) is RegistryDenied
    assert "repository:team/app:push" in str(error)
    assert "password" not in str(error)


PAGE = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body", "page"),
    [
        (PAGE, b"<html>", True),
        (PAGE, b"", True),
        ({"content-type": "application/xhtml+xml"}, b"", True),
        ({}, b"  <!DOCTYPE html><title>Welcome", True),
        ({**PAGE, "location": "/login"}, b"", True),
        ({**PAGE, "docker-distribution-api-version": "registry/2.0"}, b"true", False),
        ({**PAGE, "docker-content-digest": "sha256:1"}, b"OK", False),
        ({**PAGE, "location": "/v2/a/manifests/1"}, b"", False),
        ({"content-type": "application/json"}, b"<html>", False),
        ({}, b"", False),
        ({"content-type": "text/plain"}, b"ok", False),
    ],
)
def test_a_web_page_is_told_from_what_a_registry_labels_as_html(
    headers: dict[str, str], body: bytes, page: bool
) -> None:
    answer = Response("PUT", "https://r.local/v2/a", 200, {name: (value,) for name, value in headers.items()}, body)
    assert is_page(answer) is page


@pytest.mark.parametrize(
    ("status", "path", "headers", "proper"),
    [
        (200, "/v2/", {}, True),
        (401, "/v2/", {}, True),
        (401, "/v2/", {**PAGE, "www-authenticate": 'Basic realm="nginx"'}, True),
        (200, "/v2/", {**PAGE, "docker-distribution-api-version": "registry/2.0"}, True),
        (200, "/v2/", PAGE, False),
        (401, "/v2/", PAGE, False),
        (200, "/login", {}, False),
        (200, "/", {}, False),
        (404, "/v2/", {}, False),
        (503, "/v2/", {}, False),
    ],
)
def test_a_registry_answers_its_version_at_that_path(
    status: int, path: str, headers: dict[str, str], proper: bool
) -> None:
    answer = Response("GET", f"https://r.local{path}", status, {name: (value,) for name, value in headers.items()})
    assert is_version_check(answer) is proper


def test_the_message_keeps_the_code_and_the_words_and_leaves_the_query_out() -> None:
    message = str(to_registry_error(reply(400, "MANIFEST_INVALID"), NOW))
    assert message == "r.local answered 400 to PUT /v2/a/blobs/uploads/1: MANIFEST_INVALID: the words"


@pytest.mark.parametrize(
    ("status", "value", "seconds"), [(429, "7", 7.0), (503, "Fri, 02 Jan 2026 03:05:05 GMT", 60.0)]
)
def test_retry_after_is_kept(status: int, value: str, seconds: float) -> None:
    error = to_registry_error(reply(status, **{"retry-after": value}), NOW)
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
        (b"[" * 60_000, "", "[" * MAX_SHOWN_CHARACTERS + "…"),
        (b"\x1b[2J\xff\r\n.", "", "\\x1b[2J\ufffd\\r\\n."),
    ],
)
def test_any_error_body_can_be_read(body: bytes, code: str, words: str) -> None:
    assert read_error_detail(body) == ErrorDetail(code, words)


def test_what_could_steer_a_terminal_is_written_out() -> None:
    assert printable("a\u202eb\x00c\x1b") == "a\\u202eb\\x00c\\x1b"
    assert printable("größe") == "größe"


@pytest.mark.parametrize(
    ("host", "name", "is_told"),
    [
        ("registry-1.docker.io", "me/library/nginx", True),
        ("registry-1.docker.io", "nginx", True),
        ("registry-1.docker.io", "me/nginx", False),
        ("registry.local", "me/library/nginx", False),
    ],
)
def test_names_that_docker_hub_does_not_have_are_explained(host: str, name: str, is_told: bool) -> None:
    challenge = 'Bearer realm="https://auth.docker.io/token",error="insufficient_scope"'
    answer = Response("POST", f"https://{host}/v2/{name}/blobs/uploads/", 401, {"www-authenticate": (challenge,)})
    error = to_registry_error(answer, NOW)
    assert isinstance(error, RegistryDenied)
    assert ("NAMESPACE/REPOSITORY" in str(error)) is is_told
