"""Whether a file is as long as it says: the length that it states of itself, against what is there.

Containers that can be read from the front (Matroska, AVI, WMV, GIF) lose frames at their end
without any error where a copy was interrupted.
"""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
HEAD = 1 << 16
"""Bytes among which a WMV states its length."""
UNKNOWN = (0, 0xFFFFFFFF)
"""What a RIFF chunk has for a length while it is written."""


def missing(path: Path) -> str:
    """Return what a file lacks of the length that it states, in a line; empty if nothing.

    What states none, or is of another kind, lacks nothing.
    """
    size = path.stat().st_size
    if not size:
        return ""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if data[:4] == b"GIF8":
            return "" if _has_end_mark(data) else "cut off: its end mark is missing"
        stated = _stated(data)
    return f"cut off: {size:,} of the {stated:,} bytes that it states are there" * (stated > size)


def _stated(data: mmap) -> int:
    """Return the length that a container states; 0 if it states none."""
    if data[:4] == EBML:
        return _matroska(data)
    if data[:4] == b"RIFF":
        return _riff(data)
    if data[:16] == ASF and (at := data.find(ASF_FILE, 0, HEAD)) > 0:
        flags = int.from_bytes(data[at + 88 : at + 92], "little")  # the first: it is broadcast
        return 0 if flags & 1 else int.from_bytes(data[at + 40 : at + 48], "little")
    return 0


def _matroska(data: mmap) -> int:
    """Return where the segment ends, which comes behind the header."""
    at, length = _vint(data, 4)
    at += length
    if data[at : at + 4] != SEGMENT:
        return 0
    start, length = _vint(data, at + 4)
    return start + length if length else 0


def _vint(data: mmap, at: int) -> tuple[int, int]:
    """Return where an EBML number ends, and the number; 0 where all its bits are set: unknown."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return at, 0
    bits = 7 * width
    number = int.from_bytes(data[at : at + width], "big") & ((1 << bits) - 1)
    return at + width, 0 if number == (1 << bits) - 1 else number


def _riff(data: mmap) -> int:
    """Return where the last chunk ends: a long AVI has several."""
    at = padding = 0
    while data[at + padding : at + padding + 4] == b"RIFF":
        at += padding
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if length in UNKNOWN:
            return 0
        at += 8 + length
        padding = length % 2
    return at


def _has_end_mark(data: mmap) -> bool:
    """Walk over the blocks of a GIF as far as its end mark."""
    at, size = 13 + _palette(data, 10), len(data)
    while at < size:
        kind = data[at]
        if kind == 0x3B:
            return True
        if kind == 0x21:
            at += 2
        elif kind == 0x2C:
            at += 11 + _palette(data, at + 9)
        else:
            return True  # something else follows; what decodes is told elsewhere
        while at < size and data[at]:
            at += 1 + data[at]
        at += 1
    return False


def _palette(data: mmap, at: int) -> int:
    """Return the length of the palette that some flags announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
