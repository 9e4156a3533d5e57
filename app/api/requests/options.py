"""The options of a request from the query, text parts of a form and members of a JSON body."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.api.requests.digest_headers import parse_digest_field
from app.auth.model import EVERYBODY, Caller
from app.errors import Forbidden, InvalidRequest
from app.jobs import JobRequest
from app.jobs.deliveries.model import check_name
from app.jobs.request import MOST_PRIORITY, RETRY_OPTIONS, RetryOptions
from app.push import FORMATS, PushOptions
from app.push.options import parse_boolean

MAX_WAIT_SECONDS = 86_400  # a day
MAX_PATHS = 1_000  # each is a pattern that is searched
_BRACKETS = re.compile(r"\[[0-9]{0,9}\]\Z")
_MAX_VALUES = 2_000  # of one option, before they are read

# Name -> description in the OpenAPI document.
OPTIONS: Mapping[str, str] = {
    "registry": "Name of a configured registry. A request can never name a host.",
    "tag": "`repo:tag`, replaces the embedded name; only where the request holds exactly one image. Used as written.",
    "rename": "`embedded=repo:tag`, for several images. A `*` at the end of both sides moves every name that begins "
    "so: `quay.io/team/*=mirror/*`.",
    "prefix": "Repository prefix, put after the registry's own path.",
    "on_existing_tag": "What to do where the tag exists for another image: `overwrite` (default), `skip`, `error`, or "
    "`merge-with-overwrite` and `merge-with-retain`: make one image index of both; where both have an image for one "
    "platform, that of the archive goes in, or that which is there stays.",
    "images": "Glob over embedded names: only these.",
    "platforms": "`linux/amd64,linux/arm64/v8`: only these children of an image index.",
    "layer_compression": "`gzip` (default), `zstd` or `none`: for layers that lie in the archive as plain tar.",
    "media_types": "`keep` (default), `oci` or `docker`: the media types that manifests and indexes are to have. "
    "Configs and layers keep their bytes; the digests of converted manifests change.",
    "allow_missing": "`true`: push an image index although the archive lacks some of its children, if the registry "
    "takes it. `platforms` instead makes a new index of what is there.",
    "keep_going": "`true`: push every image that is whole; each bad archive or image gets its own problem, and the job "
    "ends `failed` with their count. By default one bad image refuses the request, and all bad ones are listed.",
    "verify": "What is asked for after the push, and of an image that is there already: where its `tag` leads, also "
    "the existence and size of its `blobs`, also their `content` (every blob is read back and hashed), or `none`. As "
    "the registry's own setting says if left out.",
    "format": f"Assert one of {', '.join(f'`{name}`' for name in FORMATS)}; otherwise `format_mismatch`.",
    "checksum": "`sha256:<hex>` of the archive as sent; on a mismatch nothing is pushed.",
    "dry_run": "Detect, resolve and ask the registry what is there; push nothing.",
    "wait": "Seconds to wait for the end of the job: 200 when it has ended, 202 when the time is up first.",
    "wait_required": "`true`, with `wait`: when the time is up before the job has ended, the response is 504 "
    "`wait_expired` instead of 202.",
    "label": "`key=value`, kept with the job, filterable.",
    "delivery": "Name that groups jobs: 1 to 100 letters, digits, `.`, `_`, `-` and spaces; or the id of a delivery of "
    "the caller. A name belongs to its token, and joins the delivery of that name that is open.",
    "each": "`true`, with `paths`: a job for each archive, all in one delivery. Parts of a split archive and numbered "
    "files of oc-mirror stay one. The response has the delivery and its jobs.",
    "priority": f"From -{MOST_PRIORITY} to {MOST_PRIORITY}, 0 if left out: of the jobs that wait, those with the "
    "highest run first. Above 0 needs the role `admin` where there are tokens.",
}
REPEATABLE = frozenset({"rename", "images", "label"})
_OURS = frozenset(
    {"registry", "checksum", "wait", "wait_required", "label", "priority", "delivery", "each"}
)  # the others are PushOptions


class Options:
    """Option names with their values, as texts. Call `add` for each; the other methods read."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self.paths: tuple[str, ...] = ()

    def add(self, name: str, value: str) -> None:
        """Add a value. Raises InvalidRequest for an unknown option, and another value of one that is not repeatable."""
        name = plain_name(name) if plain_name(name) in REPEATABLE else name
        if name not in OPTIONS:
            raise InvalidRequest(f"unknown option `{name:.100}`; known are {', '.join(OPTIONS)}")
        values = self._values.setdefault(name, [])
        if values and name not in REPEATABLE and value != values[0]:
            raise InvalidRequest(f"option `{name}` is given with different values: {values[0]!r:.200}, {value!r:.200}")
        if len(values) >= _MAX_VALUES:
            raise InvalidRequest(f"option `{name}` is given more than {_MAX_VALUES} times")
        values.append(value)

    def add_all(self, pairs: Iterable[tuple[str, str]]) -> None:
        for name, value in pairs:
            self.add(name, value)

    def add_json(self, members: Mapping[str, Any]) -> None:
        """Add the members of a JSON body: `paths`, and options as for `add_json_object`."""
        paths = members.get("paths")
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
            raise InvalidRequest(
                "`paths` must be a list of paths on the server, as ["
                '"/data/in/*.tar"]; to send an archive, make it the body or a form part `archive`'
            )
        if len(paths) > MAX_PATHS:
            raise InvalidRequest(f"`paths` has {len(paths)} entries; at most {MAX_PATHS} are read")
        self.paths = tuple(paths)
        self.add_json_object({name: value for name, value in members.items() if name != "paths"})

    def add_json_object(self, members: Mapping[str, Any]) -> None:
        """Add options as texts, numbers, booleans, lists or objects of pairs; null is ignored."""
        for name, value in members.items():
            if value is not None:
                self.add_all((name, text) for text in _texts(name, value))

    def has(self, name: str) -> bool:
        return name in self._values

    def add_digest_headers(self, values: Iterable[str]) -> None:
        """Add the checksum in Content-Digest or Repr-Digest."""
        digest = parse_digest_field(values)
        if digest is not None:
            self.add("checksum", digest)

    def add_prefer_header(self, values: Iterable[str]) -> None:
        """Add `Prefer: wait=N` (RFC 7240), unless the option is given; other preferences are ignored."""
        for preference in ",".join(values).split(","):
            name, _, value = preference.partition("=")
            if name.strip().lower() == "wait" and not self._one("wait"):
                self.add("wait", value.strip().strip('"'))

    def wait_seconds(self) -> float | None:
        text = self._one("wait")
        return None if text is None else parse_wait(text)

    @property
    def wait_required(self) -> bool:
        """Whether the end of the job has to be waited for. Raises InvalidRequest."""
        is_required = parse_boolean("wait_required", self._one("wait_required") or "false")
        if is_required and self._one("wait") is None:
            raise InvalidRequest("option `wait_required` needs `wait`, the seconds to wait for the end of the job")
        return is_required

    @property
    def each(self) -> bool:
        """Whether each archive is to be a job. Raises InvalidRequest."""
        return parse_boolean("each", self._one("each") or "false")

    @property
    def delivery(self) -> str | None:
        """The name or id of a delivery. Raises InvalidRequest."""
        name = self._one("delivery")
        return None if name is None else check_name(name)

    @property
    def registry(self) -> str:
        return self._one("registry") or "default"

    def retry_options(self) -> RetryOptions:
        """Return the options of a retry. Raises InvalidRequest or InvalidReference."""
        others = sorted(self._values.keys() - set(RETRY_OPTIONS))
        if others:
            raise InvalidRequest(f"option `{others[0]}` cannot be changed by a retry; use {', '.join(RETRY_OPTIONS)}")
        own = {name: values for name, values in self._values.items() if name != "registry"}
        return RetryOptions(PushOptions.parse(own), frozenset(own), self._one("registry"))

    def job_request(self, caller: Caller = EVERYBODY) -> JobRequest:
        """Return the checked request. Raises InvalidRequest or InvalidReference with the option, and Forbidden."""
        priority = _priority(self._one("priority"))
        if priority > 0 and not caller.is_admin:
            raise Forbidden(
                f"the token of {caller.name} may not put a job before those of others: `priority` at most 0"
            )
        own = {name: values for name, values in self._values.items() if name not in _OURS}
        if caller.default_prefix and not own.keys() & {"prefix", "tag"}:
            own["prefix"] = [caller.default_prefix]
        return JobRequest(
            options=PushOptions.parse(own),
            registry=self.registry,
            labels=_labels(self._values.get("label", [])),
            checksum=self._one("checksum"),
            paths=self.paths,
            priority=priority,
        )

    def _one(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[0] if values else None


def plain_name(name: str) -> str:
    """Return a name without the brackets that some clients add to the name of a list: `label[]`, `archive[0]`."""
    return _BRACKETS.sub("", name)


def parse_options(members: Mapping[str, Any]) -> JobRequest:
    """Return the request of a JSON object with the member `paths`. Raises InvalidRequest, InvalidReference."""
    options = Options()
    options.add_json(members)
    return options.job_request()


def parse_wait(text: str) -> float:
    """Return seconds. Raises InvalidRequest."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise InvalidRequest(f"`wait` is {text!r:.40}; it must be a number of seconds from 0 to {MAX_WAIT_SECONDS}")
    return seconds


def _priority(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise InvalidRequest(f"option `priority` is {text!r:.40}; it must be a whole number") from None


def _texts(name: str, value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        return [f"{key}={_text(name, item)}" for key, item in value.items()]
    if isinstance(value, list):
        texts = [_text(name, item) for item in value]
        return texts if name in REPEATABLE else [",".join(texts)]
    return [_text(name, value)]


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InvalidRequest(f"option `{name:.100}` must be a text, a number, true or false, or a list of texts")


def _labels(texts: Iterable[str]) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidRequest(f"option `label` {text!r:.100} must be of the form key=value")
        if labels.setdefault(key, value) != value:
            raise InvalidRequest(f"option `label` gives {key!r:.100} different values")
    return labels
