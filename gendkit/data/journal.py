"""An extraction until it is whole: the crops so far, and a journal of the clips that are done.

Beside the place of the output `NAME` lies `.NAME-extraction` until all clips are done. A run that
is killed at any moment leaves it behind; the same call then goes on with the clips that are not in
the journal, after whatever the others had begun to write is removed. Another call begins anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gendkit.data.cropping import Done
from gendkit.data.fingerprint import fingerprint
from gendkit.data.sources import files_of
from gendkit.errors import OutputExists
from gendkit.output import write_whole
from gendkit.plugin.protocols import Clip

ENDS = 1 << 16
"""Bytes of a file's head and tail by which it is known again, with its size."""
_log = logging.getLogger(__name__)


class Journal:
    """The clips of an extraction that are done.

    Parameters
    ----------
    out
        Where the output will be.
    inputs
        Hash of all that the output depends on; see `inputs_of`. None: it cannot be known whether
        an earlier run had the same, and what it left is not used.

    Attributes
    ----------
    tree
        Where crops are written until all are there.
    problems
        By number, the name of a clip and why it counts as failed.
    any_crop
        Whether there is any.
    keep
        Whether what is done is kept when the block ends with an error.

    Raises
    ------
    OutputExists
        If another process is extracting to the same place.
    """

    def __init__(self, out: Path, inputs: str | None) -> None:
        import filelock

        out = out.absolute()
        self.folder = out.with_name(f".{out.name}-extraction")
        self.tree = self.folder / "tree"
        self._file = self.folder / "journal.jsonl"
        self._places: dict[int, int] = {}
        self.problems: dict[int, tuple[str, str]] = {}
        self.any_crop = False
        self.keep = inputs is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise OutputExists(
                f"another process is extracting to {out}; wait for it, or give another folder."
            ) from None
        self._begin(inputs)
        self._writing = self._file.open("ab")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        keep = failed is not None and self.keep and bool(self._places)
        if keep:
            _log.warning("%d clips are done; the same call goes on with the others", len(self))
        self._close(keep=keep)

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, number: int, done: Done) -> None:
        """Note down what came of the clip of a number; it is safe when this process is killed."""
        line = json.dumps({"clip": number, **asdict(done)}).encode() + b"\n"
        self._note(number, done, self._writing.tell())
        self._writing.write(line)
        self._writing.flush()

    def __iter__(self) -> Iterator[Done]:
        """Yield what came of each clip, in the order of their numbers, one at a time."""
        for number in sorted(self._places):
            yield self._at(self._places[number])

    def _at(self, place: int) -> Done:
        with self._file.open("rb") as file:
            file.seek(place)
            return _read(file.readline())[1]

    def _close(self, *, keep: bool) -> None:
        """Let another process have the place; keep what is done for it, or remove it."""
        try:
            self._writing.close()  # which fails on a full disk
        finally:
            if not keep:
                shutil.rmtree(self.tree, ignore_errors=True)
                for name in ("inputs", self._file.name):
                    (self.folder / name).unlink(missing_ok=True)
                with suppress(OSError):  # of a system that removes no open file
                    (self.folder / "lock").unlink(missing_ok=True)
            self._lock.release()
        if not keep:
            with suppress(OSError):  # another process has begun in it
                self.folder.rmdir()

    def _begin(self, inputs: str | None) -> None:
        begun = self.folder / "inputs"
        before = begun.read_text() if begun.exists() and self._file.exists() else None
        if inputs is not None and before == inputs:
            self._take_up()
            return
        if before is not None:
            _log.warning(
                "what an interrupted extraction of other clips or settings left is removed"
            )
        shutil.rmtree(self.tree, ignore_errors=True)
        self._file.unlink(missing_ok=True)
        begun.unlink(missing_ok=True)
        self.tree.mkdir(parents=True)
        self._file.touch()
        if inputs is not None:  # last, so that a folder without it was not begun
            write_whole(begun, inputs.encode())

    def _take_up(self) -> None:
        """Read the journal as far as it is whole; remove what is not in it."""
        folders: dict[str, list[int]] = {}
        end = 0
        with self._file.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                number, done = _read(line)
                crops = _crops(done)
                if all((self.tree / crop).is_file() for crop in crops):
                    self._note(number, done, end)
                    for folder in {os.path.dirname(crop) for crop in crops}:
                        folders.setdefault(folder, []).append(end)
                end += len(line)
        os.truncate(self._file, end)
        for place, _, files in os.walk(self.tree, topdown=False):
            folder = Path(place).relative_to(self.tree).as_posix()
            known = {crop for at in folders.get(folder, ()) for crop in _crops(self._at(at))}
            for name in files:
                if f"{folder}/{name}" not in known:
                    (Path(place) / name).unlink()
            with suppress(OSError):  # it holds something
                os.rmdir(place)
        self.tree.mkdir(exist_ok=True)

    def _note(self, number: int, done: Done, place: int) -> None:
        self._places[number] = place
        self.any_crop |= done.has_crop
        if done.problem:
            self.problems[number] = (done.name, done.problem)


def inputs_of(clips: list[Clip], made_by: Mapping[str, Any], *, extractor: object) -> str | None:
    """Return a hash of all that an extraction's output depends on, None if it has none.

    A file counts with its size and its first and last 64 KiB, a function that renders a clip and a
    face extractor with their code; see `gendkit.data.fingerprint`.
    """
    whole = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode())
    try:
        whole.update(fingerprint(extractor))
        for clip in clips:
            facts = {name: value for name, value in vars(clip).items() if name != "media"}
            whole.update(json.dumps(facts, sort_keys=True).encode())
            files = files_of(clip.media)
            for part in map(_ends, files) if files else [fingerprint(clip.media)]:
                whole.update(part)
    except Exception:  # whatever an object raises when it is pickled
        return None
    return whole.hexdigest()


def _ends(path: Path) -> bytes:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return b"unreadable: no regular file"  # a pipe would be waited for
        size = about.st_size
        with path.open("rb") as file:
            head = file.read(ENDS)
            file.seek(max(len(head), size - ENDS))
            tail = file.read(ENDS)
    except OSError as error:
        return f"unreadable: {error.strerror}".encode()
    return f"{size}:".encode() + head + tail


def _crops(done: Done) -> set[str]:
    return {row["path"] for row in done.rows if row["path"]}


def _read(line: bytes) -> tuple[int, Done]:
    content = json.loads(line)
    number: int = content.pop("clip")
    error = content.pop("error")
    return number, Done(**content, error=None if error is None else (error[0], error[1]))
