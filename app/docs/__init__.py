"""The guide: Markdown pages as package data, in the order of `index.md`. `app.api.web.guide` serves them, `tarmac
guide` prints them.

Modules: `__init__` (the pages and the search in them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

INDEX = "index"
MAX_QUERY_CHARACTERS = 200
MAX_WORDS = 10  # of a query; strangers may search, too
MAX_HITS = 50
_FOLDER = Path(__file__).parent
_LINK = re.compile(r"\]\(([a-z0-9-]+)\.md(?:#[^)]*)?\)")
_HEADING = re.compile(r"^(#{1,4}) (.+)$")
_ROW = re.compile(r"^\| `([\w.-]+)` \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a page with the text below it, up to the next heading. `anchor` is empty for the page's title."""

    page: str
    title: str
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the guide. `name` is its file's name without the suffix; `text` is Markdown."""

    name: str
    title: str
    text: str

    @classmethod
    def read(cls, file: Path) -> Page:
        """Return the page in `file`. The first line is its title."""
        text = file.read_text(encoding="utf-8")
        return cls(file.stem, text.partition("\n")[0].removeprefix("# "), text)

    def sections(self) -> Iterator[Section]:
        """Yield the sections of the page in order. A line in a code block is not a heading."""
        title, anchor, lines = self.title, "", list[str]()
        for line, is_code in _marked(self.text):
            heading = None if is_code else _HEADING.match(line)
            if heading is None or len(heading[1]) == 1:
                lines.append("" if heading else line)
                continue
            yield Section(self.name, title, anchor, "\n".join(lines))
            title, anchor, lines = heading[2], anchor_of(heading[2]), []
        yield Section(self.name, title, anchor, "\n".join(lines))

    def anchors(self) -> frozenset[str]:
        """Return the anchors of the page: of its headings, and of the table rows that begin with one name."""
        return frozenset({section.anchor for section in self.sections()} | set(_ROW.findall(self.text)))


def anchor_of(title: str) -> str:
    """Return the anchor of a heading, by the rule of the forges: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


@cache
def pages() -> Mapping[str, Page]:
    """Return all pages by name: first `index.md`, then the others in the order in which it links to them."""
    read = {file.stem: Page.read(file) for file in sorted(_FOLDER.glob("*.md"))}
    order = dict.fromkeys([INDEX, *_LINK.findall(read[INDEX].text), *read])
    return MappingProxyType({name: read[name] for name in order if name in read})


def find(query: str) -> list[Section]:
    """Return the sections that contain every word of `query`, the ones with the words in their title first.

    At most `MAX_HITS` are returned, and the first `MAX_WORDS` different words count. Case is ignored. An empty query
    finds nothing; the index is not searched.
    """
    words = list(dict.fromkeys(query[:MAX_QUERY_CHARACTERS].lower().split()))[:MAX_WORDS]
    hits = [
        (_rank(section, words), section)
        for section, text in _searched()
        if words and all(word in text for word in words)
    ]
    return [section for _, section in sorted(hits, key=lambda hit: hit[0])][:MAX_HITS]


@cache
def _searched() -> Sequence[tuple[Section, str]]:
    """Return the sections that are searched, each with its text in lower case."""
    return tuple(
        (section, f"{section.title} {section.text}".lower())
        for page in pages().values()
        if page.name != INDEX
        for section in page.sections()
    )


def _rank(section: Section, words: list[str]) -> tuple[int, bool]:
    """Return how late a hit is listed: by the words that its title lacks, then sections before whole pages."""
    title = section.title.lower()
    return sum(word not in title for word in words), not section.anchor


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line of a page with whether it belongs to a fenced code block."""
    is_code = False
    for line in text.splitlines():
        is_fence = line.lstrip().startswith("```")
        yield line, is_code or is_fence
        is_code ^= is_fence
