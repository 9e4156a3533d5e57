"""Nothing of an archive gets lost without a word: every blob in it is pushed, or belongs to an image that is refused
with its reason, or is counted in a notice; whatever the format. `ARCHIVES=DIRECTORY` in the environment: those, too."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.archive import DockerImage
from app.errors import TarmacError
from app.push import Destination, PushOptions, PushPlan
from app.push.plan.image_content import manifests, referrers
from app.push.plan.planning import draft_plan
from tests.archive.formats.test_corpus import CORPUS
from tests.support.opening import Memory, read, taken_in

BOMB = "bad-bomb.tar.gz"
ROOTS = (CORPUS, *map(Path, filter(None, os.environ.get("ARCHIVES", "").split(":"))))
FILES = sorted(
    path
    for root in ROOTS
    for path in root.rglob("*")
    if path.is_file() and path.suffix not in {".md", ".json"} and path.name != BOMB
)
COUNTED = re.compile(r"the archive contains (\d+) blobs? \(")
DESCRIPTION = b'{"id":"'  # of a layer, as docker 1.9 knew it


def blobs_in(data: bytes) -> dict[str, bytes]:
    """By digest: every file that is called by the digest of its own content, in whatever way."""
    index, source = taken_in(data)
    found = {}
    for member in index.files():
        content = source.read_at(member.extent.offset, member.extent.size)
        encoded = hashlib.sha256(content).hexdigest()
        if encoded in member.name and not member.name.endswith("/link"):
            found[encoded] = content
    return found


def referred_to(plan: PushPlan, source: Memory) -> Iterator[str]:
    """The digests of all that the images of the plan consist of, pushed or refused."""
    for target in plan.images:
        archive, entry = plan.archives[target.archive], target.entry
        for manifest in (*manifests(archive, entry), *referrers(archive, entry)):
            yield manifest.descriptor.digest.encoded
            yield from (child.digest.encoded for child in manifest.manifests)
            yield from (blob.digest.encoded for blob in (*manifest.blobs, *manifest.carried))
        if isinstance(entry.root, DockerImage):
            yield entry.root.config.digest.encoded
            for layer in entry.root.layers:
                yield layer.diff_id.encoded
                stored = source.read_at(layer.extent.offset, layer.extent.size)
                yield hashlib.sha256(stored).hexdigest()
        else:
            yield entry.root.digest.encoded
        if entry.original is not None:
            yield entry.original.digest.encoded


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_blob_is_pushed_refused_or_counted(path: Path) -> None:
    data = path.read_bytes()
    try:
        plan = draft_plan([read(data)], PushOptions(), Destination("default", "registry.test"))
    except TarmacError:  # refused as a whole, with the reason
        return
    held = blobs_in(data)
    left = set(held) - set(referred_to(plan, taken_in(data)[1]))
    left = {encoded for encoded in left if not held[encoded].startswith(DESCRIPTION)}
    others = [note for note in plan.notes if not COUNTED.search(note)]
    left = {encoded for encoded in left if not any(encoded in note for note in others)}  # told by its digest
    counts = [int(found[1]) for note in plan.notes if (found := COUNTED.search(note))]
    assert sum(counts) == len(left) or (plan.refused and sum(counts) > len(left)), sorted(left)
    assert all(problem.detail for problem in plan.refused.values())
