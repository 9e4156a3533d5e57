"""The option `rename`: embedded names -> `repo:tag`; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.placeholders import id_forms
from app.errors import InvalidReference, InvalidRequest, LimitExceeded, join_limited
from app.oci import Reference, parse_repository

MAX_COMPARED = 5_000_000  # names times moves, 1 s
OPTION = "option `rename`"


def check_rename(embedded: str, wanted: str) -> None:
    """A `*` at the end of both moves all names that begin so. Raises InvalidRequest, InvalidReference."""
    if "*" not in embedded + wanted:
        Reference.parse_destination(wanted, OPTION)
        return
    if not (embedded.endswith("*") and wanted.endswith("*") and (embedded + wanted).count("*") == 2):
        raise InvalidRequest(
            f"{OPTION} {f'{embedded}={wanted}':.300} may have one `*` at the end of each side, which stands for the "
            "same, as quay.io/team/*=mirror/*"
        )
    start = wanted.removesuffix("*")
    Reference.parse_destination(f"{start}x" if ":" in start else f"{start}x:x", OPTION)


@dataclass(frozen=True, slots=True)
class _PrefixRename:
    """`start` of a name becomes `wanted`; `text` is the pair's first half as it was given."""

    start: str
    wanted: str
    text: str


class RenameRules:
    """A name is met in any form that means the same; a path, a bare tag and the digest of an image, which have only one
    form, as they are written. Whole names go before moves, and of these the longest start."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._texts = tuple(dict.fromkeys(text for text, _ in pairs))
        self._used: set[str] = set()
        # looked up, as thousands of names are asked for, and as many pairs may have been given
        self._exact: dict[object, list[tuple[str, Reference]]] = {}
        self._meant: dict[object, list[tuple[str, Reference]]] = {}
        self._moves: list[_PrefixRename] = []
        for text, wanted in pairs:
            if text.endswith("*"):
                self._moves.append(_PrefixRename(text.removesuffix("*"), wanted.removesuffix("*"), text))
                continue
            pair = text, Reference.parse_destination(wanted, OPTION)
            self._exact.setdefault(text, []).append(pair)
            self._meant.setdefault(_canonical(text), []).append(pair)
        self._compared = 0
        self._moves.sort(key=lambda move: -len(move.start))

    def of(self, name: str) -> tuple[Reference, ...]:
        """A name with a digest alone is moved to a repository alone, with neither tag nor digest."""
        found = self._meant.get(_canonical(name))
        return self._taken(found) if found else self._moved(_forms(name))

    def exactly(self, text: str) -> tuple[Reference, ...]:
        return self._taken(self._exact.get(text, ()))

    def of_placeholder(self, text: str) -> tuple[Reference, ...]:
        """Only a pair for exactly this: a `*` moves names."""
        for form in id_forms(text):
            if found := self._meant.get(_canonical(form)):
                return self._taken(found)
        return ()

    def of_path(self, path: str) -> tuple[Reference, ...]:
        """One with a digest is moved to a repository alone, as `of` has it."""
        return self.exactly(path) or self._moved((path.partition("@")[0],))

    def of_tag(self, tag: str) -> tuple[Reference, ...]:
        """A move of a tag alone has to say the repository."""
        return self.exactly(tag) or self._moved((tag,), is_tag=True)

    def _taken(self, pairs: Sequence[tuple[str, Reference]]) -> tuple[Reference, ...]:
        self._used.update(text for text, _ in pairs)
        return tuple(wanted for _, wanted in pairs)

    def _moved(self, forms: Sequence[str], *, is_tag: bool = False) -> tuple[Reference, ...]:
        self._compared += len(self._moves)
        if self._compared > MAX_COMPARED:
            raise LimitExceeded(
                f"{OPTION} has {len(self._moves)} pairs with `*`, too many for the names in the archive; give fewer of "
                "them, or whole names"
            )
        for move in self._moves:
            rest = next((form.removeprefix(move.start) for form in forms if form.startswith(move.start)), "")
            if rest and (not is_tag or ":" in move.wanted):
                self._used.add(move.text)
                wanted = move.wanted + rest
                if ":" in wanted:
                    return (Reference.parse_destination(wanted, OPTION),)
                return (Reference("", parse_repository(wanted)),)
        return ()

    def unused(self, names: Sequence[str]) -> Iterator[InvalidRequest]:
        """Pairs that matched none of the `names` there are."""
        known = join_limited(names) or "none"
        for text in self._texts:
            if text not in self._used:
                yield InvalidRequest(f"`rename` {text!r} matches no image; the names are: {known}")


def _canonical(name: str) -> Reference | str:
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return name
    return replace(reference, digest=None) if reference.tag else reference


def _forms(name: str) -> tuple[str, ...]:
    """Without the registry, as `*` alone means it; in full; short; without a digest."""
    reference = _canonical(name)
    if isinstance(reference, str):
        return (name,)
    plain = replace(reference, digest=None)
    return (str(replace(plain, registry="")), str(plain), plain.familiar)
