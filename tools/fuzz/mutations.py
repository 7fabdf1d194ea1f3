"""Change valid inputs at random. Each input depends only on its seeds and on the generator's state."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_INPUT: Final = 2 * 1024 * 1024
_MAX_GROWTH: Final = 64 * 1024

_INTERESTING: Final = (0, 1, 2, 7, 15, 16, 127, 128, 255, 256, 1000, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF,
                       0x80000000, 0xFFFFFFFF)  # fmt: skip
NUMBERS: Final = (
    b"0", b"-0", b"1", b"-1", b"00", b"1e-300", b"1e-320", b"1e308", b"1e999", b"-1e999", b"nan", b"inf",
    b"NaN", b"-Infinity", b"0x10", b"1_0", b"+1", b".5", b"5.", b"1e", b"4096", b"4097", b"65536",
    b"2147483648", b"18446744073709551616", b"9" * 40, b"9" * 5000, b"0." + b"0" * 500 + b"1", b"\xd9\xa3",
)  # fmt: skip
# Texts with a meaning in a path, a log, a terminal, a URL or a decoder.
TEXTS: Final = (
    "", " ", ".", "..", "../..", "/", "//", "\\", "\0", "\n", "\r\n", "\x1b[31m", "\u2028", "\ud800", "é",
    "\u0663", "a" * 300, "a" * 5000, "%2e%2e%2f", "%00", "+", "${x}", "{0}", "%s", "null", "NaN", "__type__",
    "file:///etc/passwd", "s3://", "constructor",
)  # fmt: skip
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, float("nan"), float("inf"), -(2**63), 2**64, 10**400, [], {},
    [[]], [None], {"": None}, {"__type__": "uuid", "__value__": 1}, {"__type__": [], "__value__": 0},
    {"__type__": "decimal", "__value__": "x"}, {"__type__": "bytes", "__value__": 0},
)  # fmt: skip

Change = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Seed:
    """A valid input, or the content of one.

    Attributes:
        data: the bytes that are changed.
        change: changes them; None for `change_bytes` with the tokens of the target.
        pack: makes a whole input from them, with right checksums, so that readers get to the content.
        weight: how often it is used, relative to the others. Large seeds are slow.
    """

    data: bytes
    change: Change | None = None
    pack: Change | None = None
    weight: int = 10


def make_input(rng: random.Random, seeds: Sequence[Seed], tokens: Sequence[bytes]) -> bytes:
    """Return an input: a changed and packed seed, sometimes changed again after packing."""
    seed = rng.choices(seeds, [each.weight for each in seeds])[0]
    data = seed.data
    if seed.change is not None and rng.random() < 0.8:
        data = seed.change(rng, data)
    elif seed.pack is None or rng.random() < 0.8:
        data = change_bytes(rng, data, [each.data for each in seeds], tokens)
    if seed.pack is not None:
        data = seed.pack(rng, data)
        if rng.random() < 0.25:
            data = change_bytes(rng, data, (), tokens)
    return data[:MAX_INPUT]


def change_bytes(
    rng: random.Random, data: bytes, others: Sequence[bytes] = (), tokens: Sequence[bytes] = ()
) -> bytes:
    """Return data with one to eight changes: bits, bytes, numbers, and pieces moved, cut or repeated."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = _place(rng, out)
        match rng.randrange(11):
            case 0 if out:
                out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
            case 1 if out:
                out[min(at, len(out) - 1)] = rng.choice((0, 0xFF, 0x20, 0x0A, 0x5F, rng.randrange(256)))
            case 2:
                width, order = rng.choice("HLQ"), rng.choice("<>")
                value = rng.choice(_INTERESTING) & (2 ** (8 * struct.calcsize(order + width)) - 1)
                packed = struct.pack(order + width, value)
                out[at : at + len(packed)] = packed
            case 3:
                del out[at : at + rng.choice((1, 2, 4, 16, 256))]
            case 4:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))
            case 5 if tokens:
                token = rng.choice(tokens)
                out[at : at + rng.choice((0, len(token)))] = token
            case 6:
                piece = bytes(out[at : at + rng.choice((1, 8, 64, 512))])
                times = rng.choice((1, 2, 16, 1000))
                out[at:at] = piece * min(times, _MAX_GROWTH // max(1, len(piece)))
            case 7:
                del out[at:]
            case 8 if others:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                out[at:] = other[start : start + _MAX_GROWTH]
            case 9:
                _change_number(rng, out, at)
            case _:
                end = _place(rng, out)
                low, high = min(at, end), min(max(at, end), min(at, end) + 512)
                out[low:high] = out[low:high][::-1]
    return bytes(out)


def _place(rng: random.Random, data: bytearray) -> int:
    """Return a position, mostly near one of the ends: formats keep their fields there."""
    size = len(data)
    match rng.randrange(4):
        case 0:
            return rng.randrange(min(size, 64) + 1)
        case 1:
            return size - rng.randrange(min(size, 128) + 1)
        case _:
            return rng.randrange(size + 1)


def _change_number(rng: random.Random, data: bytearray, at: int) -> None:
    start = next((i for i in range(at, min(len(data), at + 200)) if chr(data[i]).isdigit()), None)
    if start is None:
        return
    end = start
    while end < len(data) and data[end] in b"0123456789.eE+-":
        end += 1
    data[start:end] = rng.choice(NUMBERS)


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Return JSON with one to five changes in its tree. It is valid but for NaN and lone surrogates."""
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        tree = _change_tree(rng, tree)
    try:
        text = json.dumps(tree, ensure_ascii=rng.random() < 0.8)
    except RecursionError:
        text = "[" * 100_000 + "]" * 100_000
    if rng.random() < 0.02:
        return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")), "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


def _change_tree(rng: random.Random, tree: Any) -> Any:
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        match rng.randrange(8):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                return {(_text(rng, name) if name == key else name): value for name, value in tree.items()}
            case 2:
                return {**tree, rng.choice(TEXTS): rng.choice(_VALUES)}
            case _:
                return {**tree, key: _change_tree(rng, tree[key])}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        at = rng.randrange(len(tree))
        match rng.randrange(8):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return (tree * rng.choice((2, 20, 200)))[:2000]
            case 2:
                return [*tree, rng.choice(_VALUES)]
            case _:
                return [*tree[:at], _change_tree(rng, tree[at]), *tree[at + 1 :]]
    if isinstance(tree, str) and rng.random() < 0.7:
        return _text(rng, tree)
    match rng.randrange(6):
        case 0 if type(tree) is int:
            return tree + rng.choice((-1, 1, 100, 2**31, -(2**63)))
        case 1:
            return rng.choice(TEXTS)
        case 2:
            for _ in range(rng.choice((1, 3, 50, 500))):
                tree = [tree] if rng.random() < 0.5 else {"a": tree}
            return tree
        case _:
            return rng.choice(_VALUES)


def _text(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    match rng.randrange(4):
        case 0:
            return rng.choice(TEXTS)
        case 1:
            return text[:at] + rng.choice(TEXTS) + text[at:]
        case 2:
            return text[:at] + text[at + 1 :]
        case _:
            return text[:at] + chr(rng.choice((0, 10, 47, 92, rng.randrange(0x80), 0x663))) + text[at + 1 :]


def fix_png(rng: random.Random, data: bytes) -> bytes:
    """Return the chunks with right checksums in most cases: a decoder ignores others."""
    if rng.random() < 0.1:
        return data
    out, at = [data[:8]], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4], body, struct.pack(">L", zlib.crc32(body))
        at += 12 + length
    return b"".join(out)
