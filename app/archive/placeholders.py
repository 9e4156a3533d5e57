"""Texts that programs write in the place of a name if an image has none; pure.

`app/docs/naming.md` has the same table. It lists a text only if people would not choose it as a name. Generated names
such as `bazel/app:image`, `ko.local/app-<md5>` and a project's name and version are names."""

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
    rf"|{_HUB}(?:{_ID})"  # CRI stores the id of every image as a name
    rf"|.*<none>.*"  # docker images, old versions of docker save
    rf"|{_AT_DIGEST}"
    rf"|{_HUB}import-[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_AT_DIGEST}"  # ctr images import, kind load
    rf"|{_HUB}(?:{_DANGLING}){_AT_DIGEST}"
    rf"|{_HUB}unset-repo/unset-image-name(?:[:@].*)?"  # kaniko without a destination
    rf"|(?:.*:)?i-was-a-digest(?:@.*)?",  # crane pull by digest
    re.DOTALL,
)


def is_name(text: str) -> bool:
    """Return whether `text` is a chosen name, and not a placeholder. The name may still be invalid."""
    return _PLACEHOLDERS.fullmatch(text) is None


def split_names(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and the placeholders among `texts`, without empty ones."""
    names, placeholders = [], []
    for text in texts:
        if is_name(text):
            names.append(text)
        elif text.strip():
            placeholders.append(text)
    return tuple(names), tuple(placeholders)


def id_forms(text: str) -> tuple[str, ...]:
    """Return the spellings of a placeholder: an id with and without its algorithm."""
    if re.fullmatch(r"[a-f0-9]{64}", text):
        return (text, f"sha256:{text}")
    if re.fullmatch(r"sha256:[a-f0-9]{64}", text):
        return (text, text.removeprefix("sha256:"))
    return (text,)
