"""What a tar is taken for. Every archive is read whole, one byte at a time, in odd pieces and from a file."""

from __future__ import annotations

import io
import tarfile

import pytest

from app.archive import Compression, Extent, Member, MemberKind, TarIndex, TarIndexer, index_file
from app.errors import LimitExceeded, MalformedArchive, TruncatedArchive, UnknownFormat
from tests.archive.tar_blocks import END, Bytes, extension, feed, file, header, index, link, padded, pax

GIB = 1 << 30


def names(archive: TarIndex) -> list[str]:
    return list(archive.members)


def test_a_file_is_an_extent_of_the_archive() -> None:
    archive = index(file("a/b", b"content") + END)
    assert archive.members["a/b"] == (Member("a/b", MemberKind.FILE, Extent(512, 7), ""),)
    assert archive.extent("a/b") == Extent(512, 7)
    assert archive.size == 2048


def test_names_that_are_not_there_have_no_extent() -> None:
    archive = index(header("d/", 0, b"5") + END)
    assert archive.extent("a") is None
    assert archive.extent("d") is None
    assert archive.read("a", Bytes(b""), 10) is None


@pytest.mark.parametrize("type_", [b"0", b"\0", b"7"])
def test_regular_old_and_contiguous_files_are_files(type_: bytes) -> None:
    archive = index(header("a", 3, type_) + padded(b"abc") + END)
    assert [member.kind for member in archive.files()] == [MemberKind.FILE]


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar  \0", bytes(8)])
def test_posix_gnu_and_the_oldest_headers_are_read(magic: bytes) -> None:
    archive = index(header("a", 3, magic=magic) + padded(b"abc") + END)
    assert archive.extent("a") == Extent(512, 3)


def test_the_prefix_stands_before_the_name_in_posix_headers_alone() -> None:
    assert names(index(header("b", prefix=b"a" * 155) + END)) == ["a" * 155 + "/b"]
    assert names(index(header("b", prefix=b"a", magic=b"ustar  \0") + END)) == ["b"]


def test_a_name_of_a_hundred_bytes_needs_no_nul() -> None:
    assert names(index(file("n" * 100) + END)) == ["n" * 100]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("./a", "a"),
        ("a//b", "a/b"),
        ("./././a/./b", "a/b"),
        (".//a", "a"),
        ("a/.", "a"),
        ("..a/b..", "..a/b.."),
        (".a", ".a"),
    ],
)
def test_one_member_has_one_name(name: str, key: str) -> None:
    assert names(index(file(name) + END)) == [key]


@pytest.mark.parametrize("name", ["/a", "//a", "a/../b", "..", "../a", "a/..", "./../a", "/"])
def test_an_absolute_or_climbing_name_is_refused(name: str) -> None:
    with pytest.raises(MalformedArchive):
        index(file(name) + END)


@pytest.mark.parametrize("name", ["", ".", "./", "./."])
def test_the_root_may_be_a_directory_and_nothing_else(name: str) -> None:
    assert names(index(header(name, 0, b"5") + END)) == []
    with pytest.raises(MalformedArchive):
        index(header(name, 0, b"2", target="a") + END)


def test_a_file_without_a_name_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        index(file("") + END)


def test_a_name_that_is_not_utf8_can_be_printed() -> None:
    assert names(index(file(b"caf\xe9") + END)) == ["caf\\xe9"]


def test_a_file_whose_name_ends_in_a_slash_is_a_directory() -> None:
    archive = index(file("d/") + END)
    assert [member.kind for member in archive.members["d"]] == [MemberKind.DIRECTORY]


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (b"3", "a character device"),
        (b"4", "a block device"),
        (b"6", "a named pipe"),
        (b"S", "a sparse file"),
        (b"M", "the rest of a file of another volume"),
        *((type_, "of the unknown type") for type_ in (b"8", b"N", b"X", b"\xff")),
    ],
)
def test_devices_and_unknown_types_are_refused_by_name(type_: bytes, words: str) -> None:
    with pytest.raises(MalformedArchive, match=f"'dev/x'.*{words}"):
        index(file("a") + header("dev/x", 0, type_) + END)


@pytest.mark.parametrize(("type_", "content"), [(b"D", b"Yfile\0Nother\0"), (b"D", b""), (b"V", b"")])
def test_what_gnu_tar_says_for_itself_is_passed_over(type_: bytes, content: bytes) -> None:
    own = header("/any name: ..", len(content), type_) + padded(content)
    assert names(index(own + file("a") + own + END)) == ["a"]


def test_an_archive_without_an_end_is_known_as_one() -> None:
    assert index(file("a") + END).ended
    assert index(file("a") + bytes(512)).ended
    assert not index(file("a")).ended


@pytest.mark.parametrize(("type_", "kind"), [(b"1", "hard link"), (b"2", "symbolic link"), (b"5", "directory")])
def test_data_on_anything_but_a_file_is_refused(type_: bytes, kind: str) -> None:
    with pytest.raises(MalformedArchive, match=f"{kind} 'a'.*512 bytes"):
        index(header("a", 512, type_, target="b") + bytes(512) + END)


def test_the_roots_are_the_first_components_in_order() -> None:
    archive = index(file("b/c") + file("a") + file("b/d") + header("e/", 0, b"5") + END)
    assert archive.roots == ("b", "a", "e")


# --- where the archive begins and ends


def test_an_archive_without_members_has_no_names() -> None:
    assert names(index(bytes(10240))) == []


def test_no_byte_at_all_is_no_archive() -> None:
    with pytest.raises(UnknownFormat):
        index(b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + bytes(600), "a zip file"),
        (b"\x1f\x8b\x08" + bytes(600), "gzip data"),
        (b"hsqs" + bytes(600), "a SquashFS image"),
        (b"<html>" + b" " * 600, "an HTML or XML document"),
        (b'{"errors": []}', "a JSON document"),
        (b"\n<!DOCTYPE html>", "an HTML or XML document"),
        (b"just text", "unknown data.*: it starts with 'just text'"),
        (b"\x00\x01\x02" + bytes(600), "unknown data.*: it starts with the bytes 00 01 02 00"),
        (b"x", "unknown data.*: it starts with 'x'"),
        (bytes(100), "unknown data"),
    ],
)
def test_what_is_no_tar_is_told_at_the_first_header(data: bytes, words: str) -> None:
    with pytest.raises(UnknownFormat, match=words):
        index(data)


def test_it_is_told_before_the_second_block_comes() -> None:
    with pytest.raises(UnknownFormat):
        TarIndexer().feed(b"PK\x03\x04" + bytes(508))


def test_a_disk_image_that_starts_with_zeros_is_no_tar() -> None:
    with pytest.raises(UnknownFormat):
        index(bytes(32768) + b"\x01CD001" + bytes(2048))


@pytest.mark.parametrize("cut", [0, 512, 1024])
def test_missing_end_blocks_are_no_fault(cut: int) -> None:
    assert names(index(file("a", b"1") + bytes(cut))) == ["a"]


@pytest.mark.parametrize("cut", [1, 100, 511])
def test_a_cut_inside_a_header_is_told(cut: int) -> None:
    with pytest.raises(TruncatedArchive, match=f"byte {1024 + cut}.*byte 1024"):
        index(file("a", b"1") + file("b", b"2")[:cut])


@pytest.mark.parametrize("cut", [512, 513, 1011, 1012, 1023])
def test_a_cut_inside_a_member_names_it(cut: int) -> None:
    with pytest.raises(TruncatedArchive, match=f"byte {cut}.*'a'.*byte 1024"):
        index(file("a", bytes(500))[:cut])


@pytest.mark.parametrize("cut", [1024, 1100, 1536])
def test_a_cut_after_an_extension_header_is_told(cut: int) -> None:
    with pytest.raises(TruncatedArchive):
        index(file("a") + pax(("path", "b"))[:cut])


def test_a_lone_block_of_zeros_ends_nothing() -> None:
    with pytest.raises(MalformedArchive, match="byte 512"):
        index(file("a") + bytes(512) + file("b") + END)


def test_a_second_archive_after_the_end_is_refused() -> None:
    with pytest.raises(MalformedArchive, match="byte 1536"):
        index(file("a") + END + file("b") + END)


def test_one_byte_after_the_end_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        index(file("a") + END + bytes(20_000) + b"\1")


def test_zeros_after_the_end_are_padding() -> None:
    assert index(file("a") + END + bytes(8705)).size == 512 + 1024 + 8705


def test_padding_has_an_end() -> None:
    size = 70 << 20
    with pytest.raises(LimitExceeded):
        index_file(Bytes(file("a") + END, size), size)


def test_the_bytes_after_a_short_member_do_not_matter() -> None:
    assert index(header("a", 1) + b"x" * 512 + END).extent("a") == Extent(512, 1)


# --- fields


@pytest.mark.parametrize("offset", [0, 99, 124, 156, 257, 345, 511])
def test_a_header_with_one_flipped_bit_is_no_header(offset: int) -> None:
    block = bytearray(file("b"))
    block[offset] ^= 0x40
    with pytest.raises(MalformedArchive, match=r"byte 512.*'a'"):
        index(file("a") + bytes(block) + END)


@pytest.mark.parametrize("checksum", [bytes(8), b"        ", b"0000009\0", b"zzzzzzz\0", b"\x80\0\0\0\0\0\0\0"])
def test_a_checksum_that_is_no_number_is_wrong(checksum: bytes) -> None:
    with pytest.raises(MalformedArchive):
        index(file("a") + header("b", checksum=checksum) + END)


def test_an_unknown_magic_is_no_header() -> None:
    with pytest.raises(MalformedArchive):
        index(file("a") + header("b", magic=b"USTAR\x0000") + END)


def test_a_checksum_over_signed_bytes_is_taken_as_gnu_tar_takes_it() -> None:
    block = header(b"\xff\xfe")
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + b" " * 8 + block[156:])
    assert names(index(header(b"\xff\xfe", checksum=b"%06o\0 " % signed) + END)) == ["\\xff\\xfe"]
    with pytest.raises(UnknownFormat):
        index(header(b"\xff\xfe", checksum=b"%06o\0 " % (signed + 1)) + END)


@pytest.mark.parametrize(
    ("field", "size"),
    [
        (b"00000000012\0", 10),
        (b"         12 ", 10),
        (b"12", 10),
        (b"", 0),
        (b" " * 12, 0),
        (b"000000000012", 10),
        (b"\x80" + bytes(10) + b"\x0a", 10),
    ],
)
def test_a_size_is_octal_or_binary(field: bytes, size: int) -> None:
    assert index(header("a", field) + padded(bytes(size)) + END).extent("a") == Extent(512, size)


@pytest.mark.parametrize(
    "field",
    [
        b"3_0",
        b"0o30",
        b"-1",
        b"+1",
        b"18",
        b"1 2",
        b"1\x002",
        b"0x1f",
        b"1.5",
        b"\xff" * 12,
        b"\xc0" + bytes(11),
        b"\x80" + b"\xff" * 11,
        b"\x80\0\0\0\x80" + bytes(7),
        b"\xd9\xa3",
    ],
)
def test_a_size_in_any_other_spelling_is_refused(field: bytes) -> None:
    with pytest.raises(MalformedArchive, match="byte 512"):
        index(file("a") + header("b", field) + END)


@pytest.mark.parametrize("at", [100, 108, 116, 136, 329, 337])
def test_every_number_of_a_header_has_to_be_one(at: int) -> None:
    width = 12 if at == 136 else 8
    for good in (b"0000001\0", b"     1 \0", b"\0" * 8, b" " * 8, b"\x80" + bytes(7), b"\xff" * 8):
        assert names(index(header("a", change=(at, good.ljust(width, b"\0"))) + END)) == ["a"]
    for bad in (b"0000008\0", b"-000001\0", b"1 1    \0", b"x", b"\xc0" + bytes(7)):
        with pytest.raises(MalformedArchive, match="byte 0"):
            index(header("a", change=(at, bad.ljust(width, b"\0"))) + END)


def test_the_oldest_headers_have_no_devices() -> None:
    assert names(index(header("a", magic=bytes(8), change=(329, b"x")) + END)) == ["a"]


@pytest.mark.parametrize("size", [b"\x80\0\0\0\x10" + bytes(7), b"\x80" + bytes(5) + b"\x01" + bytes(5)])
def test_a_member_larger_than_any_archive_is_refused_at_its_header(size: bytes) -> None:
    with pytest.raises(LimitExceeded, match=r"'a'.*bytes"):
        index(header("a", size) + END)


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar  \0"])
def test_a_member_beyond_eight_gib_is_hopped_over(magic: bytes) -> None:
    size = 10 * GIB
    head = header("a", b"\x80" + size.to_bytes(11, "big"), magic=magic)
    source = Bytes(head, 512 + size + 1024)
    assert index_file(source, source.size).extent("a") == Extent(512, size)
    assert source.reads < 5


def test_an_indexer_tells_what_it_needs_not_be_fed() -> None:
    indexer = TarIndexer()
    indexer.feed(header("a", 10 * 512))
    assert indexer.skip(1000) == 0  # the first bytes of a file say how it is compressed
    indexer.feed(bytes(10))
    assert indexer.skip(990) == 990
    indexer.feed(bytes(120))
    assert indexer.skip(1 << 40) == 4000
    assert indexer.position == 11 * 512
    assert indexer.skip(1) == 0
    indexer.feed(END)
    assert indexer.ended
    assert names(indexer.finish()) == ["a"]


@pytest.mark.parametrize("size", [1, 9, 10, 11, 511, 512, 513, 4000, 9000])
@pytest.mark.parametrize(
    ("magic", "compression"),
    [
        (b"\x1f\x8b\x08", Compression.GZIP),
        (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
        (b"\xfd7zXZ\0", Compression.XZ),
        (b"BZh91AY&SY", Compression.BZIP2),
        (b"plain", Compression.NONE),
    ],
)
def test_how_a_file_is_compressed_is_known_without_another_look(
    size: int, magic: bytes, compression: Compression
) -> None:
    content = (magic + bytes(size))[:size]
    archive = index(file("before", b"x" * 3000) + file("empty") + file("a", content) + file("after", b"y") + END)
    extent = archive.extent("a")
    assert extent is not None
    whole = size >= len(magic)
    assert archive.compression(extent) is (compression if whole else Compression.NONE)
    assert set(archive.compressed) <= {extent.offset}


def test_an_archive_cut_within_the_first_bytes_of_a_file_is_cut_in_that_file() -> None:
    for left in (1, 5, 10, 600):
        with pytest.raises(TruncatedArchive, match=r"'a'.*byte 1536"):
            index((header("a", 1000) + bytes(1024))[: 512 + left])


# --- extensions


def test_a_gnu_long_name_and_target_count() -> None:
    long, target = "n" * 300, "t" * 300
    archive = index(
        extension(b"L", long.encode() + b"\0") + extension(b"K", target.encode() + b"\0") + link("short", "short") + END
    )
    assert archive.members[long] == (Member(long, MemberKind.SYMLINK, Extent(2560, 0), target),)


def test_a_gnu_long_name_needs_no_nul() -> None:
    assert names(index(extension(b"L", b"n" * 512) + file("short") + END)) == ["n" * 512]


@pytest.mark.parametrize("type_", [b"L", b"K"])
@pytest.mark.parametrize("content", [b"", b"\0", b"\0abc"])
def test_an_empty_gnu_name_is_refused(type_: bytes, content: bytes) -> None:
    with pytest.raises(MalformedArchive):
        index(extension(type_, content) + file("a") + END)


def test_pax_path_linkpath_and_size_count() -> None:
    archive = index(
        pax(("path", "übung/a"), ("size", "3"), ("mtime", "1.5"), ("SCHILY.xattr.user.x", b"\xff\0\n"))
        + file("short", b"abc")
        + pax(("linkpath", "übung/a"), type_=b"x")
        + link("l", "short", b"1")
        + file("next")
        + END
    )
    assert archive.extent("übung/a") == Extent(1536, 3)
    assert archive.extent("l") == Extent(1536, 3)
    assert names(archive) == ["übung/a", "l", "next"]


def test_a_pax_size_stands_in_for_a_field_that_is_too_small() -> None:
    source = Bytes(pax(("size", str(10 * GIB))) + header("a", 0), 10 * GIB + 4096)
    assert index_file(source, source.size).extent("a") == Extent(1536, 10 * GIB)


@pytest.mark.parametrize(("octal", "decimal"), [(0, 512), (512, 0), (512, 1024), (1024, 512), (1, 10 * GIB)])
def test_two_different_sizes_of_a_member_are_refused(octal: int, decimal: int) -> None:
    # CVE-2025-62518: one reader goes by the first, the next by the second, and payload becomes headers
    with pytest.raises(MalformedArchive, match=f"{octal} bytes.*{decimal}.*PAX"):
        index(pax(("size", str(decimal))) + header("a", octal) + file("hidden") + file("other") + END)


@pytest.mark.parametrize(
    "size", ["3_0", " 30", "30 ", "+30", "-1536", "\u0663", "1e3", "0x1f", "", "9" * 20, "9" * 30000]
)
def test_a_pax_size_in_any_spelling_but_digits_is_refused(size: str) -> None:
    with pytest.raises(MalformedArchive):
        index(pax(("size", size)) + file("a", bytes(30)) + END)


@pytest.mark.parametrize("field", ["path", "linkpath"])
@pytest.mark.parametrize("value", ["", "a\0b", "\0"])
def test_an_empty_pax_name_or_one_with_nul_is_refused(field: str, value: str) -> None:
    with pytest.raises(MalformedArchive, match=field):
        index(pax((field, value)) + file("a") + END)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"5 a=\n6",
        b"6 a=b",
        b"7 a=b\n",
        b"5 a=b\n",
        b"06 a=b\n",
        b"+6 a=b\n",
        b"6  a=b\n",
        b"5 =b\n",
        b"3 a\n",
        b"4 a=\n",
        b"3 a=\n",
        b"0 a=\n",
        b"99999999 a=b\n",
        b"6 a=b\n\0",
        b"9" * 5000,
        b"6 a=b\x0b",
        b"6 aab\n",
    ],
)
def test_pax_records_that_are_not_well_formed_are_refused(content: bytes) -> None:
    with pytest.raises(MalformedArchive, match="PAX"):
        index(extension(b"x", content) + file("a") + END)


def test_an_empty_pax_header_says_nothing() -> None:
    assert names(index(extension(b"x", b"") + file("a") + END)) == ["a"]


@pytest.mark.parametrize(
    "twice",
    [
        pax(("path", "b"), ("path", "c")),
        pax(("path", "b")) + pax(("path", "c")),
        pax(("mtime", "1")) + pax(("mtime", "1")),
        pax(("path", "b")) + extension(b"L", b"c\0"),
        extension(b"L", b"c\0") + pax(("path", "b")),
        extension(b"L", b"b\0") + extension(b"L", b"c\0"),
        extension(b"K", b"b\0") + extension(b"K", b"c\0"),
        extension(b"K", b"b\0") + pax(("linkpath", "c")),
        pax(("size", "0"), ("size", "0")),
    ],
)
def test_a_field_that_is_given_twice_is_refused(twice: bytes) -> None:
    with pytest.raises(MalformedArchive):
        index(twice + file("a") + END)


def test_a_pax_header_and_a_gnu_name_for_different_fields_agree() -> None:
    archive = index(extension(b"L", b"long\0") + pax(("mtime", "1")) + file("a") + END)
    assert names(archive) == ["long"]


def test_an_extension_counts_for_one_member_alone() -> None:
    assert names(index(pax(("path", "b")) + file("a") + file("c") + END)) == ["b", "c"]


def test_an_extension_before_the_end_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        index(file("a") + pax(("path", "b")) + END)


@pytest.mark.parametrize("key", ["GNU.sparse.major", "GNU.sparse.size", "GNU.sparse.name"])
@pytest.mark.parametrize("type_", [b"x", b"g"])
def test_a_sparse_file_in_pax_form_is_refused(key: str, type_: bytes) -> None:
    with pytest.raises(MalformedArchive, match="sparse"):
        index(pax((key, "1"), type_=type_) + file("a") + END)


def test_a_global_header_that_changes_no_member_is_passed_over() -> None:
    archive = index(pax(("comment", "0123"), type_=b"g") + file("a") + pax(("mtime", "1"), type_=b"g") + END)
    assert names(archive) == ["a"]


@pytest.mark.parametrize("key", ["path", "linkpath", "size"])
def test_a_global_header_that_changes_every_member_is_refused(key: str) -> None:
    with pytest.raises(MalformedArchive, match=key):
        index(pax((key, "1"), type_=b"g") + file("a", b"1") + END)


# --- links and repeated names


@pytest.mark.parametrize(
    ("name", "target", "type_"),
    [
        ("l", "a/f", b"2"),
        ("a/l", "f", b"2"),
        ("a/l", "./f", b"2"),
        ("b/l", "../a/f", b"2"),
        ("b/c/l", "../../a//f", b"2"),
        ("b/l", "../b/../a/f", b"2"),
        ("b/l", "a/f", b"1"),
        ("b/l", "./a/f", b"1"),
    ],
)
def test_a_link_has_the_extent_of_its_target(name: str, target: str, type_: bytes) -> None:
    for data in (file("a/f", b"x") + link(name, target, type_), link(name, target, type_) + file("a/f", b"x")):
        archive = index(data + END)
        assert archive.extent(name) == archive.extent("a/f") is not None


@pytest.mark.parametrize("type_", [b"1", b"2"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../etc/passwd", "a/../../x", "", "/", "../../../a"])
def test_a_link_that_leads_outside_is_refused_when_it_is_wanted(target: str, type_: bytes) -> None:
    archive = index(link("l", target, type_) + file("a") + END)
    assert archive.extent("a") is not None
    with pytest.raises(MalformedArchive, match="'l'"):
        archive.extent("l")


@pytest.mark.parametrize("target", ["gone", "a/gone", ".", "a/.."])
def test_a_link_to_nothing_names_itself_and_its_target(target: str) -> None:
    with pytest.raises(MalformedArchive, match=f"'l'.*'{target}'"):
        index(link("l", target) + file("a") + END).extent("l")


def test_a_link_to_a_directory_is_no_file() -> None:
    assert index(header("d/", 0, b"5") + link("l", "d") + END).extent("l") is None


@pytest.mark.parametrize("length", [1, 2, 5])
def test_links_in_a_circle_are_refused(length: int) -> None:
    data = b"".join(link(f"l{n}", f"l{(n + 1) % length}") for n in range(length))
    with pytest.raises(MalformedArchive, match=r"'l0'.*8 steps"):
        index(data + END).extent("l0")


def test_links_are_followed_eight_steps_far() -> None:
    archive = index(b"".join(link(f"l{n}", f"l{n + 1}") for n in range(9)) + file("l9", b"x") + END)
    assert archive.extent("l1") == archive.extent("l9")
    with pytest.raises(MalformedArchive, match="8 steps"):
        archive.extent("l0")


def test_a_name_that_repeats_with_one_size_has_its_first_extent() -> None:
    archive = index(file("a", b"12") + file("./a", b"34") + END)
    assert len(archive.members["a"]) == 2
    assert archive.extent("a") == Extent(512, 2)


def test_a_name_that_repeats_with_two_sizes_is_refused() -> None:
    archive = index(file("a", b"12") + file("a", b"345") + END)
    with pytest.raises(MalformedArchive, match="'a'"):
        archive.extent("a")


def test_a_name_that_is_a_file_and_a_directory_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        index(file("a", b"12") + header("a/", 0, b"5") + END).extent("a")


def test_a_file_and_a_link_of_one_name_have_to_agree() -> None:
    archive = index(file("a", b"12") + link("a", "b") + file("b", b"34") + END)
    assert archive.extent("a") == Extent(512, 2)
    with pytest.raises(MalformedArchive):
        index(file("a", b"12") + link("a", "b") + file("b", b"345") + END).extent("a")


def test_reading_compares_all_that_have_the_name() -> None:
    same = file("a", b"12") + link("a", "b") + file("b", b"12") + file("a", b"12") + END
    assert index(same).read("a", Bytes(same), 2) == b"12"
    other = file("a", b"12") + file("a", b"13") + END
    with pytest.raises(MalformedArchive):
        index(other).read("a", Bytes(other), 2)


def test_reading_more_than_the_limit_is_refused() -> None:
    data = file("a", b"123") + END
    assert index(data).read("a", Bytes(data), 3) == b"123"
    with pytest.raises(LimitExceeded, match=r"'a'.*3 bytes.*2"):
        index(data).read("a", Bytes(data), 2)


def test_an_empty_file_is_read_as_empty() -> None:
    data = file("a") + END
    assert index(data).read("a", Bytes(data), 0) == b""


def test_directories_and_links_that_repeat_are_kept_once() -> None:
    data = header("d/", 0, b"5") * 100 + link("l", "f") * 100 + file("f") + END
    archive = index(data)
    assert len(archive.members["d"]) == len(archive.members["l"]) == 1


def test_a_name_with_more_meanings_than_an_honest_archive_has_is_refused() -> None:
    index(file("a") * 16 + END)
    with pytest.raises(LimitExceeded, match=r"'a'.*16 times"):
        index(file("a") * 17 + END)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_standard_librarys_archives_are_read_as_it_reads_them(style: int) -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=style) as archive:
        for name, content in {
            "a": b"1",
            "d" * 60 + "/" + "n" * 90: b"x" * 1000,
            "ü": b"",
            "z" * 99: b"y" * 513,
        }.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "a"
        archive.addfile(info)
    data = held.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as oracle:
        expected = [(info.name, info.offset_data, info.size) for info in oracle if info.isfile()]
    found = feed(data, 1)
    assert [(file.name, file.extent.offset, file.extent.size) for file in found.files()] == expected
    assert found.extent("link") == found.extent("a")
