"""From indexed files to Archives, one for each; the parts of one storage are understood together."""

from __future__ import annotations

from collections.abc import Sequence

from app.archive import Archive, Limits, TarIndex
from app.archive.formats import Contents, join_indexes, open_archive, parts_of_storage
from app.jobs.archives import told_by_name
from app.spool import OpenFile
from app.spool.joined import JoinedFile


def understand(
    indexes: Sequence[TarIndex], files: Sequence[OpenFile], limits: Limits, names: Sequence[str]
) -> tuple[list[Archive], list[OpenFile]]:
    """The Archives, and for each the file that its extents lie in. Where several are parts of one storage, the first of
    them has everything that is in them, and the file that joins them. `names` are for messages. Blocks. Raises
    ArchiveError."""
    pairs = list(zip(indexes, files, strict=True))
    parts = parts_of_storage([Contents(index, file, limits) for index, file in pairs])
    if parts:
        first = parts[0]
        pairs[first] = (
            join_indexes([indexes[part] for part in parts]),
            JoinedFile(tuple(files[each] for each in parts)),
        )
    opened = {}
    for number, (index, file) in enumerate(pairs):
        if number not in parts[1:]:
            with told_by_name(names[number], several=len(names) > 1):
                opened[number] = open_archive(index, file, limits)
    for number, part in enumerate(parts[1:], 2):
        note = f"part {number} of {len(parts)} of one storage; what is in it stands with the first part"
        opened[part] = Archive(opened[parts[0]].format, (), {}, {}, (note,))
    return [opened[number] for number in range(len(pairs))], [file for _, file in pairs]
