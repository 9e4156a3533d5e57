"""Archives that are cut off: never taken for whole without a word.

    python -m tests.archive.cut_off FILE_OR_DIRECTORY…    every cut of every archive there, with figures

Each archive is cut at every block of its last 40, and in the middle of every member; a compressed one at 40 places of
its last part, and each of its plain forms as the plain tar. What is cut off is refused, or says so in a notice, or has
every image of the whole one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.archive import TarIndex
from app.archive.formats import NO_END
from app.archive.tar.header import BLOCK
from app.errors import TarmacError
from app.oci import Platform
from app.push import Destination, PushOptions
from app.push.plan.planning import draft_plan
from tests.support.opening import read, taken_in

BLOCKS = 40
CUT = NO_END
LIMIT = 8 << 20  # bytes of an archive; what is larger takes long and shows no more
Images = Counter[tuple[str, tuple[Platform, ...]]]


def images_of(data: bytes) -> tuple[Images, tuple[str, ...]] | str:
    """The images that a push of `data` would land, and its notices; or the code of its refusal."""
    try:
        plan = draft_plan([read(data)], PushOptions(), Destination("default", "registry.test"))
    except TarmacError as error:
        return error.code
    if plan.refused:
        return next(iter(plan.refused.values())).code
    found = Counter((str(place), image.entry.platforms) for image in plan.images for place in image.destinations)
    return found, plan.notes


def places(data: bytes) -> tuple[int, ...]:
    """Where `data` is cut: at blocks if it is a plain tar, else at 40 bytes of its last half."""
    index = _index(data)
    if index is None or index.size != len(data):
        return tuple(sorted({len(data) - 1 - len(data) * number // (2 * BLOCKS) for number in range(BLOCKS)}))
    last = len(data) // BLOCK
    middles = [member.extent.offset + member.extent.size // 2 for member in index.files() if member.extent.size > 1]
    return tuple(sorted({*(BLOCK * block for block in range(max(1, last - BLOCKS), last)), *middles}))


def _index(data: bytes) -> TarIndex | None:
    try:
        return taken_in(data)[0]
    except TarmacError:
        return None


def verdict(whole: Images, data: bytes, place: int) -> str:
    """How the first `place` bytes of `data` end; `silent` is wrong."""
    cut = images_of(data[:place])
    if isinstance(cut, str):
        return cut
    images, notices = cut
    if any(CUT in notice for notice in notices):
        return "notice"
    return "whole" if images == whole else "silent"


def verdicts(data: bytes, step: int = 1) -> Iterator[tuple[int, str]]:
    """Yield every `step`-th place and how it ends; nothing for what is refused as a whole."""
    whole = images_of(data)
    if not isinstance(whole, str):
        for place in places(data)[::step]:
            yield place, verdict(whole[0], data, place)


def forms(data: bytes) -> Iterator[bytes]:
    """The archive as it is sent, and its plain tar."""
    yield data
    if _index(data) is not None and (plain := taken_in(data)[1].data) != data:
        yield plain


def main(paths: list[str]) -> int:
    found: Counter[str] = Counter()
    for root in map(Path, paths):
        for path in sorted(root.rglob("*") if root.is_dir() else [root]):
            if not path.is_file() or path.stat().st_size > LIMIT:
                continue
            for form in forms(path.read_bytes()):
                for place, how in verdicts(form):
                    found[how] += 1
                    if how == "silent":
                        print(f"{path} cut at byte {place} of {len(form)}: fewer images, and no notice")
    print(f"{sum(found.values())} cuts: " + ", ".join(f"{count} {how}" for how, count in found.most_common()))
    return int(found["silent"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
