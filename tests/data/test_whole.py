"""The length that a file states of itself, in files written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gendkit.data.whole import ASF, ASF_FILE, EBML, SEGMENT, missing

HEADER = EBML + b"\x83abc"


def riff(length: int, content: bytes) -> bytes:
    return b"RIFF" + length.to_bytes(4, "little") + content


def asf(stated: int, *, broadcast: bool) -> bytes:
    file = (
        ASF_FILE
        + bytes(24)
        + stated.to_bytes(8, "little")
        + bytes(40)
        + bytes([broadcast, 0, 0, 0])
    )
    return ASF + bytes(14) + file


def gif(*blocks: bytes) -> bytes:
    return b"GIF89a" + bytes(4) + b"\x80\0\0" + bytes(6) + b"".join(blocks)


IMAGE = b"," + bytes(8) + b"\x80" + bytes(6) + b"\x02" + b"\x03abc" + b"\0"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RI",
        b"no media",
        HEADER + SEGMENT + b"\x84four",
        HEADER + SEGMENT + b"\x01" + b"\xff" * 7 + b"length unknown",
        HEADER + b"another element",
        EBML,
        riff(8, b"AVI four"),
        riff(5, b"WEBP1\0"),
        riff(5, b"WEBP1"),  # without the padding
        riff(0, b"AVI being written"),
        riff(8, b"AVI four") + riff(8, b"AVIXfour"),
        asf(110, broadcast=False),
        asf(1 << 40, broadcast=True),
        gif(IMAGE, IMAGE, b";"),
        gif(b"!\xf9\x04abcd\0", IMAGE, b";more"),
        gif(b"?"),
    ],
)
def test_a_whole_file_and_one_that_states_no_length_lack_nothing(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a").write_bytes(content)
    assert missing(tmp_path / "a") == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEADER + SEGMENT + b"\x84fou", "16 of the 17 bytes"),
        (HEADER + SEGMENT + b"\x10\x0f\x42\x40", "16 of the 1,000,016 bytes"),
        (riff(8, b"AVI fou"), "15 of the 16 bytes"),
        (riff(8, b"AVI four") + riff(800, b"AVIXfour"), "32 of the 824 bytes"),
        (asf(2000, broadcast=False), "122 of the 2,000 bytes"),
        (gif(IMAGE), "its end mark is missing"),
        (gif(IMAGE[:-2]), "its end mark is missing"),
        (gif(IMAGE[:5]), "its end mark is missing"),
    ],
)
def test_what_a_file_lacks_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a").write_bytes(content)
    assert missing(tmp_path / "a").startswith("cut off: ")
    assert told in missing(tmp_path / "a")
