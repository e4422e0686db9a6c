"""The drop zone: files come whole or not at all, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gendkit.notebook.drop import Drop, safe_name

PIECE = 1 << 20


class Browser:
    """What the zone's JavaScript does, in Python."""

    def __init__(self, drop: Drop) -> None:
        self.drop, self.heard = drop, []
        drop.send = lambda message, buffers=None: self.heard.append(message)

    def give(self, name: str, data: bytes, *, size: int | None = None) -> None:
        self._send({"begin": name, "bytes": len(data) if size is None else size})
        last = False
        while not last and self.heard[-1].get("ask") == "piece":
            number = self.heard[-1]["number"]
            piece = data[number * PIECE : (number + 1) * PIECE]
            last = number * PIECE + len(piece) >= len(data)
            self._send({"piece": number, "last": last}, [memoryview(piece)])

    def _send(self, message: dict[str, Any], buffers: list[memoryview] | None = None) -> None:
        self.drop._heard(self.drop, message, buffers or [])


@pytest.fixture
def taken() -> dict[str, Any]:
    return {}


@pytest.fixture
def use(taken: dict[str, Any]) -> Callable[[Path], None]:
    def note(path: Path) -> None:
        taken.update(name=path.name, data=path.read_bytes(), path=path)

    return note


@pytest.mark.parametrize("size", [1, PIECE, 2 * PIECE + 17])
def test_a_file_arrives_whole_and_is_gone_afterwards(
    use: Callable[[Path], None], taken: dict[str, Any], size: int
) -> None:
    data = np.random.default_rng(0).bytes(size)
    browser = Browser(Drop(use))
    browser.give("clip.mp4", data)
    assert taken["name"] == "clip.mp4"
    assert taken["data"] == data
    assert not taken["path"].parent.exists()
    assert [m["number"] for m in browser.heard] == list(range(-(-size // PIECE)))


def test_nothing_of_a_file_is_in_the_widgets_state(use: Callable[[Path], None]) -> None:
    """Else it would be saved with the notebook."""
    drop = Drop(use)
    Browser(drop).give("clip.mp4", b"\x01\x02secret" * 100)
    assert "secret" not in repr(drop.get_state())


def test_an_empty_a_huge_and_a_changing_file_are_refused(
    use: Callable[[Path], None], taken: dict[str, Any]
) -> None:
    browser = Browser(Drop(use))
    browser.give("empty.mp4", b"")
    assert "0 bytes" in browser.heard[-1]["words"]
    browser.give("huge.mp4", b"x", size=1 << 40)
    assert browser.heard[-1]["ask"] == "ready"
    browser.give("short.mp4", b"abc", size=5)
    assert "changed" in browser.heard[-1]["words"]
    assert taken == {}


def test_pieces_out_of_turn_are_ignored(use: Callable[[Path], None], taken: dict[str, Any]) -> None:
    browser = Browser(Drop(use))
    browser._send({"piece": 0, "last": True}, [memoryview(b"x")])
    browser._send({"begin": "a.mp4", "bytes": 3})
    browser._send({"piece": 1, "last": True}, [memoryview(b"abc")])
    assert taken == {}
    browser._send({"piece": 0, "last": True}, [memoryview(b"abc")])
    assert taken["data"] == b"abc"


def test_the_file_is_removed_though_its_use_fails() -> None:
    seen: list[Path] = []

    def fail(path: Path) -> None:
        seen.append(path)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Browser(Drop(fail)).give("a.mp4", b"abc")
    assert not seen[0].parent.exists()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.png", "a.png"),
        ("<script>.mp4", "_script_.mp4"),
        ("\x1b[31m.png", "_[31m.png"),
        ("..", "file"),
        ("", "file"),
        ("é" * 300 + ".mp4", "é" * 116 + ".mp4"),
    ],
)
def test_a_name_cannot_leave_its_folder(name: str, kept: str) -> None:
    assert safe_name(name) == kept
