"""The option `rename`: embedded names -> `repo:tag`; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.placeholders import id_forms
from app.errors import InvalidReference, InvalidRequest, LimitExceeded, join_limited
from app.oci import Reference, parse_repository

MAX_COMPARED = 5_000_000  # names times prefix renames, 1 s
OPTION = "option `rename`"


def check_rename(embedded: str, wanted: str) -> None:
    """Check one pair.

    A `*` at the end of both halves renames all names with that prefix. Raises InvalidRequest and InvalidReference.
    """
    if "*" not in embedded + wanted:
        Reference.parse_destination(wanted, OPTION)
        return
    if not (embedded.endswith("*") and wanted.endswith("*") and (embedded + wanted).count("*") == 2):
        raise InvalidRequest(
            f"{OPTION} {f'{embedded}={wanted}':.300} may have one `*` at the end of each side, and both match the "
            "same text, as quay.io/team/*=mirror/*"
        )
    start = wanted.removesuffix("*")
    Reference.parse_destination(f"{start}x" if ":" in start else f"{start}x:x", OPTION)


@dataclass(frozen=True, slots=True)
class _PrefixRename:
    """Replaces the prefix `start` of a name by `wanted`. `text` is the first half of the pair as given."""

    start: str
    wanted: str
    text: str


class RenameRules:
    """The rules of one request.

    A name matches in every equivalent form; a path, a bare tag and the digest of an image have only one form and match
    literally. Full names win over prefixes, and longer prefixes over shorter ones.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._texts = tuple(dict.fromkeys(text for text, _ in pairs))
        self._used: set[str] = set()
        # dictionaries, because thousands of names and pairs are possible
        self._exact: dict[object, list[tuple[str, Reference]]] = {}
        self._by_canonical: dict[object, list[tuple[str, Reference]]] = {}
        self._prefix_renames: list[_PrefixRename] = []
        for text, wanted in pairs:
            if text.endswith("*"):
                self._prefix_renames.append(_PrefixRename(text.removesuffix("*"), wanted.removesuffix("*"), text))
                continue
            pair = text, Reference.parse_destination(wanted, OPTION)
            self._exact.setdefault(text, []).append(pair)
            self._by_canonical.setdefault(_canonical(text), []).append(pair)
        self._compared = 0
        self._prefix_renames.sort(key=lambda rule: -len(rule.start))

    def of(self, name: str) -> tuple[Reference, ...]:
        """Return the new references for a name.

        If the name has only a digest, a rename to a repository has neither tag nor digest.
        """
        found = self._by_canonical.get(_canonical(name))
        return self._use(found) if found else self._match_prefix(_forms(name))

    def exactly(self, text: str) -> tuple[Reference, ...]:
        return self._use(self._exact.get(text, ()))

    def of_placeholder(self, text: str) -> tuple[Reference, ...]:
        """Return the new references for exactly this text: a `*` does not match placeholders."""
        for form in id_forms(text):
            if found := self._by_canonical.get(_canonical(form)):
                return self._use(found)
        return ()

    def of_path(self, path: str) -> tuple[Reference, ...]:
        """Return the new references for a path; for one with a digest see `of`."""
        return self.exactly(path) or self._match_prefix((path.partition("@")[0],))

    def of_tag(self, tag: str) -> tuple[Reference, ...]:
        """Return the new references for a bare tag. A rename by prefix must contain the repository."""
        return self.exactly(tag) or self._match_prefix((tag,), is_tag=True)

    def _use(self, pairs: Sequence[tuple[str, Reference]]) -> tuple[Reference, ...]:
        self._used.update(text for text, _ in pairs)
        return tuple(wanted for _, wanted in pairs)

    def _match_prefix(self, forms: Sequence[str], *, is_tag: bool = False) -> tuple[Reference, ...]:
        self._compared += len(self._prefix_renames)
        if self._compared > MAX_COMPARED:
            raise LimitExceeded(
                f"{OPTION} has {len(self._prefix_renames)} pairs with `*`, too many for the names in the archive; pass "
                "fewer of them, or full names"
            )
        for rule in self._prefix_renames:
            rest = next((form.removeprefix(rule.start) for form in forms if form.startswith(rule.start)), "")
            if rest and (not is_tag or ":" in rule.wanted):
                self._used.add(rule.text)
                wanted = rule.wanted + rest
                if ":" in wanted:
                    return (Reference.parse_destination(wanted, OPTION),)
                return (Reference("", parse_repository(wanted)),)
        return ()

    def unused(self, names: Sequence[str]) -> Iterator[InvalidRequest]:
        """Yield an error for each pair that matched none of the `names`."""
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
    """Return the forms of a name: without the registry, as `*` alone matches it; in full; short; without a digest."""
    reference = _canonical(name)
    if isinstance(reference, str):
        return (name,)
    plain = replace(reference, digest=None)
    return (str(replace(plain, registry="")), str(plain), plain.familiar)
