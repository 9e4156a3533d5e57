"""Changed archives become an Archive or an ArchiveError, never anything else, and never a hang."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.archive import Archive
from app.errors import ArchiveError
from tests.support import archives
from tests.support.archives import Member, entry, files, oci_image, oci_index, oci_layout, tagged, tar
from tests.support.opening import opened

ONE = tagged(archives.image({"a": b"1"}, {"b": b"2"}), "example.com/a:1")
PLAIN = oci_image(ONE, compression="none")
INDEX = oci_index([oci_image(ONE, platform="linux/amd64"), archives.attestation(oci_image(ONE))])
REFERRER = archives.oci_artifact(b"signature", subject=INDEX)
SAMPLES = [
    archives.docker_save([ONE], links="symlink"),
    archives.docker_save([ONE], style="podman"),
    oci_layout([entry(INDEX, ref="example.com/a:1"), entry(REFERRER)]),
    oci_layout([entry(PLAIN, name="example.com/a:1", ref="1")], hybrid=[ONE]),
]
DOCUMENTS: list[dict[str, bytes]] = [
    {member.name: member.data for member in archives.docker_members([ONE], style="podman") if member.link is None},
    {member.name: member.data for member in archives.oci_members([entry(INDEX), entry(PLAIN)], hybrid=[ONE])},
]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("application/x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def understood_or_refused(data: bytes) -> None:
    said = ""
    try:
        archive = opened(data)
    except ArchiveError as error:
        said = str(error)
    else:
        assert isinstance(archive, Archive)
    assert len(said) < 8000


@SETTINGS
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8))
def test_bytes_that_were_changed(data: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    understood_or_refused(bytes(changed))


@SETTINGS
@given(st.sampled_from(SAMPLES), st.integers(0), st.integers(0), st.binary(max_size=700))
def test_a_piece_that_was_replaced(data: bytes, start: int, end: int, piece: bytes) -> None:
    start, end = sorted((start % len(data), end % len(data)))
    understood_or_refused(data[:start] + piece + data[end:])


def change(value: Any, choices: st.DataObject) -> Any:
    """`value` with something odd at one place in it."""
    if isinstance(value, dict) and value and choices.draw(st.integers(0, 4)):
        key = choices.draw(st.sampled_from(sorted(value)))
        return {**value, key: change(value[key], choices)}
    if isinstance(value, list) and value and choices.draw(st.integers(0, 4)):
        place = choices.draw(st.integers(0, len(value) - 1))
        return [*value[:place], change(value[place], choices), *value[place + 1 :]]
    return choices.draw(ODD)


@settings(SETTINGS, max_examples=300)
@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_document_that_has_something_odd_in_it(members: dict[str, bytes], choices: st.DataObject) -> None:
    documents = sorted(name for name, data in members.items() if data[:1] in {b"{", b"["})
    name = choices.draw(st.sampled_from(documents))
    raw = json.dumps(change(json.loads(members[name]), choices)).encode()
    understood_or_refused(tar(files(rewritten(members, name, raw))))


def rewritten(members: dict[str, bytes], name: str, raw: bytes) -> dict[str, bytes]:
    """`members` with other bytes in one of them, which is renamed by its digest, and so is all that leads to it."""
    before, new = members[name], archives.blob_name(archives.sha256(raw)) if name.startswith("blobs/") else name
    changed = {(new if each == name else each): (raw if each == name else data) for each, data in members.items()}
    for item in [item for item in changed if item != new != name]:
        linked = relinked(changed.get(item, b""), before, raw)
        if item in changed and linked != changed[item]:
            changed = rewritten(changed, item, linked)
    return changed


def relinked(data: bytes, before: bytes, after: bytes) -> bytes:
    """`data` with the descriptors of `before` made those of `after`."""
    old, new = archives.sha256(before), archives.sha256(after)
    descriptor = '"digest":"{}","size":{}'
    data = data.replace(
        descriptor.format(old, len(before)).encode(),
        descriptor.format(new, len(after)).encode(),
    )
    return data.replace(archives.blob_name(old).encode(), archives.blob_name(new).encode())


def test_a_document_is_rewritten_so_that_every_digest_is_true_again() -> None:
    config = archives.blob_name(ONE.config_digest)
    changed = rewritten(DOCUMENTS[1], config, ONE.config.replace(b"label", b"other"))
    assert config not in changed
    assert len(opened(tar(files(changed))).images) == len(opened(tar(files(DOCUMENTS[1]))).images)


@SETTINGS
@given(st.sampled_from(DOCUMENTS), st.data())
def test_members_that_are_missing_doubled_or_links(members: dict[str, bytes], choices: st.DataObject) -> None:
    names = st.sampled_from(sorted(members))
    found = [Member(name, data) for name, data in members.items() if choices.draw(st.integers(0, 9))]
    odd = st.builds(Member, names, link=st.one_of(names, names.map("../../{}".format), st.text(max_size=9)))
    hard = st.builds(Member, names, hardlink=names)
    twice = st.builds(Member, names, data=st.binary(max_size=9))
    folder = st.builds(Member, names, directory=st.just(True))
    found += choices.draw(st.lists(st.one_of(odd, hard, twice, folder), max_size=3))
    try:
        data = tar(found)
    except (UnicodeEncodeError, ValueError):
        return  # what the writer of the test cannot write
    understood_or_refused(data)
