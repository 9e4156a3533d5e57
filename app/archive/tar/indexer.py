"""TarIndexer: tar bytes in, TarIndex out, in pieces of any size, without storing payload.

It records the compression of each file from its first bytes, so they are not read again for that.

If tar readers would disagree about an archive, it is rejected. Otherwise a scanner could read other content than Tarmac
pushes (CVE-2025-62518).
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.file_type import EXPECTED, PART, POWERSHELL, describe_file_type, shown, was_text
from app.archive.model import DEFAULT_LIMITS, Compression, Extent, Limits, ReadAt
from app.archive.tar.header import (
    BLOCK,
    GNU_NAME,
    GNU_TARGET,
    PAX,
    PAX_GLOBAL,
    Extensions,
    Header,
    is_header,
    parse_header,
)
from app.archive.tar.index import MAX_REPEATS, Member, MemberKind, TarIndex, normalise
from app.errors import LimitExceeded, MalformedArchive, TruncatedArchive, UnknownFormat

READ_AHEAD = 4 << 10  # index_file: one read covers small files and their headers; a large file costs one page
TAIL_READ = 1 << 20
MAX_NAME = 4096  # no file system supports a longer path (PATH_MAX)
MAX_TAIL = 64 << 20  # zeros after the end; tar pads to its blocking factor, at most 1 MiB in practice
_ZERO = bytes(BLOCK)
_EXTENSIONS = frozenset({GNU_NAME, GNU_TARGET, PAX, PAX_GLOBAL})
_KINDS = {
    b"\0": MemberKind.FILE,
    b"0": MemberKind.FILE,
    b"7": MemberKind.FILE,  # contiguous; POSIX requires it to be read as a file
    b"1": MemberKind.HARDLINK,
    b"2": MemberKind.SYMLINK,
    b"5": MemberKind.DIRECTORY,
}
_REFUSED = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
    b"M": "the rest of a file of another volume (tar --multi-volume); make one tar of all volumes",
}
_IGNORED = frozenset({b"D", b"V"})  # metadata of GNU tar: the names in a directory, the label of the volume


PROVENANCE = "provenance.prov"  # the only member of a provenance file that is sent alone
PROVENANCE_START = b"-----BEGIN PGP SIGNED MESSAGE-----"
MAX_PROVENANCE_BYTES = 1 << 20  # it contains Chart.yaml and a signature

MEMBER_BYTES = 300  # memory of one member without its name, measured with 99,000


class TarIndexer:
    """Indexes a plain tar: `feed` all its bytes in order, then call `finish`.

    Not thread-safe; unusable after an error. A provenance file of a Helm chart is indexed as a tar with one member.

    Raises UnknownFormat if the data does not start with a header, MalformedArchive, TruncatedArchive, LimitExceeded."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._members: dict[str, tuple[Member, ...]] = {}
        self._count = 0  # members, with those whose name repeats
        self._header_bytes = 0
        self._name_bytes = 0
        self._received = 0
        self._at = 0  # offset of the next block to read, and its length
        self._block_size = BLOCK
        self._partial = bytearray()  # the part of it that was received
        self._extension: bytes | None = None  # type of the extension header whose content is next
        self._extension_size = 0
        self._extensions = Extensions()
        self._last = ""  # name of the last member, for messages
        self.first_file: str | None = None  # name of the first regular file, if one was read
        self._files: list[Member] = []
        self._payload: Extent | None = None  # of the file whose first bytes are the next block
        self._compressed: dict[int, Compression] = {}
        self._zeros = 0  # blocks; two end the archive
        self._is_provenance = False
        self._end = 0

    @property
    def position(self) -> int:
        """Return the number of bytes that were fed or skipped."""
        return self._received

    @property
    def memory(self) -> int:
        """Return the approximate memory in bytes that the members use."""
        return MEMBER_BYTES * self._count + self._name_bytes

    @property
    def ended(self) -> bool:
        """Return whether the end marker was read; only zeros may follow."""
        return self._zeros == 2

    def files_since(self, number: int) -> list[Member]:
        """Return the regular files from that number on, in the order of their headers. Thread-safe.

        The payload of the last one may not be received yet."""
        return self._files[number:]

    def feed(self, chunk: bytes) -> None:
        start = self._received
        self._received += len(chunk)
        while (begin := self._at + len(self._partial)) < self._received:
            if self._zeros == 2:
                return self._feed_tail(chunk[begin - start :])
            piece = chunk[begin - start : self._at + self._block_size - start]
            if len(self._partial) + len(piece) < self._block_size:
                self._partial += piece
                return None
            block = bytes(self._partial) + piece
            self._partial.clear()
            self._take(block)
        return None

    def skip(self, size: int) -> int:
        """Skip payload that need not be fed, at most `size` bytes. Return the number of skipped bytes."""
        skipped = max(0, min(self._at + len(self._partial) - self._received, size))
        self._received += skipped
        return skipped

    def finish(self) -> TarIndex:
        """Return the index after the last byte. As in GNU tar, the two final blocks may be missing."""
        if not self._received:
            raise UnknownFormat("the archive is empty: it has 0 bytes")
        if self._is_provenance or (not self._at and self._partial.startswith(PROVENANCE_START)):
            signed = Member(PROVENANCE, MemberKind.FILE, Extent(0, self._received), "")
            return TarIndex(MappingProxyType({PROVENANCE: (signed,)}), self._received, self._limits)
        if self._partial and not self._at:
            raise _not_a_tar(bytes(self._partial))
        end = self._at if self._payload is None else _end(self._payload)
        if self._received < end:
            raise TruncatedArchive(
                f"the archive ends at byte {self._received}, inside member {self._last!r:.300}, which ends at byte "
                f"{end}"
            )
        if self._partial or self._extension or self._extensions.count:
            raise TruncatedArchive(f"the archive ends at byte {self._received}, inside the header at byte {self._at}")
        return self._index(self._members)

    def finish_cut(self, error: TruncatedArchive) -> TarIndex:
        """Return the members that are whole of an archive that breaks off, as `error` says. Raises `error` if there are
        none."""
        whole = {
            name: kept
            for name, members in self._members.items()
            if (kept := tuple(member for member in members if self._is_whole(member)))
        }
        if not any(member.kind is MemberKind.FILE for members in whole.values() for member in members):
            raise error
        return replace(self._index(whole), ended=False, cut=str(error))

    def _is_whole(self, member: Member) -> bool:
        return member.extent.offset + member.extent.size <= self._received

    def _index(self, members: dict[str, tuple[Member, ...]]) -> TarIndex:
        return TarIndex(
            MappingProxyType(members),
            self._received,
            self._limits,
            MappingProxyType(self._compressed),
            ended=self._zeros > 0,
        )

    def _feed_tail(self, tail: bytes) -> None:
        if tail.strip(b"\0") and not self._count:
            raise UnknownFormat("the archive is not a tar: it starts with zeros, like images of disks and CDs")
        if tail.strip(b"\0"):
            raise MalformedArchive(
                f"data follows the end-of-archive marker at byte {self._end}; tar readers differ on two archives in "
                "one file; send one archive per file"
            )
        self._at = self._received
        if self._received - self._end > MAX_TAIL:
            raise LimitExceeded(f"more than {MAX_TAIL} zero bytes follow the end of the archive at byte {self._end}")

    def _take(self, block: bytes) -> None:
        """Process a block: the first bytes of a file, the content of an extension header, zeros, or a header."""
        if self._payload is not None:
            return self._take_first_bytes(block, self._payload)
        at, self._at = self._at, self._at + len(block)
        extension, self._extension, self._block_size = self._extension, None, BLOCK
        if extension:
            self._extensions.add(extension, block[: self._extension_size], at)
        elif block == _ZERO:
            self._take_zeros(at)
        else:
            self._take_header(block, at)
        return None

    def _take_first_bytes(self, block: bytes, payload: Extent) -> None:
        compression = sniff(block)
        if compression is not Compression.NONE:
            self._compressed[payload.offset] = compression
        self._payload, self._at, self._block_size = None, _end(payload), BLOCK

    def _take_zeros(self, at: int) -> None:
        if self._extensions.count:
            raise MalformedArchive(f"the extension header before byte {at} has no member")
        self._zeros += 1
        self._end = self._at

    def _take_header(self, block: bytes, at: int) -> None:
        if self._zeros:
            raise MalformedArchive(f"data follows a single block of zeros at byte {at - BLOCK}")
        if at == 0 and block.startswith(PROVENANCE_START):
            self._is_provenance, self._last, self._at = True, PROVENANCE, MAX_PROVENANCE_BYTES
            return
        if not is_header(block):
            if at == 0:
                raise _not_a_tar(block)
            hint = f"; {POWERSHELL}" if was_text(block) or b"\r\n" in block else ""
            raise MalformedArchive(f"no tar header is at byte {at}, after member {self._last!r:.300}{hint}")
        header = parse_header(block, at)
        self._charge(BLOCK)
        if header.type in _EXTENSIONS:
            self._open_extension(header, at)
        else:
            self._add(header)

    def _charge(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            raise LimitExceeded(f"the headers have more than {self._limits.header_bytes} bytes")

    def _charge_names(self, name: str, target: str) -> None:
        if max(len(name), len(target)) > MAX_NAME:
            raise LimitExceeded(f"member {name!r:.300} has a name or target of more than {MAX_NAME} characters")
        self._name_bytes += len(name) + len(target)
        if self._name_bytes > self._limits.name_bytes:
            raise LimitExceeded(f"the names of the members have more than {self._limits.name_bytes} characters")

    def _open_extension(self, header: Header, at: int) -> None:
        if header.size > self._limits.extension_bytes:
            raise LimitExceeded(
                f"the extension header at byte {at} has {header.size} bytes; "
                f"at most {self._limits.extension_bytes} are read"
            )
        self._extensions.count += header.type != PAX_GLOBAL  # a global header belongs to no member
        if self._extensions.count > self._limits.extensions_per_member:
            raise LimitExceeded(
                f"more than {self._limits.extensions_per_member} extension headers before one member, at byte {at}"
            )
        self._charge(_blocks(header.size))
        if not header.size:
            self._extensions.add(header.type, b"", at)
        else:
            self._extension, self._extension_size, self._block_size = header.type, header.size, _blocks(header.size)

    def _add(self, header: Header) -> None:
        name, target, size = header.name, header.target, header.size
        if self._extensions.count:
            name, target, size = self._extensions.apply(header)
            self._extensions = Extensions()
        self._last = name
        self._charge_names(name, target)
        self._count += 1
        if self._count > self._limits.members:
            raise LimitExceeded(f"the archive has more than {self._limits.members} members")
        if size > self._limits.unpacked_bytes:
            raise LimitExceeded(
                f"member {name!r:.300} has {size} bytes; at most {self._limits.unpacked_bytes} are read"
            )
        if header.type in _IGNORED:
            self._at += _blocks(size)
            return
        kind = _kind(header.type, name)
        if size and kind is not MemberKind.FILE:
            raise MalformedArchive(f"{kind} {name!r:.300} has {size} bytes of data; tar readers differ on these")
        member = Member(normalise(name), kind, Extent(self._at, size), target)
        if size:
            self._payload, self._block_size = member.extent, min(size, SNIFF_BYTES)
        if member.name:
            self._keep(member)
        elif kind is not MemberKind.DIRECTORY:
            raise MalformedArchive(f"a {kind} has the name {name!r:.300}, the root of the archive")

    def _keep(self, member: Member) -> None:
        if member.kind is MemberKind.FILE:
            self._files.append(member)
            self.first_file = self.first_file or member.name
        others = self._members.get(member.name)
        if others is None:
            self._members[member.name] = (member,)
        elif member.kind is MemberKind.FILE or all((o.kind, o.target) != (member.kind, member.target) for o in others):
            if len(others) >= MAX_REPEATS:
                raise LimitExceeded(f"member {member.name!r:.300} occurs more than {MAX_REPEATS} times")
            self._members[member.name] = (*others, member)


def index_file(source: ReadAt, size: int, limits: Limits = DEFAULT_LIMITS, *, may_be_cut: bool = False) -> TarIndex:
    """Index a plain tar of `size` bytes from header to header, by the rules of TarIndexer. Blocks.

    `may_be_cut`: if the tar breaks off, return its whole members."""
    indexer = TarIndexer(limits)
    while indexer.position < size:
        ahead = TAIL_READ if indexer.ended else READ_AHEAD
        indexer.feed(source.read_at(indexer.position, min(ahead, size - indexer.position)))
        indexer.skip(size - indexer.position)
    try:
        return indexer.finish()
    except TruncatedArchive as error:
        if not may_be_cut:
            raise
        return indexer.finish_cut(error)


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _end(payload: Extent) -> int:
    """Return the offset of the next header."""
    return payload.offset + _blocks(payload.size)


def _kind(type_: bytes, name: str) -> MemberKind:
    kind = _KINDS.get(type_)
    if kind is None:
        what = _REFUSED.get(type_, f"of the unknown type {type_!r}")
        raise MalformedArchive(
            f"member {name!r:.300} is {what}; an image archive contains only files, directories and links"
        )
    if kind is MemberKind.FILE and name.endswith("/"):
        return MemberKind.DIRECTORY  # the oldest tars mark directories this way
    return kind


def _not_a_tar(head: bytes) -> UnknownFormat:
    known = describe_file_type(head)
    what, remedy = known or ("unknown data", f"{PART}; ")
    return UnknownFormat(
        f"the archive is not a tar but {what}; {remedy}{EXPECTED}",
        content="" if known else shown(head),
    )


__all__ = ["Member", "MemberKind", "TarIndex", "TarIndexer", "index_file"]
