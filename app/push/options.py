"""The options of a push (PushOptions) and its destination (Destination); parsed strictly, pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from app.archive.model import Compression
from app.errors import InvalidReference, InvalidRequest
from app.oci import Platform, Reference, parse_repository
from app.push.plan.renames import check_rename
from app.registry.wrappers.verify import Verification

FORMATS = (
    "docker-archive",
    "oci-archive",
    "mindthegap-bundle",
    "oc-mirror",
    "registry-storage",
    "imgpkg",
    "hauler",
    "zarf",
    "helm-chart",
    "kots-airgap",
    "oc-image-mirror",
    "kubekey",
    "oci-artifact",
)
MERGE_WITH_RETAIN = "merge-with-retain"
MERGES = ("merge-with-overwrite", MERGE_WITH_RETAIN)
ON_EXISTING_TAG = ("overwrite", "skip", "error", *MERGES)
MEDIA_TYPES = ("keep", "oci", "docker")
_COMPRESSIONS = (Compression.GZIP, Compression.ZSTD, Compression.NONE)
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
MAX_VALUES = 1_000  # renames and globs of one request; each is compared with every name
MAX_VALUE_LENGTH = 1_024  # twice the length of two full references with 255 characters, a tag and a digest each


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured registry.

    `host` is the displayed one (`registry.local:5000`); `path` is the prefix of all repositories.
    """

    name: str
    host: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class PushOptions:
    """The options of one push, named as in the contract. `rename` contains pairs (embedded name, `repo:tag`)."""

    tag: str | None = None
    rename: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    images: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    layer_compression: Compression = Compression.GZIP
    format: str | None = None
    dry_run: bool = False
    on_existing_tag: str = "overwrite"
    media_types: str = "keep"
    allow_missing: bool = False
    keep_going: bool = False
    verify: Verification | None = None  # None: the setting of the registry

    @classmethod
    def parse(cls, values: Mapping[str, Sequence[str]]) -> PushOptions:
        """Parse a mapping of option names to all values given for each, as text.

        Only `rename` and `images` may have several different values. Raises InvalidRequest or InvalidReference, each
        with the name of the option; an unknown option is an InvalidRequest.
        """
        unknown = sorted(set(values) - set(_READERS))
        if unknown:
            raise InvalidRequest(f"unknown option `{unknown[0]:.100}`; use one of {', '.join(_READERS)}")
        given: dict[str, Any] = {}
        for name, texts in values.items():
            _bound(name, texts)
            if texts:
                given[name] = _READERS[name](texts) if name in _REPEATABLE else _READERS[name](_single(name, texts))
        return cls(**given)

    def members(self) -> dict[str, Any]:
        """Return the options as JSON members."""
        return {item.name: getattr(self, item.name) for item in fields(self)} | {
            "rename": [list(pair) for pair in self.rename],
            "images": list(self.images),
            "platforms": [str(platform) for platform in self.platforms],
            "layer_compression": self.layer_compression.value,
            "verify": self.verify and self.verify.value,
        }


def _bound(name: str, texts: Sequence[str]) -> None:
    if len(texts) > MAX_VALUES:
        raise InvalidRequest(f"option `{name}` has {len(texts)} values; at most {MAX_VALUES} are accepted")
    longest = max(map(len, texts), default=0)
    if longest > MAX_VALUE_LENGTH:
        raise InvalidRequest(f"option `{name}` has {longest} characters; at most {MAX_VALUE_LENGTH} are accepted")


def _single(name: str, texts: Sequence[str]) -> str:
    if len(set(texts)) > 1:
        raise InvalidRequest(f"option `{name}` has different values: {texts[0]!r}, {texts[1]!r}; pass one")
    return texts[0]


def _choice(name: str, allowed: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in allowed:
            return text
        raise InvalidRequest(f"option `{name}` is {text!r}; it must be one of {', '.join(allowed)}")

    return read


def _tag(text: str) -> str:
    Reference.parse_destination(text, "option `tag`")
    return text


def _renames(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(_rename(text) for text in texts))


def _rename(text: str) -> tuple[str, str]:
    embedded, equals, wanted = text.partition("=")
    if not embedded or not equals:
        raise InvalidRequest(f"option `rename` {text!r} must be of the form embedded=repo:tag, as nginx:1=team/nginx:1")
    check_rename(embedded, wanted)
    return embedded, wanted


def _prefix(text: str) -> str:
    prefix = text.strip("/")
    try:
        return parse_repository(prefix) if prefix else ""
    except InvalidReference as error:
        raise InvalidReference(f"option `prefix` {text!r} is not valid: {error}") from None


def _globs(texts: Sequence[str]) -> tuple[str, ...]:
    if not all(texts):
        raise InvalidRequest("option `images` is empty; it must be a glob over image names, as */nginx:*")
    return tuple(dict.fromkeys(texts))


def _platforms(text: str) -> tuple[Platform, ...]:
    try:
        return tuple(dict.fromkeys(Platform.parse(part.strip()) for part in text.split(",")))
    except InvalidRequest as error:
        raise InvalidRequest(f"option `platforms`: {error}") from None


def _compression(text: str) -> Compression:
    return Compression(_choice("layer_compression", _COMPRESSIONS)(text))


def _verification(text: str) -> Verification:
    return Verification(_choice("verify", tuple(Verification))(text))


def parse_boolean(name: str, text: str) -> bool:
    """Return the value of the option `name`. Raises InvalidRequest."""
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    raise InvalidRequest(f"option `{name}` is {text!r:.100}; it must be true or false")


def _boolean(name: str) -> Callable[[str], bool]:
    return partial(parse_boolean, name)


_REPEATABLE = frozenset({"rename", "images"})
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "tag": _tag,
    "rename": _renames,
    "prefix": _prefix,
    "images": _globs,
    "platforms": _platforms,
    "layer_compression": _compression,
    "format": _choice("format", FORMATS),
    "dry_run": _boolean("dry_run"),
    "on_existing_tag": _choice("on_existing_tag", ON_EXISTING_TAG),
    "media_types": _choice("media_types", MEDIA_TYPES),
    "allow_missing": _boolean("allow_missing"),
    "keep_going": _boolean("keep_going"),
    "verify": _verification,
}
