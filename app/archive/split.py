"""Archives that were split to fit a disk: detect the parts of one archive by their names and ends; pure.

Supported names: `x.tar.000`, `x.tar.001` … (hauler and 7-Zip start at 1); `x.tar.part0` …; `x.tar.part000` … (zarf; the
first part is a JSON object that describes the others); `x.tar.aa`, `x.taraa`, `x.tar.partab` … (split);
`x.tar.0000.chunk` … (Deckhouse); `x_0.tar.zst` … (hauler). Complete archives with such names are not joined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.model import Compression
from app.archive.tar.header import BLOCK, is_header
from app.errors import MalformedArchive, MissingContent
from app.oci import strict_json

HEAD_BYTES = 4096  # of a part: a tar header, or the whole first part of zarf, which has about 120
TAIL_BYTES = 2 * BLOCK  # the end-of-archive marker
_EXTENSION = r"\.(?:tar|t[gx]z|tzst|tbz2?|gz|zst|xz|bz2)"
_NUMBERED = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<before>(?P<stem>.+)[._-]part[._-]?)(?P<number>[0-9]{1,6}|[a-z]{2,4})(?P<after>)",
        rf"(?P<before>(?P<stem>.+{_EXTENSION})[._-])(?P<number>[0-9]{{2,6}}|[a-z]{{2}})(?P<after>)",
        rf"(?P<before>(?P<stem>.+{_EXTENSION}))(?P<number>[a-z]{{2}})(?P<after>)",
        r"(?P<before>(?P<stem>.+)[._-])(?P<number>[0-9]{1,6})(?P<after>\.(?:chunk|part|split))",
        rf"(?P<before>(?P<stem>.+)[._-])(?P<number>[0-9]{{1,6}})(?P<after>{_EXTENSION}(?:{_EXTENSION})?)",
    )
)
_PART_EXTENSIONS = (".chunk", ".part", ".split")
_NO_NUMBERS = frozenset({"gz", "xz", "bz", "ip"})  # x.tar.gz is not a part of x.tar, and x.gzip is not one of x
_DESCRIPTION = frozenset({"Sha256Sum", "Bytes", "Count"})


@dataclass(frozen=True, slots=True)
class PartName:
    """The name of a part: `before`, the number in its spelling, `after`. `stem` names the whole archive.

    The number is written in decimal digits, or in letters from `aa` on."""

    stem: str
    before: str
    number: int
    width: int
    letters: bool
    after: str = ""

    @classmethod
    def parse(cls, name: str) -> PartName | None:
        """Return the parsed name, or None if it is not the name of a part."""
        match = next(filter(None, (pattern.fullmatch(name) for pattern in _NUMBERED)), None)
        if match is None or match["number"] in _NO_NUMBERS:
            return None
        text, after = match["number"], match["after"]
        found = cls(match["stem"], match["before"], _number(text), len(text), text.isalpha(), after)
        return replace(found, stem=found.stem + after) if found.is_ambiguous else found

    @classmethod
    def of_series(cls, name: str) -> PartName | None:
        """As `parse`; None also if archives of their own are often called so."""
        part = cls.parse(name)
        return None if part is None or part.is_ambiguous else part

    @property
    def is_ambiguous(self) -> bool:
        """Return whether complete archives often have such names, for example `app-1.tar` and `app-2.tar`."""
        return self.after not in {"", *_PART_EXTENSIONS}

    @property
    def may_be_first(self) -> bool:
        return self.number == 0 or (self.number == 1 and not self.letters)

    @property
    def next(self) -> PartName:
        return replace(self, number=self.number + 1)

    @property
    def previous(self) -> PartName:
        return replace(self, number=self.number - 1)

    def continues(self, earlier: PartName) -> bool:
        """Return whether both names belong to one series, at any position."""
        return (self.before, self.letters, self.after) == (earlier.before, earlier.letters, earlier.after)

    def __str__(self) -> str:
        number = _letters(self.number, self.width) if self.letters else f"{self.number:0{self.width}}"
        return f"{self.before}{number}{self.after}"


def _number(text: str) -> int:
    if not text.isalpha():
        return int(text)
    number = 0
    for letter in text:
        number = number * 26 + ord(letter) - ord("a")
    return number


def _letters(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        number, letter = divmod(number, 26)
        text = chr(ord("a") + letter) + text
    return text


@dataclass(frozen=True, slots=True)
class FileEnds:
    """The first HEAD_BYTES and the last TAIL_BYTES of a file, or all its bytes if it has fewer, and its size."""

    head: bytes
    tail: bytes
    size: int

    @property
    def starts_an_archive(self) -> bool:
        return sniff(self.head[:SNIFF_BYTES]) is not Compression.NONE or _is_tar(self.head)


def starts_new_archive(first: FileEnds, last: FileEnds, following: FileEnds) -> bool:
    """Return whether `following` is a complete archive instead of the part after `last`.

    `first` is the first part of the series. A part may start by chance with the bytes of a tar or of compressed data.
    Within a plain tar such a start counts only after the end of the tar: zeros before a header are likely only there.
    """
    if not following.starts_an_archive:
        return False
    is_wrapped = sniff(first.head[:SNIFF_BYTES]) is not Compression.NONE
    return is_wrapped or (len(last.tail) == TAIL_BYTES and not any(last.tail))


def _is_tar(head: bytes) -> bool:
    return len(head) >= BLOCK and is_header(head[:BLOCK])


@dataclass(frozen=True, slots=True)
class PartSeries:
    """The parts of one archive so far. `count` and `size` (bytes of the whole) are set if a description states them."""

    last: PartName
    count: int | None = None
    size: int | None = None

    @property
    def described(self) -> bool:
        """Return whether the first part describes the others and does not belong to the archive."""
        return self.count is not None

    def append(self, part: PartName) -> PartSeries:
        """Return the series with `part`. Raises MissingContent if another part is missing before it."""
        if part.number != self.last.number + 1:
            raise missing_part(self.last.next, part)
        return replace(self, last=part)

    def end(self, size: int) -> None:
        """Finish after the last part; `size`: bytes of all parts. Raises MissingContent if a part is missing."""
        if self.count is not None and self.last.number < self.count:
            raise missing_part(self.last.next)
        if self.size is not None and self.size != size:
            raise MissingContent(
                f"the parts of {self.last.stem!r:.200} have {size} bytes, but their description has {self.size}; "
                "transfer them again"
            )


def start_series(name: PartName, ends: FileEnds) -> PartSeries:
    """Return the series of a first part. Raises MalformedArchive if it is an invalid description."""
    if name.number or ends.size > HEAD_BYTES or not ends.head.startswith(b"{"):
        return PartSeries(name)
    members = strict_json(ends.head, what=f"{name}", limit=HEAD_BYTES)
    if not isinstance(members, dict) or not members.keys() >= _DESCRIPTION:
        return PartSeries(name)
    count, size = members["Count"], members["Bytes"]
    if type(count) is not int or type(size) is not int or count < 1 or size < 0:
        raise MalformedArchive(
            f"{name} has an invalid count of its parts or of their bytes", content=f"{count!r:.40}, {size!r:.40}"
        )
    return PartSeries(name, count, size)


def missing_part(missing: PartName, before: PartName | None = None) -> MissingContent:
    """Return the error for a missing part. `before`: the part that was received instead."""
    where = "" if before is None else f" before {str(before)!r:.200}"
    return MissingContent(
        f"part {str(missing)!r:.200} of the split archive {missing.stem!r:.200} is missing{where}; "
        "send all parts in one request, in order"
    )


def check_order(name: str, following: str) -> None:
    """Raise MissingContent if both names have numbers of one series, and another part belongs between them."""
    part, after = PartName.parse(name), PartName.parse(following)
    if part is not None and after is not None and after.continues(part) and after.number != part.number + 1:
        raise missing_part(part.next, after)
