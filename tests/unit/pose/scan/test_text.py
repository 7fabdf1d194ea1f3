"""Text is read as editors and spreadsheets write it."""

from __future__ import annotations

import pytest

from pose.scan.text import decode_text

TEXT = "Color camera intrinsic:\n0.67 0.9 0.5 0.5\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_the_encoding_is_recognised(encoding: str):
    assert decode_text(TEXT.encode(encoding)) == TEXT.rstrip()


def test_without_a_mark_only_a_text_of_one_character_in_two_bytes_is_utf_16():
    assert decode_text("1".encode("utf-16-le")) == "1"
    assert decode_text(b"1\0\0\0\0\0\0\0") == "1"
    with pytest.raises(ValueError, match="do not fit its encoding"):
        decode_text(b"1\x002")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("−0.5 –0.5 ‐0.5", "-0.5 -0.5 -0.5"),
        ("\u0660\u066b\u0665 \u0968 \uff10\uff0e\uff15\uff1a", "0.5 2 0.5:"),
        ("“0.5” »0.5«", '"0.5" "0.5"'),
        ("\ufeff0\u200b.\u00ad5\u200f", "0.5"),
        ("0.5\0\0\x1a", "0.5"),
    ],
)
def test_typographic_signs_digits_of_other_scripts_and_invisible_ones(written: str, plain: str):
    assert decode_text(written.encode()) == plain


def test_what_is_not_utf_8_is_taken_for_a_code_page():
    assert decode_text(b"0.5\xa00.5 M\xfcller") == "0.5\xa00.5 Müller"


@pytest.mark.parametrize(
    "data",
    [b"\xff\xd8\xff\xe0\0\x10JFIF", b"PK\x03\x04", b"\xff\xfe1\0x", b"\xef\xbb\xbf\xff", b"a\x80\x81b"],
)
def test_other_files_are_no_text(data: bytes):
    with pytest.raises(ValueError, match=r"control characters|do not fit its encoding"):
        decode_text(data)
