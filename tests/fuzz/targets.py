"""What is fuzzed: a strategy of inputs, and what has to hold of each."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from app.archive import DEFAULT_LIMITS, Archive, Compression, TarIndex, TarIndexer, decompressor, index_file, sniff
from app.archive.tar.header import PAX, PAX_GLOBAL, Extensions
from app.archive.yaml import read_yaml
from app.errors import InvalidReference, LimitExceeded, MalformedArchive, TarmacError
from app.oci import Digest, Reference, strict_json
from tests.archive.tar_blocks import Bytes, extension, file, record
from tests.fuzz import formats
from tests.hostile.catalogue import GROUPS
from tests.hostile.documents import PLACES, with_member
from tests.hostile.landing import land
from tests.hostile.samples import NAME
from tests.support.helm import CHART_YAML, packaged
from tests.support.opening import opened

SMALL = 64 << 10
MAX_WORDS = 8_000  # of one error
SECONDS = 2.0  # of CPU time, of one input
MAX_CORPUS_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class Target:
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


def seeds(*groups: str) -> tuple[bytes, ...]:
    built = (case.build() for group in groups for case in GROUPS[group] if case.seconds <= 1)
    return tuple(sorted({data for data in built if 0 < len(data) < SMALL}))


def bent(data: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    """`data` after every change: bytes put over it, in between, taken out, copied to another place, or the end cut."""
    for kind, here, there, piece in changes:
        at = here % (len(data) + 1)
        end = min(len(data), at + there % 1024)
        match kind:
            case "over":
                data = data[:at] + piece + data[at + len(piece) :]
            case "between":
                data = data[:at] + piece + data[at:]
            case "out":
                data = data[:at] + data[end:]
            case "copy":
                place = there % (len(data) + 1)
                data = data[:place] + data[at:end] + data[place:]
            case "block":
                block = at // 512 * 512
                data = data[:block] + data[block : block + 512] + data[block:]
            case _:
                data = data[:at]
    return data


KINDS = st.sampled_from(["over", "between", "out", "copy", "block", "cut", "over", "over"])
PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([b"\0", b"\xff", b"\x80", b"7" * 11, b"../", b"\0" * 512, b"-1", b"\n", b"9" * 20, b"ustar\x0000"]),
)
CHANGES = st.lists(st.tuples(KINDS, st.integers(0, 1 << 20), st.integers(0, 1 << 20), PIECES), min_size=1, max_size=6)


def mutations(*groups: str) -> st.SearchStrategy[bytes]:
    """The seeds are built when the first input is wanted."""
    return st.builds(bent, st.deferred(lambda: st.sampled_from(seeds(*groups))), CHANGES)


def resummed(data: bytes) -> bytes:
    """The checksums of what may be headers made right, so that a mutation gets past them."""
    blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
    for number, block in enumerate(blocks):
        if len(block) == 512 and block[257:262] == b"ustar":
            blank = block[:148] + b" " * 8 + block[156:]
            blocks[number] = blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]
    return b"".join(blocks)


def outcome(read: Callable[[], object]) -> object:
    started = time.process_time()
    try:
        found = read()
    except TarmacError as error:
        found = type(error), str(error)
    assert time.process_time() - started < SECONDS
    assert not isinstance(found, tuple) or len(found[1]) < MAX_WORDS or isinstance(found[0], Compression)
    return found


def fed(data: bytes, step: int) -> TarIndex:
    indexer = TarIndexer()
    for at in range(0, len(data), step):
        indexer.feed(data[at : at + step])
    return indexer.finish()


def check_tar(data: bytes) -> None:
    whole = outcome(lambda: fed(data, len(data) or 1))
    assert whole == outcome(lambda: fed(data, 700)) == outcome(lambda: index_file(Bytes(data), len(data)))
    if isinstance(whole, TarIndex):
        for member in whole.files():
            assert 0 <= member.extent.offset <= member.extent.offset + member.extent.size <= len(data)
        for name in whole.members:
            outcome(lambda name=name: whole.extent(name))  # type: ignore[misc]


def check_pax(content: bytes) -> None:
    for type_ in (PAX, PAX_GLOBAL):
        outcome(lambda type_=type_: Extensions().add(type_, content, 512))  # type: ignore[misc]
    check_tar(extension(b"x", content) + file("a", b"x") + bytes(1024))


def unwrapped(data: bytes, step: int) -> tuple[Compression, bytes]:
    kind = sniff(data[:10])
    unwrap = decompressor(kind, DEFAULT_LIMITS)
    pieces = [piece for at in range(0, len(data), step) for piece in unwrap.feed(data[at : at + step])]
    unwrap.finish()
    assert all(len(piece) <= 1 << 20 for piece in pieces) or kind is Compression.NONE
    return kind, b"".join(pieces)


def check_wrapping(data: bytes) -> None:
    whole = outcome(lambda: unwrapped(data, len(data) or 1))
    pieces = outcome(lambda: unwrapped(data, 333))
    if isinstance(whole, tuple) and isinstance(whole[0], Compression):
        assert whole == pieces
    else:  # where a stream is found to be wrong depends on how much of it is there
        assert isinstance(pieces, tuple)
        assert not isinstance(pieces[0], Compression)


def check_json(raw: bytes) -> None:
    try:
        strict_json(raw, what="x", limit=1 << 20)
    except (MalformedArchive, LimitExceeded):
        return
    raw.decode("utf-8")


def check_chart(chart_yaml: bytes) -> None:
    """A chart is refused, or it has a name and a config that everybody reads."""
    outcome(lambda: read_yaml(chart_yaml, what="x"))
    found = outcome(lambda: opened(packaged(chart_yaml)))
    if isinstance(found, Archive):
        ((name,),) = (entry.paths for entry in found.images)
        (manifest,) = found.manifests.values()
        assert manifest.config is not None
        config = strict_json(manifest.config.data or b"", what="x", limit=1 << 20)
        assert name == f"{config['name']}:{config['version'].replace('+', '_')}"
        assert isinstance(strict_json(manifest.raw, what="x", limit=1 << 20), dict)


def check_landing(data: bytes) -> None:
    """The whole way; nothing is tagged of what is refused."""
    started = time.process_time()
    landed = asyncio.run(land(data))
    assert time.process_time() - started < SECONDS
    assert not landed.codes or landed.images > 1 or not landed.tags


def check_reference(text: str) -> None:
    for parse in (Reference.parse, lambda each: Reference.parse_destination(each, "x")):
        try:
            reference = parse(text)
        except InvalidReference:
            continue
        assert str(reference).isascii()
        assert str(reference).isprintable()
        assert not {"..", "", "."} & set(reference.repository.split("/"))
        if reference.registry:
            assert Reference.parse(str(reference)) == reference


def check_digest(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except MalformedArchive:
        return
    assert str(digest) == text
    assert text.isascii()
    assert "/" not in text


def documents() -> Iterator[st.SearchStrategy[bytes]]:
    values = st.one_of(st.binary(max_size=30), st.sampled_from([b"NaN", b"[" * 999, b'{"a":', b"1e999", b'"\\ud800"']))
    for build, document in PLACES.values():
        yield st.builds(lambda changes, build=build, document=document: build(bent(document, changes)), CHANGES)
        yield st.builds(
            lambda value, build=build, document=document: build(with_member(document, b'"x":' + value)), values
        )


CORPUS = Path(__file__).parents[1] / "data" / "corpus"
DIGEST = re.compile(rb"sha256:[0-9a-f]{64}|(?<=sha256/)[0-9a-f]{64}")
Damage = tuple[str, int, int]  # what is done, and two numbers that say where


@cache
def corpus() -> tuple[bytes, ...]:
    """Archives of real tools that are quick to push."""
    found = (path.read_bytes() for path in sorted(CORPUS.glob("*.t*")) if path.stat().st_size < MAX_CORPUS_BYTES)
    return tuple(data for data in found if data)


def pieces_of(data: bytes) -> list[bytes]:
    """The members of a tar with their headers, and its end; what is wrapped is one piece."""
    pieces, at = [], 0
    while data[at + 257 : at + 262] == b"ustar" and re.fullmatch(rb"[0-7]{11}[ \0]", data[at + 124 : at + 136]):
        end = at + 512 + -(-int(data[at + 124 : at + 135], 8) // 512) * 512
        pieces.append(data[at:end])
        at = end
    return [*pieces, data[at:]]


def damaged(data: bytes, damages: list[Damage]) -> bytes:
    for kind, here, there in damages:
        data = _damaged(data, kind, here, there)
    return data


def _damaged(data: bytes, kind: str, here: int, there: int) -> bytes:
    pieces = pieces_of(data)
    one, other = here % len(pieces), there % len(pieces)
    match kind:
        case "bit":
            at = here % max(1, len(data))
            return data[:at] + bytes(item ^ 1 << there % 8 for item in data[at : at + 1]) + data[at + 1 :]
        case "swap":
            pieces[one], pieces[other] = pieces[other], pieces[one]
        case "again":
            pieces.insert(other, pieces[one])
        case "lose":
            del pieces[one]
        case "end":
            pieces = pieces[:one]
        case "size":
            head = pieces[one]
            pieces[one] = head[:124] + b"%011o\0" % (there % 100_000) + head[136:] if len(head) > 512 else head
        case _:
            places = [match.span() for match in DIGEST.finditer(data)]
            if places:
                end = places[here % len(places)][1]
                return data[: end - 1] + b"%x" % (there % 16) + data[end:]
    return b"".join(pieces)


DAMAGES = st.lists(
    st.tuples(
        st.sampled_from(["bit", "swap", "again", "lose", "end", "size", "digest"]),
        st.integers(0, 1 << 24),
        st.integers(0, 1 << 24),
    ),
    min_size=1,
    max_size=4,
)
NAMES = st.one_of(
    st.text(max_size=40),
    st.builds(lambda changes: bent(NAME.encode(), changes).decode("utf-8", "replace"), CHANGES),
    st.text(alphabet="aA0:/@._-[]%\r\n", max_size=30),
)
RECORDS = st.lists(
    st.builds(record, st.sampled_from(["path", "size", "linkpath", "a", "GNU.sparse.a"]), st.binary(max_size=20)),
    max_size=5,
).map(b"".join)

CHART_YAMLS = (
    CHART_YAML,
    b"name: a\nversion: 1.0\nannotations: {a: &x [1, 'b', \"c\\n\"], ? b : *x}\n<<: {c: !!str d}\n---\ne: f\n",
    b"name: a\nversion: 1.0\nhome: |\n  f\n   g\ndescription: >-\n  h\n  i\n\n  j\n",
    b"name: a\nversion: '1'\nkeywords: [yes, 0x1F, 1_0.5e3, .inf, 2024-01-02, ~]\nimport-values: [{a: 1e999}]\n",
)


def of_format(name: str) -> Target:
    """Members lost, repeated and exchanged, digests and bytes changed; names and documents bent."""
    seed = st.deferred(lambda: st.sampled_from(formats.samples(name)))
    harmed = st.builds(lambda data, damages: resummed(damaged(data, damages)), seed, DAMAGES)
    return Target(st.one_of(harmed, st.builds(bent, seed, CHANGES).map(resummed)), check_landing)


TARGETS: Mapping[str, Target] = {
    "tar": Target(mutations("tar_headers", "members", "extensions").map(resummed), check_tar),
    "pax": Target(st.one_of(RECORDS, st.builds(bent, RECORDS, CHANGES), st.binary(max_size=200)), check_pax),
    "wrappings": Target(mutations("wrappings"), check_wrapping),
    "json": Target(st.builds(bent, st.sampled_from([each for _, each in PLACES.values()]), CHANGES), check_json),
    "graph": Target(st.one_of(*documents(), mutations("descriptors", "graphs").map(resummed)), check_landing),
    "docker": Target(mutations("docker_manifests", "names").map(resummed), check_landing),
    "corpus": Target(
        st.builds(
            lambda data, damages: resummed(damaged(data, damages)),
            st.deferred(lambda: st.sampled_from(corpus())),
            DAMAGES,
        ),
        check_landing,
    ),
    **{name: of_format(name) for name in formats.BUILDERS},
    "reference": Target(NAMES, check_reference),
    "chart": Target(st.builds(bent, st.sampled_from(CHART_YAMLS), CHANGES), check_chart),
    "digest": Target(st.one_of(st.text(max_size=80), st.from_regex(r"sha(256|512):[0-9a-fA-F]{60,130}")), check_digest),
}
