"""The faults, by what goes wrong. Names say what the registry does."""

from __future__ import annotations

from app.registry.wrappers.verify import Verification
from tests.registry.faults.broken import BROKEN
from tests.registry.faults.line import LINE
from tests.registry.faults.refused import REFUSED
from tests.registry.faults.script import (
    ASK,
    BODY_OF_300K,
    CLOSE,
    HEAD_BLOB,
    LARGE,
    LOOK,
    MOUNT,
    PATCH,
    PING,
    SEND,
    START,
    TAG,
    TOKEN,
    Fault,
    changed,
    complains,
    cut,
    deaf,
    fine,
    meets,
    relabelled,
    says,
)
from tests.support.memory_registry import Manners
from tests.support.scripted_registry import (
    answer_and_stall,
    answer_early,
    answer_rudely,
    close,
    hang,
    raw,
    reset_after,
)

HTML = b"<html><head><title>502</title></head><body><center><h1>502 Bad Gateway</h1></center><hr>nginx</body></html>"
HTML_413 = b"<html><body><h1>413 Request Entity Too Large</h1></body></html>"
BARE_429 = b"HTTP/1.1 429 Too Many Requests\nRetry-After: 60\nContent-Length: 5\n\nslow!"
OTHER = "sha256:" + "0" * 64


def by_head() -> Manners:
    """A registry that is asked for blobs by HEAD: it refuses the other way."""
    return Manners(asks=False)


def _transport() -> list[Fault]:
    """Connections that break, at every kind of request."""
    places = {
        "ping": PING,
        "look": LOOK,
        "head-blob": HEAD_BLOB,
        "ask": ASK,
        "start": START,
        "send": SEND,
        "tag": TAG,
        "token": TOKEN,
    }
    faults = []
    acts = {
        "reset": meets(reset_after(0)),
        "close": meets(close()),
        "hang": meets(hang()),
        "html-502": says(502, HTML, Content_Type="text/html"),
        "503": says(503),
    }
    for name, when in places.items():
        for what, act in acts.items():
            manners = by_head() if when is HEAD_BLOB else Manners()
            faults.append(Fault(f"{what}-at-{name}", when, (act,), manners=manners))
    return faults


TRANSPORT = _transport()
RATES = [
    Fault("429-retry-after-seconds", START, (complains(429, "TOOMANYREQUESTS"),) * 2),
    Fault("429-with-seconds-at-the-tag", TAG, (says(429, b"", Retry_After="7"),)),
    Fault(
        "429-with-a-date", HEAD_BLOB, (says(429, b"", Retry_After="Fri, 02 Jan 2099 03:05:05 GMT"),), manners=by_head()
    ),
    Fault("429-with-nonsense-to-wait", START, (says(429, b"", Retry_After="soon"),)),
    Fault("429-with-bare-line-ends", START, (meets(raw(BARE_429)),)),
    Fault("429-for-ever", START, (), "registry_rate_limited", outage=True, after=says(429, b"", Retry_After="1")),
    Fault("429-early-in-a-body", SEND, (meets(answer_early(429, b"slow down", 1000)),)),
    Fault("503-with-retry-after", SEND, (says(503, b"", Retry_After="30"),)),
    Fault("503-for-ever", SEND, (), "registry_error", outage=True, after=says(503)),
    Fault("403-that-is-a-rate-limit", START, (says(403, b"You have exceeded a secondary rate limit"),)),
    Fault("403-with-retry-after", LOOK, (says(403, b"", Retry_After="5"),)),
    Fault(
        "403-that-is-a-rate-limit-for-ever",
        START,
        (),
        "registry_rate_limited",
        outage=True,
        after=says(403, b"rate limit"),
    ),
    Fault("400-too-many-requests", START, (complains(400, "TOOMANYREQUESTS"),)),
    Fault("500-once-at-everything", r".*", (says(500),)),
    Fault("408-of-a-proxy", SEND, (says(408),)),
    Fault("499-of-a-proxy", SEND, (says(499),)),
    Fault("504-at-the-manifest", TAG, (says(504, HTML),)),
]
REFUSALS = [
    Fault("401-in-mid-push", SEND, (changed(lambda registry: registry.expire_tokens()),)),
    Fault("401-at-the-tag", TAG, (changed(lambda registry: registry.expire_tokens()),)),
    Fault("401-for-ever", START, (), "registry_denied", after=complains(401, "UNAUTHORIZED")),
    Fault("401-of-the-token-service", TOKEN, (), "registry_auth", after=complains(401, "UNAUTHORIZED", "bad password")),
    Fault("403-for-ever", START, (), "registry_denied", after=complains(403, "DENIED", "quota exceeded")),
    Fault("403-to-every-head", r"HEAD ", (), after=says(403)),
    Fault("405-to-every-head", r"HEAD ", (), after=says(405)),
    Fault("404-of-a-missing-project", START, (), "registry_denied", after=complains(404, "NAME_UNKNOWN")),
    Fault("404-html-at-the-start", START, (), "registry_denied", after=says(404, HTML)),
    Fault("404-to-the-ping", PING, (), "registry_rejected", after=says(404, HTML)),
    Fault("302-to-a-login-page", START, (), "registry_rejected", after=says(302, b"", Location="/login")),
    Fault("415-for-the-manifest", TAG, (), "registry_rejected", after=complains(415, "UNSUPPORTED")),
    Fault("400-manifest-too-large", TAG, (), "registry_rejected", after=complains(400, "MANIFEST_INVALID", "large")),
    Fault("413-for-the-manifest", TAG, (), "registry_rejected", after=says(413, HTML_413), says="413 Request Entity"),
    Fault("412-immutable-tag", TAG, (), "registry_rejected", after=complains(412, "PRECONDITION", "immutable")),
    Fault("507-out-of-space", SEND, (), "registry_error", after=says(507, b"no space left")),
    Fault("ask-400", ASK, (), after=complains(400, "UNSUPPORTED")),
    Fault("ask-401", ASK, (), after=says(401)),
    Fault("ask-403", ASK, (), after=complains(403, "DENIED")),
    Fault("ask-404", ASK, (), after=complains(404, "BLOB_UNKNOWN")),
    Fault("ask-405", ASK, (), manners=by_head()),
    Fault("ask-500", ASK, (says(500),) * 3),
    Fault("ask-reset-for-ever", ASK, (), after=meets(reset_after(0))),
    Fault("ask-is-answered-with-another-blob", ASK, (), "registry_error", after=says(201, Docker_Content_Digest=OTHER)),
    Fault("ask-lies", ASK, (says(201),) * 3),
    Fault("mount-401", MOUNT, (), after=says(401)),
    Fault("mount-403", MOUNT, (), after=complains(403, "DENIED")),
    Fault("mount-405", MOUNT, (), after=complains(405, "UNSUPPORTED")),
    Fault("mount-reset", MOUNT, (), after=meets(reset_after(0))),
    Fault("mount-opens-a-session", MOUNT, (), manners=Manners(mounts=False)),
]
WAYS = [
    Fault("put-405", CLOSE, (), manners=Manners(put=False)),
    Fault("put-404", CLOSE, (), manners=Manners(put=False, refusal=(404, ""))),
    Fault("put-400-unsupported", CLOSE, (), manners=Manners(put=False, refusal=(400, "UNSUPPORTED"))),
    Fault("put-411", CLOSE, (), manners=Manners(put=False, refusal=(411, ""))),
    Fault("put-501", CLOSE, (), manners=Manners(put=False, refusal=(501, ""))),
    Fault("put-and-patch-405", CLOSE, (), manners=Manners(put=False, patch=False)),
    Fault("nothing-but-chunks-of-100k", SEND, (), manners=Manners(most=100_000)),
    Fault("nothing-works", SEND, (), "registry_rejected", manners=Manners(put=False, patch=False, chunks=False)),
    Fault("413-html-early-from-a-proxy", LARGE, (meets(answer_early(413, HTML_413, 1000)),)),
    Fault("413-rude", LARGE, (meets(answer_rudely(413, HTML_413, 1000)),)),
    Fault("413-and-stalls", LARGE, (meets(answer_and_stall(413, HTML_413, 1000)),)),
    Fault("413-for-ever", SEND, (), "registry_rejected", after=says(413, HTML_413), says="413 Request"),
    Fault("413-without-chunks", SEND, (), "registry_rejected", manners=Manners(most=100_000, chunks=False)),
    Fault("413-then-range-missing", SEND, (), manners=Manners(most=100_000, range="none")),
    Fault("413-then-range-stale", SEND, (), manners=Manners(most=100_000, range="stale")),
    Fault("413-then-range-0-0", SEND, (), manners=Manners(most=100_000, range="nothing")),
    Fault("416-too-large", SEND, (), manners=Manners(most=100_000, too_large=416)),
    Fault("chunk-min-length", SEND, (), manners=Manners(most=100_000, least=90_000)),
    Fault("chunk-min-length-too-large", SEND, (), "registry_rejected", manners=Manners(most=90_000, least=99_000)),
    Fault("patch-201", PATCH, (relabelled(201),) * 9, manners=Manners(put=False)),
    Fault("patch-204", PATCH, (relabelled(204),) * 9, manners=Manners(put=False)),
    Fault("patch-without-location", PATCH, (relabelled(Location=""),) * 9, manners=Manners(put=False)),
    Fault("put-200", CLOSE, (relabelled(200),) * 9),
    Fault("put-204", CLOSE, (relabelled(204),) * 9),
    Fault("400-digest-invalid-once", CLOSE, (complains(400, "DIGEST_INVALID"),)),
    Fault("400-digest-invalid-for-ever", CLOSE, (), "registry_rejected", after=complains(400, "DIGEST_INVALID")),
    Fault("wrong-digest-stated-once", CLOSE, (relabelled(Docker_Content_Digest=OTHER),)),
    Fault(
        "wrong-digest-stated-for-ever",
        f"{CLOSE}|{ASK}",
        (),
        "registry_error",
        after=relabelled(Docker_Content_Digest=OTHER),
    ),
    Fault("wrong-digest-stated-for-the-tag", TAG, (relabelled(Docker_Content_Digest=OTHER),)),
    Fault("no-digest-stated", SEND, (), manners=Manners(states_digests=False)),
]
SESSIONS = [
    Fault("cut-in-a-blob", LARGE, (cut(BODY_OF_300K),)),
    Fault("cut-in-a-blob-again-and-again", SEND, (cut(200_000), cut(150_000))),
    Fault("cut-in-a-blob-that-is-lost", LARGE, (cut(BODY_OF_300K),), manners=Manners(resumes=False)),
    Fault("cut-with-a-stale-range", LARGE, (cut(BODY_OF_300K),), manners=Manners(range="stale")),
    Fault("cut-with-range-0-0", LARGE, (cut(BODY_OF_300K),), manners=Manners(range="nothing")),
    Fault("cut-without-a-range", LARGE, (cut(BODY_OF_300K),), manners=Manners(range="none")),
    Fault("cut-and-no-patch-to-go-on", LARGE, (cut(BODY_OF_300K),), manners=Manners(chunks=False)),
    Fault("cut-in-the-first-bytes", LARGE, (cut(1),)),
    Fault(
        "cut-in-every-blob-for-ever", SEND, (), "registry_unreachable", outage=True, after=meets(reset_after(50_000))
    ),
    Fault("put-done-and-the-answer-lost", LARGE, (deaf,)),
    Fault("start-done-and-the-answer-lost", START, (deaf,), orphans=1),
    Fault("tag-done-and-the-answer-lost", TAG, (deaf,)),
    Fault("mount-done-and-the-answer-lost", MOUNT, (deaf,)),
    Fault("session-lost-before-the-put", LARGE, (changed(lambda registry: registry.lose_sessions()),)),
    Fault(
        "session-lost-for-ever",
        CLOSE,
        (),
        "registry_error",
        after=changed(lambda registry: registry.lose_sessions()),
        says="lost the upload",
    ),
    Fault("blob-upload-invalid", LARGE, (complains(400, "BLOB_UPLOAD_INVALID"),)),
    Fault("asking-for-a-session-fails-first", r"GET .*/uploads/|" + LARGE, (cut(200_000), says(503), says(502))),
    Fault("asking-for-a-session-is-not-allowed", r"GET .*/uploads/|" + LARGE, (cut(200_000), says(405))),
    Fault("session-holds-more-than-was-sent", LARGE, (cut(200_000),), manners=Manners()),
    Fault("absolute-locations", START, (), manners=Manners(absolute_locations=True)),
    Fault("relative-location-without-a-path", START, (relabelled(Location="session"),), orphans=1),
    Fault("no-location", START, (), "registry_error", after=relabelled(Location=""), orphans=99),
    Fault(
        "location-at-the-metadata-service",
        START,
        (),
        "registry_rejected",
        after=relabelled(Location="http://169.254.169.254/latest"),
        orphans=9,
    ),
    Fault("location-that-is-no-url", START, (), "registry_rejected", after=relabelled(Location="//[::"), orphans=9),
    Fault("redirect-307-of-a-put", LARGE, (says(307, b"", Location="/v2/team/app/blobs/uploads/gone"),)),
    Fault(
        "redirect-for-ever",
        START,
        (),
        "registry_rejected",
        after=says(307, b"", Location="/v2/team/app/blobs/uploads/"),
    ),
]
LOSSES = [
    Fault("blobs-lost-before-the-tag", TAG, (changed(lambda registry: registry.lose_blobs()),)),
    Fault("one-blob-lost-before-the-tag", TAG, (changed(lambda registry: registry.lose_one_blob()),)),
    Fault("blobs-lost-for-ever", TAG, (), "registry_lost", after=changed(lambda registry: registry.lose_blobs())),
    Fault("tag-taken-and-not-kept", TAG, (says(201),)),
    Fault("tag-taken-and-never-kept", TAG, (), "registry_lost", after=says(201)),
    Fault("tag-gone-when-looked-at", LOOK, (fine, changed(lambda registry: registry.forget_tag()))),
    Fault("tag-listed-late", LOOK, (fine, says(404))),
    Fault("tag-with-another-digest", LOOK, (fine,), "registry_lost", after=relabelled(Docker_Content_Digest=OTHER)),
    Fault(
        "blob-lost-after-the-tag",
        HEAD_BLOB,
        (says(404),),
        verification=Verification.BLOBS,
    ),
    Fault("head-lies-about-blobs", HEAD_BLOB, (says(200),) * 3, manners=by_head()),
    Fault("a-warning", PING, (), manners=Manners(warning='299 - "this registry closes on Friday"'), says="Friday"),
    Fault("an-answer-with-too-little-body", LOOK, (meets(raw(b"HTTP/1.1 200 OK\r\nContent-Le")),)),
    Fault("an-answer-of-another-protocol", START, (meets(raw(b"220 smtp ready\r\n")),)),
]

BY_NAME: tuple[Fault, ...] = (*TRANSPORT, *RATES, *REFUSALS, *WAYS, *SESSIONS, *LOSSES, *BROKEN)
GENERATED: tuple[Fault, ...] = (*LINE, *REFUSED)
FAULTS = (*BY_NAME, *GENERATED)
