"""LayoutTar: a part of the layout as the tar of an image layout, so that it is read like any other archive.

No tar is written: headers are made, and blobs are read from their files in place."""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from app.errors import SourceChanged
from app.oci import Digest
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import LayoutIndex
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.oci_layout.uses import Needed, PushUse

_BLOCK = 512
_END = 2 * _BLOCK  # zeros at the end of a tar
_MARKER = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class _Segment:
    """A header, or the payload of a member, at an offset in the tar. `payload`: None for a header."""

    start: int
    size: int
    name: str
    payload: bytes | Digest | None
    payload_size: int = 0


def open_layout(layout: LayoutRegistry, may_see: Callable[[str], bool], job: str) -> LayoutTar:
    """Open the repositories that `may_see` allows, as they are now. Blocks. Raises RegistryFault.

    Collections leave what is in it until it is closed.
    """
    use = PushUse(layout.uses, job)
    try:
        index = layout.index()
        while True:
            use.need(_needed(layout, index, may_see))
            newest = layout.index()
            if newest is index:
                return LayoutTar(layout, index, may_see, use)
            index = newest
    except BaseException:
        use.close()
        raise


class LayoutTar:
    """An OpenFile over the repositories of `index` that `may_see` allows."""

    def __init__(
        self, layout: LayoutRegistry, index: LayoutIndex, may_see: Callable[[str], bool], use: PushUse
    ) -> None:
        self._files, self._use = layout.files, use
        repositories = {name: entries for name, entries in index.repositories.items() if may_see(name)}
        document = LayoutIndex(repositories, (), index.head).dump()
        digests = _needed(layout, index, may_see).digests
        sizes = {digest: layout.files.blob_size(digest) for digest in sorted(digests, key=str)}
        members: list[tuple[str, bytes | Digest, int]] = [
            ("oci-layout", _MARKER, len(_MARKER)),
            ("index.json", document, len(document)),
        ]
        for digest, size in sizes.items():
            if size is not None:
                members.append((f"blobs/{digest.algorithm}/{digest.encoded}", digest, size))
        self._segments: list[_Segment] = []
        end = 0
        for name, payload, size in members:
            self._segments.append(_Segment(end, _BLOCK, name, None, size))
            self._segments.append(_Segment(end + _BLOCK, size, name, payload))
            end += _BLOCK + -(-size // _BLOCK) * _BLOCK
        self._starts = [segment.start for segment in self._segments]
        self._size = end + _END

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Read over headers, payloads and the zeros between them."""
        if offset < 0 or offset + size > self._size:
            raise SourceChanged("the image store was read beyond its end")
        content = bytearray(size)
        for segment in islice(self._segments, max(bisect_right(self._starts, offset) - 1, 0), None):
            if segment.start >= offset + size:
                break
            begin, end = max(segment.start, offset), min(segment.start + segment.size, offset + size)
            if begin < end:
                content[begin - offset : end - offset] = self._read(segment, begin - segment.start, end - begin)
        return bytes(content)

    def close(self) -> None:
        """Let collections delete what was in it. May be called repeatedly."""
        self._use.close()

    def _read(self, segment: _Segment, offset: int, size: int) -> bytes:
        match segment.payload:
            case None:
                return _header(segment.name, segment.payload_size)[offset : offset + size]
            case bytes():
                return segment.payload[offset : offset + size]
            case digest:
                return self._read_blob(digest, offset, size)

    def _read_blob(self, digest: Digest, offset: int, size: int) -> bytes:
        content = self._files.read_blob(digest, offset, size)
        if len(content) < size:
            raise SourceChanged(f"blob {digest} of the image store was cut off; push its image again")
        return content


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _needed(layout: LayoutRegistry, index: LayoutIndex, may_see: Callable[[str], bool]) -> Needed:
    manifests, blobs = set[tuple[str, Digest]](), set[tuple[str, Digest]]()
    for repository, root in _roots(index, may_see):
        needed = layout.needed(repository, root)
        manifests |= needed.manifests
        blobs |= needed.blobs
    return Needed(frozenset(manifests), frozenset(blobs))


def _roots(index: LayoutIndex, may_see: Callable[[str], bool]) -> Iterator[tuple[str, IndexRoot]]:
    for repository, entries in index.repositories.items():
        if may_see(repository):
            yield from ((repository, root) for root in entries.values())
