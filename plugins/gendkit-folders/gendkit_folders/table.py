"""A CSV or Parquet table with one row a clip: where its media is, its label and what is known."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath
from typing import Any

from gendkit.errors import InvalidOption, MissingMedia, UnreadableMedia, first_line
from gendkit.plugin.protocols import Clip
from gendkit_folders.files import existing, listed, video_id, without_twins
from gendkit_folders.rows import OURS, Reading

SUFFIXES = (".csv", ".parquet")
SOUGHT = "a .csv or .parquet file, or a folder with one"
NEEDED = ("path", "label")


class Table:
    """Clips of a table, in the order of their paths.

    Parameters
    ----------
    root
        The file, or a folder with one such file in it.
    options
        All of these:

        - `media`: root of the paths; None for the file's folder.
        - `columns`: from the table's names to those of `gendkit_folders.rows.OURS`; others are not
          read, which is told.
        - `labels`, `splits`: what the table's words mean, beside the known ones.
        - `dataset`: name of the collection of rows that do not say it; empty for the file's.
        - `licence`: of the media of rows that do not say it.

    Raises
    ------
    InvalidOption
        For an option that cannot be.
    MissingMedia
        If there is no such file or folder.
    """

    name = "table"

    def __init__(self, root: str | Path | None, **options: Any) -> None:
        self._file = _table_file(existing(root, dataset=self.name, sought=SOUGHT))
        self._reading = Reading(
            name=self.name, place=self._file.parent, file=self._file.stem, **options
        )

    def clips(self) -> list[Clip]:
        """Return the clips, sorted by path and then by row.

        Raises
        ------
        UnreadableMedia
            If the file is no such table.
        InvalidOption
            If a column is missing or named twice.
        MissingMedia
            If a row's media is not there, or outside of the root.
        InvalidLabels, InvalidManifest
            For values that cannot be, and for two rows with one id.
        """
        table = _read(self._file)
        names = self._reading.names(list(table))
        if missing := [name for name in NEEDED if name not in names]:
            raise InvalidOption(
                f"{self._file} has no column {' and no '.join(missing)}; it has "
                f"{listed(list(table))}. Say which it is with the option "
                f"columns={{theirs: {missing[0]}}}; read are {', '.join(OURS)}."
            )
        self._reading.note_unread(table, names.values())
        columns = [table[theirs] for theirs in names.values()]
        found = []
        for number, values in enumerate(zip(*columns, strict=True), start=1):
            row = dict(zip(names, values, strict=True))
            where = f"row {number} of {self._file.name}"
            below, content = self._reading.media_at(row, where=where)
            video = video_id(PurePosixPath(below))
            clip = self._reading.clip(row, video=video, media=content, where=where)
            found.append((below, number, where, clip))
        if not found:
            raise MissingMedia(f"{self._file} has no row; expected is one a clip.")
        found.sort(key=lambda one: one[:2])
        return without_twins([f[3] for f in found], [f[2] for f in found], dataset=self.name)


def _table_file(path: Path) -> Path:
    if path.is_dir():
        there = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if len(there) != 1:
            names = listed([p.name for p in there or sorted(path.iterdir())])
            raise MissingMedia(
                f"{path} holds {len(there)} tables; table expects {SOUGHT}. In it: {names}."
            )
        return there[0]
    if path.suffix.lower() not in SUFFIXES:
        raise MissingMedia(f"{path} is neither .csv nor .parquet; table expects {SOUGHT}.")
    return path


def _read(file: Path) -> dict[str, list[Any]]:
    """Return the columns of a table; all values of a CSV file are texts."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        if file.suffix.lower() == ".parquet":
            read = parquet.read_table(file)
            return {name: read.column(name).to_pylist() for name in read.column_names}
        with file.open(encoding="utf-8-sig", newline="") as text:
            header, *lines = [line for line in csv.reader(text, strict=True) if line] or [[]]
    except (pyarrow.ArrowException, csv.Error, OSError, ValueError) as error:
        raise UnreadableMedia(
            f"{file} is no table that can be read: {first_line(error)}; expected is {SOUGHT}."
        ) from None
    names = [name.strip() for name in header]
    if not names or len(set(names)) < len(names):
        raise UnreadableMedia(
            f"{file} begins with {','.join(header)!r}; expected are names of columns, each once."
        )
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise UnreadableMedia(
                f"row {number} of {file} has {len(line)} values for {len(names)} columns; "
                "a value with a comma in it stands in quotes."
            )
    return {name: [line[i] for line in lines] for i, name in enumerate(names)}
