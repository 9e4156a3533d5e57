"""Registries that break the protocol, or refuse one thing for ever: the image ends soon, with the reason."""

from __future__ import annotations

from app.registry.distribution import hints
from app.registry.wrappers.verify import Verification
from tests.registry.faults.script import (
    CLOSE,
    HEAD_BLOB,
    LARGE,
    LOOK,
    PING,
    SEND,
    START,
    TAG,
    TOKEN,
    Fault,
    after_interim,
    complains,
    meets,
    relabelled,
    says,
)
from tests.support.memory_registry import Manners
from tests.support.scripted_registry import raw

ENDLESS = b'{"token": "", "expires_in": 1' + b"0" * 400 + b"}"
PAGE_502 = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
PAGE = says(200, b"<html><body>Please log in</body></html>", Content_Type="text/html; charset=utf-8")
HUGE_HEAD = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
TWO_LENGTHS = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"
NO_CHUNKS = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n"


def _odd_heads() -> list[Fault]:
    """Responses that h11 does not take for HTTP/1.1."""
    heads = {
        "no-status": b"hello, here is no registry\r\n\r\n",
        "status-of-words": b"HTTP/1.1 OK fine\r\n\r\n",
        "old-version": b"HTTP/3 200 OK\r\n\r\n",
        "bad-field": b"HTTP/1.1 201 Created\r\nno colon here\r\n\r\n",
        "bad-field-name": b"HTTP/1.1 201 Created\r\nbad name: x\r\nContent-Length: 0\r\n\r\n",
        "two-lengths": TWO_LENGTHS,
        "length-of-words": b"HTTP/1.1 201 Created\r\nContent-Length: some\r\n\r\n",
        "negative-length": b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n",
        "huge-head": HUGE_HEAD,
        "interim-storm": INTERIM * 1000,
        "interim-storm-of-103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 200,
    }
    places = {"tag": TAG, "start": START, "close": CLOSE, "look": LOOK}
    return [
        Fault(f"{name}-at-{where}", when, (), "registry_error", after=meets(raw(head)))
        for name, head in heads.items()
        for where, when in places.items()
    ]


BROKEN = [
    *_odd_heads(),
    Fault("some-interim-responses", f"{TAG}|{START}|{SEND}", (), after=after_interim(INTERIM * 3)),
    Fault("broken-chunks-after-a-good-head", TAG, (meets(raw(NO_CHUNKS)),)),
    Fault("switching-protocols", TAG, (), "registry_error", after=says(101)),
    Fault("500-for-the-manifest", TAG, (), "registry_error", after=says(500)),
    Fault("501-for-the-manifest", TAG, (), "registry_error", after=says(501)),
    Fault("520-for-the-manifest", TAG, (), "registry_error", after=says(520, PAGE_502)),
    Fault("500-for-the-bytes", SEND, (), "registry_error", after=complains(500, "UNKNOWN", "unknown error")),
    Fault("500-for-one-blob", LARGE, (), "registry_error", after=says(500)),
    Fault("500-for-every-start", START, (), "registry_error", after=says(500)),
    Fault("500-for-every-look", LOOK, (), "registry_error", after=says(500)),
    Fault("500-for-everything", r"(?!GET /token)", (), "registry_error", outage=True, after=says(500)),
    Fault("500-of-the-token-service", TOKEN, (), "registry_error", after=says(500)),
    Fault("503-of-the-token-service", TOKEN, (), "registry_error", outage=True, after=says(503)),
    Fault("502-for-the-manifest", TAG, (), "registry_error", outage=True, after=says(502, PAGE_502)),
    Fault("502-for-everything", r".*", (), "registry_error", outage=True, after=says(502, PAGE_502)),
    Fault("token-service-of-html", TOKEN, (), "registry_error", after=PAGE),
    Fault("token-service-of-nothing", TOKEN, (), "registry_error", after=says(200)),
    Fault("token-service-without-a-token", TOKEN, (), "registry_auth", after=says(200, b"{}")),
    Fault("token-service-of-another-shape", TOKEN, (), "registry_auth", after=says(200, b'["token", "abc"]')),
    Fault("token-service-of-a-number", TOKEN, (), "registry_auth", after=says(200, b'{"token": 17}')),
    Fault("token-service-of-words", TOKEN, (), "registry_auth", after=says(200, b'{"token": "with a space"}')),
    Fault("token-service-of-too-much", TOKEN, (), "registry_rejected", after=says(200, b" " * (2 << 20))),
    Fault("token-service-of-endless-time", TOKEN, (), "registry_error", after=says(200, ENDLESS)),
    Fault(
        "token-service-that-leads-on-and-on", TOKEN, (), "registry_rejected", after=says(302, b"", Location="/token")
    ),
    Fault("token-service-of-204", TOKEN, (), "registry_auth", after=says(204)),
    Fault("start-without-location", START, (), "registry_error", orphans=99, after=relabelled(Location="")),
    Fault(
        "start-with-a-broken-location",
        START,
        (),
        "registry_rejected",
        orphans=99,
        after=relabelled(Location="ftp://x/y"),
    ),
    Fault(
        "start-with-a-location-of-spaces",
        START,
        (),
        "registry_rejected",
        orphans=99,
        after=relabelled(Location="/v2/a b"),
    ),
    Fault(
        "start-with-a-location-of-a-bad-port",
        START,
        (),
        "registry_rejected",
        orphans=99,
        after=relabelled(Location="http://x:99999/"),
    ),
    Fault("start-200", START, (), "registry_rejected", orphans=99, after=relabelled(200)),
    Fault("start-204", START, (), "registry_rejected", orphans=99, after=relabelled(204)),
    Fault("tag-206", TAG, (), "registry_rejected", after=relabelled(206)),
    Fault("tag-304", TAG, (), "registry_rejected", after=says(304)),
    Fault("tag-300", TAG, (), "registry_rejected", after=says(300)),
    Fault("tag-307-without-location", TAG, (), "registry_rejected", after=says(307)),
    Fault(
        "tag-leads-to-itself", TAG, (), "registry_rejected", after=says(307, b"", Location="/v2/team/app/manifests/1.0")
    ),
    Fault("tag-leads-to-no-url", TAG, (), "registry_rejected", after=says(308, b"", Location="http://[half/")),
    Fault(
        "tag-leads-nowhere", TAG, (), "registry_unreachable", after=says(307, b"", Location="http://nowhere.invalid/x")
    ),
    Fault(
        "look-leads-nowhere",
        LOOK,
        (),
        "registry_unreachable",
        after=says(307, b"", Location="http://nowhere.invalid/x"),
    ),
    Fault(
        "start-leads-nowhere",
        START,
        (),
        "registry_unreachable",
        orphans=99,
        after=relabelled(Location="http://nowhere.invalid/x"),
    ),
    Fault("tag-is-a-page", TAG, (), "registry_error", after=PAGE, verification=Verification.NONE),
    Fault("head-blob-is-a-page", HEAD_BLOB, (), "registry_error", after=PAGE, manners=Manners(asks=False)),
    Fault("close-is-a-page", CLOSE, (), "registry_error", after=PAGE),
    Fault("ping-is-a-page", PING, (), "registry_rejected", after=PAGE),
    Fault("ping-leads-to-a-login", PING, (), "registry_rejected", after=says(302, b"", Location="/login")),
    Fault("everything-is-a-page", r".*", (), "registry_rejected", after=PAGE, verification=Verification.NONE),
    *(
        Fault(f"{status}-for-the-manifest", TAG, (), code, after=says(status))
        for status, code in {
            402: "registry_rejected",
            405: "registry_denied",
            406: "registry_rejected",
            407: "registry_rejected",
            409: "registry_rejected",
            410: "registry_rejected",
            418: "registry_rejected",
            420: "registry_rejected",
            421: "registry_rejected",
            423: "registry_rejected",
            426: "registry_rejected",
            444: "registry_rejected",
            451: "registry_denied",
            494: "registry_rejected",
            511: "registry_error",
        }.items()
    ),
    Fault(
        "405-to-the-start", r"POST ", (), "registry_denied", after=complains(405, "UNSUPPORTED"), says=hints.READ_ONLY
    ),
]
