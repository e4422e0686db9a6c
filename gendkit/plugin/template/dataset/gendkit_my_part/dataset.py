"""A folder with a table of its clips: from clips.csv to one `Clip` a row, in the table's order.

What is known about a clip stands in the table. Nothing is read out of a path.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from gendkit.errors import InvalidManifest, MissingMedia
from gendkit.plugin import Clip

TABLE = "clips.csv"
COLUMNS = ("video", "path", "label", "method", "pair", "identity", "split")
LABELS = {"real": 0, "fake": 1}


class Listed:
    """The clips of a folder.

    Parameters
    ----------
    root
        The folder with `clips.csv`, whose columns are `video` (the clip's id), `path` (of the file,
        from the folder), `label` (real or fake), `method` (empty for a real clip), `pair` (the id
        of the real clip that a fake was made from, and of a real clip its own), `identity` (who is
        seen) and `split` (train, development, final, or empty).
    name, licence, homepage
        Those that the spec declares.

    Raises
    ------
    MissingMedia
        If there is no such folder, or no table in it.
    InvalidManifest
        If the table lacks a column.
    """

    def __init__(self, root: str | Path | None, *, name: str, licence: str, homepage: str) -> None:
        self._name, self._licence = name, licence
        self._table = Path(root or ".") / TABLE
        if root is None or not self._table.is_file():
            where = f"there is no {self._table}" if root is not None else "no folder was given"
            raise MissingMedia(
                f"{name}: {where}; expected {name}:FOLDER, where FOLDER holds the media and "
                f"{TABLE} with the columns {', '.join(COLUMNS)}. "
                f"Access: {homepage or 'see the README of the plugin'}"
            )
        with self._table.open(encoding="utf-8", newline="") as file:
            there = csv.DictReader(file).fieldnames or ()
        if missing := [column for column in COLUMNS if column not in there]:
            raise InvalidManifest(f"{self._table} lacks the columns {', '.join(missing)}.")

    def clips(self) -> Iterator[Clip]:
        """Yield the clips in the order of the table.

        Raises
        ------
        InvalidManifest
            If a label is neither real nor fake.
        MissingMedia
            If a file is not there.
        """
        with self._table.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                yield self._clip(row, where=f"{self._table}, line {number}")

    def _clip(self, row: dict[str, str], *, where: str) -> Clip:
        media = self._table.parent / row["path"]
        if row["label"] not in LABELS:
            raise InvalidManifest(f"{where}: label is {row['label']!r}; expected real or fake.")
        if not media.is_file():
            raise MissingMedia(f"{where}: there is no file {media}; complete the download.")
        return Clip(
            video=row["video"],
            media=media,
            dataset=self._name,
            label=LABELS[row["label"]],
            method=row["method"],
            family=row["method"],
            pair=row["pair"],
            target_identity=row["identity"],
            split=row["split"],
            licence=self._licence,
        )
