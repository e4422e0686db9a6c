"""A place to drop a file: pieces of it enter from the browser, a file on disk leaves."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

import anywidget

MOST = 4 << 30
"""The largest file that is taken, in bytes."""


class Drop(anywidget.AnyWidget):
    """A drop zone that hands each file to a function.

    The file is written into a temporary folder under its own name while it comes, and removed when
    the function has returned.

    Parameters
    ----------
    use
        Called with the file's path when it is there. What it raises is not caught.
    """

    _esm = Path(__file__).with_suffix(".js")

    def __init__(self, use: Callable[[Path], None]) -> None:
        super().__init__()
        self._use = use
        self._folder: Path | None = None
        self._file: BinaryIO | None = None
        self._path = Path()
        self._expected, self._left = 0, 0
        self.on_msg(self._heard)

    def say(self, words: str, *, ready: bool = False) -> None:
        """Show words in the zone; `ready` opens it for the next file."""
        self.send({"ask": "ready" if ready else "wait", "words": words})

    def _heard(self, _: object, message: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        if "begin" in message:
            self._begin(str(message["begin"]), int(message["bytes"]))
        elif self._file is not None and message.get("piece") == self._expected and buffers:
            self._take(bytes(buffers[0]), last=bool(message.get("last")))

    def _begin(self, name: str, size: int) -> None:
        self._forget()
        if not 0 < size <= MOST:
            return self.say(f"{name} has {size:,} bytes; give a file of 1 to {MOST:,}.", ready=True)
        self._folder = Path(tempfile.mkdtemp(prefix="gendkit-"))
        self._path = self._folder / safe_name(name)
        self._file = self._path.open("wb")
        self._expected, self._left = 0, size
        self._next()
        return None

    def _take(self, data: bytes, *, last: bool) -> None:
        assert self._file is not None
        self._file.write(data)
        self._expected, self._left = self._expected + 1, self._left - len(data)
        if self._left < 0 or (last and self._left):
            self._forget()
            return self.say("the file changed while it was read; drop it again.", ready=True)
        if not last:
            return self._next()
        self._file.close()
        self._file = None
        try:
            self._use(self._path)
        finally:
            self._forget()
        return None

    def _next(self) -> None:
        self.send({"ask": "piece", "number": self._expected})

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def safe_name(name: str) -> str:
    """Return the last part of a name that a browser gave, fit for any folder."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in last)
    return kept.strip(" .")[-120:] or "file"
