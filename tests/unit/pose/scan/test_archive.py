"""An archive gives its one member, and never more of it than requested."""

from __future__ import annotations

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


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(make_zip: ZipBuilder, method: int):
    with pytest.raises(InvalidDepthFile, match="stored or deflated"):
        read(make_zip(b"pixels" * 50, method=method))


@pytest.mark.parametrize("name", ["Data", "data/", "../data", "/data"])
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


def test_encrypted_and_zip64_archives_are_refused(make_zip: ZipBuilder):
    data = make_zip(b"pixels")
    encrypted = bytearray(data)
    encrypted[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidDepthFile, match="encrypted"):
        read(bytes(encrypted))
    locator = b"PK\x06\x07" + bytes(16)
    with pytest.raises(InvalidDepthFile, match="ZIP64"):
        read(data[:-22] + locator + data[-22:])


def test_a_jpeg_is_not_an_archive(make_picture: Callable[..., bytes], make_zip: ZipBuilder):
    assert is_archive(make_zip(b""))
    assert not is_archive(make_picture())
    with pytest.raises(InvalidDepthFile, match="not a ZIP archive"):
        read(make_picture())
