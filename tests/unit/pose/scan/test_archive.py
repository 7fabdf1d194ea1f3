"""An archive gives its one member, whatever a ZIP tool put around it, and never more of it than requested."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from pose.errors import InvalidDepthFile
from pose.scan.depth_file import RATIO_FREE_BYTES, is_archive, open_member

ZipBuilder = Callable[..., bytes]


def read(data: bytes) -> bytes:
    with open_member(data, "depth") as (stream, length):
        return stream.read(length)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_stored_or_deflated_member_is_read(make_zip: ZipBuilder, method: int):
    assert read(make_zip(b"some pixels", method=method)) == b"some pixels"


def test_an_archive_that_was_written_as_a_stream_is_read():
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    packed = Unseekable()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", b"some pixels")
    assert read(packed.getvalue()) == b"some pixels"


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_other_compressions_are_refused(make_zip: ZipBuilder, method: int, name: str):
    with pytest.raises(InvalidDepthFile, match=f"{method} .{name}. .expected stored or deflated"):
        read(make_zip(b"pixels" * 50, method=method))


def make_archive(*members: tuple[str, bytes], comment: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = comment
    return packed.getvalue()


@pytest.mark.parametrize(
    "behind", [b"\n", b"\r\n", bytes(22), bytes(100_000), b"PK\x05\x06", b"PK\x05\x06" * 20]
)
def test_bytes_behind_the_archive_do_not_matter(make_zip: ZipBuilder, behind: bytes):
    assert read(make_zip(b"some pixels") + behind) == b"some pixels"


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", b"HTTP/1.1 200 OK\r\n\r\n", bytes(50_000)])
def test_bytes_before_the_archive_do_not_matter(make_zip: ZipBuilder, before: bytes):
    data = before + make_zip(b"some pixels")
    assert is_archive(data)
    assert read(data) == b"some pixels"
    assert read(data + b"\n") == b"some pixels"


@pytest.mark.parametrize("comment", [b"a comment", b"PK\x05\x06" + bytes(18), bytes(60_000)])
def test_a_comment_does_not_matter(comment: bytes):
    assert read(make_archive(("data", b"some pixels"), comment=comment)) == b"some pixels"


@pytest.mark.parametrize(
    "names",
    [
        ["data", "__MACOSX/", "__MACOSX/._data"],
        ["__MACOSX/._data", "data", ".DS_Store"],
        ["depth/", "depth/data", "depth/Thumbs.db", "depth/desktop.ini"],
        ["a/b/c/data"],
        ["depth\\data"],
        ["-"],  # `zip` names a stream so
        ["data.bin", "__MACOSX/._data.bin"],
        ["DATA", "README.TXT"],
        ["data", "preview.jpg"],
    ],
)
def test_the_member_is_found_among_what_zip_tools_write(names: list[str]):
    members = [(name, b"" if name.endswith("/") else b"not " + name.encode()) for name in names]
    wanted = next(
        (at for at, name in enumerate(names) if name.lower().endswith("data") and "._" not in name), 0
    )
    members[wanted] = (names[wanted], b"some pixels")
    assert read(make_archive(*members)) == b"some pixels"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a/data", "b/data"], "2 members"),
        (["one", "two", "three"], "3 members"),
        (["data/", "__MACOSX/._data", ".DS_Store"], "0 members"),
    ],
)
def test_an_archive_without_one_clear_member_is_refused(names: list[str], problem: str):
    with pytest.raises(InvalidDepthFile, match=f"{problem} .expected exactly one member"):
        read(make_archive(*((name, b"pixels") for name in names)))


def test_a_zip64_archive_is_read():
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data", "w", force_zip64=True) as member,
    ):
        member.write(b"some pixels")
    assert read(packed.getvalue()) == b"some pixels"
    # With its end records too, as `zip` writes it from a stream.
    data = packed.getvalue()
    size, start = struct.unpack("<2L", data[-10:-2])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 2**32 - 1, 2**32 - 1, 0)
    for around in (b"", b"\n"):
        assert read(around + data[:-22] + record + locator + end + around) == b"some pixels"
    lying = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 2**40, start)
    for wrong in (lying + locator, bytes(56) + locator, locator):
        with pytest.raises(InvalidDepthFile):
            read(data[:-22] + wrong + end)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"Rar!\x1a\x07\1\0", "RAR"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
        (gzip.compress(b"240x180_0.001_7\n", mtime=0), "gzip"),
        (b"240x180_0.001_7\n" + bytes(100), "not zipped"),
        (b"PK\x03\x04" + bytes(100), "truncated"),
        (b"PK\x05\x06" + bytes(18), "an empty one"),
        (b"", "not a ZIP archive"),
    ],
)
def test_what_is_no_archive_is_named(data: bytes, name: str):
    with pytest.raises(InvalidDepthFile, match=name):
        read(data)


def test_a_part_of_a_split_archive_is_named(make_zip: ZipBuilder):
    data = bytearray(make_zip(b"pixels"))
    data[-18:-14] = struct.pack("<2H", 1, 0)
    with pytest.raises(InvalidDepthFile, match="several files"):
        read(bytes(data))


@pytest.mark.parametrize("name", ["data/", "../data", "/data", "..\\data"])
def test_a_member_of_another_name_is_refused(make_zip: ZipBuilder, name: str):
    with pytest.raises(InvalidDepthFile, match="exactly one member"):
        read(make_zip(b"pixels", name=name))


def test_two_members_are_refused_even_if_both_are_called_data():
    packed = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data", b"one")
        archive.writestr("data", b"two")
    with pytest.raises(InvalidDepthFile, match="2 members"):
        read(packed.getvalue())


def test_a_directory_of_many_entries_is_refused_before_it_is_read():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(3000):
            archive.writestr(str(index), b"")
    lying = bytearray(packed.getvalue())
    lying[-14:-10] = struct.pack("<2H", 1, 1)  # both counts say one
    tracemalloc.start()
    with pytest.raises(InvalidDepthFile, match="exactly one member"):
        read(bytes(lying))
    assert tracemalloc.get_traced_memory()[1] < 2 * len(lying)
    tracemalloc.stop()


def test_an_empty_archive_is_refused():
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").close()
    with pytest.raises(InvalidDepthFile):
        read(packed.getvalue())


def test_a_bomb_is_refused_for_its_ratio(make_zip: ZipBuilder):
    with pytest.raises(InvalidDepthFile, match="ratio"):
        read(make_zip(bytes(50 * RATIO_FREE_BYTES)))


def test_an_empty_room_is_not_a_bomb(make_zip: ZipBuilder):
    assert len(read(make_zip(bytes(640 * 480 * 3)))) == 640 * 480 * 3


def test_a_member_that_inflates_to_more_than_it_declares_is_cut_off(make_zip: ZipBuilder):
    honest = make_zip(bytes(20 * 1024 * 1024))
    lying = honest.replace(struct.pack("<L", 20 * 1024 * 1024), struct.pack("<L", 1000))
    tracemalloc.start()
    with pytest.raises(InvalidDepthFile, match="damaged"):  # the checksum is not that of a part
        read(lying)
    assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    tracemalloc.stop()


def test_a_changed_byte_is_noticed(make_zip: ZipBuilder):
    data = bytearray(make_zip(bytes(range(200)), method=zipfile.ZIP_STORED))
    data[100] ^= 1
    with pytest.raises(InvalidDepthFile, match="damaged"):
        read(bytes(data))


def test_every_truncation_is_refused(make_zip: ZipBuilder):
    data = make_zip(b"pixels" * 20)
    for length in range(len(data)):
        with pytest.raises(InvalidDepthFile):
            read(data[:length])


def test_an_encrypted_archive_is_refused(make_zip: ZipBuilder):
    encrypted = bytearray(make_zip(b"pixels"))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidDepthFile, match="an archive without a password"):
        read(bytes(encrypted))


def test_a_jpeg_is_not_an_archive(make_picture: Callable[..., bytes], make_zip: ZipBuilder):
    assert is_archive(make_zip(b""))
    assert not is_archive(make_picture())
    with pytest.raises(InvalidDepthFile, match="not a ZIP archive"):
        read(make_picture())
