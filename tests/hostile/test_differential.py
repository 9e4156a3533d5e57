"""What Tarmac accepts, other readers see alike: GNU tar the same members, skopeo the same images.

Known differences, each with its reason, stand in SKOPEO_REFUSES: there skopeo takes less than Tarmac does. There is
none where both take an archive and see something else in it."""

from __future__ import annotations

import codecs
import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.archive import Archive, DockerImage, ImageEntry, MemberKind, TarIndex
from app.archive.tar.index import normalise
from app.errors import ArchiveError
from tests.hostile.case import BOMB_SECONDS, Accepted
from tests.hostile.catalogue import CASES
from tests.support.opening import opened, taken_in
from tests.support.peers import peer

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
REFUSED = {"bad-bomb.tar.gz", "bad-truncated.tar", "outer-gz-truncated.tar.gz"}  # before there is a list
MAX_BYTES = 4 << 20  # larger ones are many of one thing
MAX_IMAGES = 5  # of one archive, each a call of skopeo
COMPARED = {
    name: case
    for name, case in CASES.items()
    if isinstance(case.verdict, Accepted) and case.seconds < BOMB_SECONDS and len(case.build()) < MAX_BYTES
}
LINE = re.compile(r"(?P<type>[-hlbcpdCDMVSxgLK])\S{9} \S+ +(?P<size>[0-9]+) \S+ \S+ (?P<name>.*)")


@pytest.fixture(scope="session")
def gnu_tar() -> str:
    return peer("tar")


def listed(tar: str, data: bytes) -> tuple[Counter[tuple[str, int]], set[str]]:
    """The files with their sizes, and the names of directories and links, as GNU tar tells them."""
    command = [tar, "--list", "--verbose", "--verbose", "--numeric-owner", "--quoting-style=escape"]
    done = subprocess.run(
        [*command, "--absolute-names", "--file=-"],
        input=data,
        capture_output=True,
        check=False,
        timeout=30,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    assert done.returncode == 0, done.stderr.decode()
    files: Counter[tuple[str, int]] = Counter()
    others = set()
    for line in done.stdout.decode("ascii").splitlines():
        found = LINE.fullmatch(line)
        assert found is not None, line
        name = found["name"]
        if found["type"] in "-C":
            files[unquoted(name), int(found["size"])] += 1
        elif found["type"] in "lh":
            others.add(unquoted(re.split(" -> | link to ", name)[0]))
        else:
            others.add(unquoted(name))
    return files, others - {""}


def unquoted(name: str) -> str:
    """The name as a key, from tar's escapes."""
    raw, _ = codecs.escape_decode(name.encode("ascii"))
    return normalise(raw.decode("utf-8", "backslashreplace"))


def held(index: TarIndex) -> tuple[Counter[tuple[str, int]], set[str]]:
    every = [member for members in index.members.values() for member in members]
    files = Counter((item.name, item.extent.size) for item in every if item.kind is MemberKind.FILE)
    return files, {item.name for item in every if item.kind is not MemberKind.FILE}


# What describes the archive itself, GNU tar lists as members; it is no content.
DESCRIPTIONS: Mapping[str, set[str]] = {
    "extensions: GNU: an incremental directory": {"dir"},
    "extensions: GNU: a volume label": {"label--Volume Header--"},
}


def assert_same_members(tar: str, data: bytes, ignored: Collection[str] = ()) -> None:
    index, plain = taken_in(data)
    files, others = listed(tar, plain.data)
    assert others.issuperset(ignored)
    assert (files, others.difference(ignored)) == held(index)


@pytest.mark.parametrize("name", COMPARED)
def test_gnu_tar_lists_what_tarmac_lists(name: str, gnu_tar: str) -> None:
    assert_same_members(gnu_tar, COMPARED[name].build(), DESCRIPTIONS.get(name, ()))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.tar*")), ids=lambda path: path.name)
def test_gnu_tar_lists_what_tarmac_lists_in_archives_of_other_tools(path: Path, gnu_tar: str) -> None:
    try:
        assert_same_members(gnu_tar, path.read_bytes())
    except ArchiveError:
        assert path.name in REFUSED


@dataclass(frozen=True, slots=True)
class Place:
    """An image where skopeo finds it."""

    reference: str
    entry: ImageEntry


def places(archive: Archive, path: Path) -> Iterator[Place]:
    for number, entry in enumerate(archive.images[:MAX_IMAGES]):
        if isinstance(entry.root, DockerImage) and archive.format == "docker-archive":
            yield Place(f"docker-archive:{path}:@{number}", entry)
        elif archive.format == "oci-archive" and not isinstance(entry.root, DockerImage):
            only = len(archive.images) == 1 and not entry.referrers
            name = "" if only else next(iter((*entry.names, *entry.bare_tags)), None)
            if name is not None:
                yield Place(f"oci-archive:{path}" + (f":{name}" if name else ""), entry)


# What skopeo 1.9 does not read and Tarmac does, by a piece of its message.
SKOPEO_REFUSES = {
    "loading tar component manifest.json: unexpected EOF": "any docker archive in gzip, those of docker save as well",
    "gzip: invalid header": "zeros after the last gzip member, which gzip itself passes over",
    "archive/tar: invalid tar header": "several gzip members; a skippable zstd frame at the start",
    "xz: invalid flags": "xz without an integrity check",
    "Schema2Image.os of type string": "a config whose os is no text: Tarmac shows the platform as unknown",
    "exceeded maximum allowed size of 1048576 bytes": "a manifest.json of more than 1 MiB",
    "more than one image in oci": "an index beside its child: Tarmac pushes the index, skopeo wants one to be chosen",
}


def inspected(skopeo: str, *arguments: str) -> bytes | str:
    """What it prints; its message where it refuses."""
    done = subprocess.run([skopeo, "inspect", "--raw", *arguments], capture_output=True, check=False, timeout=50)
    return done.stdout if done.returncode == 0 else done.stderr.decode()


def assert_skopeo_agrees(skopeo: str, path: Path, archive: Archive) -> list[str]:
    """Where it reads an image, it has our digest; the messages where it does not read one."""
    refusals = []
    for place in places(archive, path):
        root = place.entry.root
        raw = inspected(skopeo, *(["--config"] if isinstance(root, DockerImage) else []), place.reference)
        if isinstance(raw, str):
            refusals.append(raw)
        else:
            digest = root.config.digest if isinstance(root, DockerImage) else root.digest
            assert f"{digest.algorithm}:{hashlib.new(digest.algorithm, raw).hexdigest()}" == str(digest)
    return refusals


def assert_explained(refusals: list[str]) -> None:
    for refusal in refusals:
        assert any(piece in refusal for piece in SKOPEO_REFUSES), refusal


@pytest.mark.parametrize("name", tuple(COMPARED)[::2])
def test_skopeo_sees_the_digests_that_tarmac_sees(name: str, skopeo: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(COMPARED[name].build())
    assert_explained(assert_skopeo_agrees(skopeo, path, opened(path.read_bytes())))
