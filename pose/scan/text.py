"""Text of the files of a scan: bytes in the encodings of editors and spreadsheets -> plain characters."""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import Final

_MARKS: Final = (  # the byte order marks; that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Typographic signs that mean one ASCII character: minus signs and dashes, quotes, the Arabic decimal point,
# and the wide forms of Asian keyboards.
_SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb", '"'),
        "\u066b": ".",
        **{chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    }
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


def decode_text(data: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16 or UTF-32, with or without a byte order mark, or Latin-1.

    Digits of all scripts and typographic signs become ASCII. Invisible characters, NUL bytes at the end and
    the Ctrl-Z of DOS are left out.

    Raises:
        ValueError: this is no text: bytes do not fit the encoding, or there are control characters.

    >>> decode_text("\\ufefffx 0,5".encode("utf-16-le")), decode_text("−٠٫٥".encode())
    ('fx 0,5', '-0.5')
    """
    encoding, start = _encoding_of(data)
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8" or start:
            raise ValueError("bytes that do not fit its encoding") from None
        text = data.decode("latin-1")  # near enough to all code pages: numbers and labels are ASCII
    text = text.rstrip("\0\x1a \r\n\t")
    if text.isascii():
        plain = text
    else:
        kept = (sign for sign in text.translate(_SIGNS) if unicodedata.category(sign) != "Cf")
        plain = "".join(str(unicodedata.decimal(sign, sign)) for sign in kept)
    if _CONTROL.search(plain):
        raise ValueError("control characters")
    return plain


def _encoding_of(data: bytes) -> tuple[str, int]:
    """Return the encoding and the length of the byte order mark."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, len(mark)
    # ASCII characters in UTF-16 have a NUL beside each of them.
    half = len(data) // 2
    if half and data[1::2].count(0) > 0.8 * half:
        return "utf-16-le", 0
    if half and data[0::2].count(0) > 0.8 * half:
        return "utf-16-be", 0
    return "utf-8", 0
