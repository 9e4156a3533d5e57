"""What programs write in the place of a name where an image has none; pure.

The table in `app/docs/naming.md` has the same. A program is on it only if nobody who names images would write the same:
`bazel/app:image`, `ko.local/app-<md5>` and a project's name and version are names, made up as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ID = r"(?:sha256:)?[a-f0-9]{64}|sha512:[a-f0-9]{128}"
_AT_DIGEST = r"@(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})"
_HUB = r"(?:(?:index\.)?docker\.io/(?:library/)?)?"
# of untagged images, by docker's containerd store, Apple's container, and nerdctl, which writes the snapshotter's name
_DANGLING = "moby-dangling|untagged|(?:fuse-)?overlayfs|native|stargz|soci|nydus|overlaybd|btrfs|zfs|devmapper|erofs"
_PLACEHOLDERS = re.compile(
    rf"\s*"
    rf"|{_HUB}(?:{_ID})"  # CRI keeps the id of every image as a name of it
    rf"|.*<none>.*"  # docker images, docker save of long ago
    rf"|{_AT_DIGEST}"
    rf"|{_HUB}import-[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_AT_DIGEST}"  # ctr images import, kind load
    rf"|{_HUB}(?:{_DANGLING}){_AT_DIGEST}"
    rf"|{_HUB}unset-repo/unset-image-name(?:[:@].*)?"  # kaniko without a destination
    rf"|(?:.*:)?i-was-a-digest(?:@.*)?",  # crane pull by digest
    re.DOTALL,
)


def is_name(text: str) -> bool:
    """Return whether `text` can be the name that somebody gave an image. It may be invalid all the same."""
    return _PLACEHOLDERS.fullmatch(text) is None


def split_names(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names among `texts`, and the placeholders; empty ones are neither."""
    names, placeholders = [], []
    for text in texts:
        if is_name(text):
            names.append(text)
        elif text.strip():
            placeholders.append(text)
    return tuple(names), tuple(placeholders)


def id_forms(text: str) -> tuple[str, ...]:
    """Return the ways in which the same placeholder is written: an id with and without its algorithm."""
    if re.fullmatch(r"[a-f0-9]{64}", text):
        return (text, f"sha256:{text}")
    if re.fullmatch(r"sha256:[a-f0-9]{64}", text):
        return (text, text.removeprefix("sha256:"))
    return (text,)
