"""The manifest: a table with one row a face crop, and the folder that its paths start from.

A frame without a usable face keeps its row, with the reason and without a path. What is known of a
clip stands in columns; nothing is ever read out of a path.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from gendkit.data.columns import COLUMNS, NAMES, arrow_schema, typed
from gendkit.errors import InvalidLabels, InvalidManifest, MissingMedia, first_line
from gendkit.markup import card, grid
from gendkit.output import part_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from gendkit.data.packed import PackedCrops
    from gendkit.data.stacked import StackedCrops

FILE = "manifest.parquet"
SUFFIX = ".parquet"
META = b"gendkit"
COVERAGE = "coverage"


ROWS = 8192
"""How many rows are held while others are written."""
SHOWN = 8
"""Rows of which a notebook shows the start."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Face crops and what is known about them.

    Attributes
    ----------
    table
        One row a crop, with the columns of `COLUMNS`.
    root
        Folder under which `path` is looked up.
    meta
        How the crops were made: extractor, threshold, frame order, scale, versions.
    packed
        The crops in one file, or in a zarr array, if there is one; they are then read from it. See
        `pack` and `to_zarr`.
    """

    table: pd.DataFrame
    root: Path
    meta: Mapping[str, Any] = field(default_factory=dict)
    packed: PackedCrops | StackedCrops | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        faces = int((self.table["path"] != "").sum())
        videos = len(self.table[["dataset", "video"]].drop_duplicates())
        return f"Manifest({faces:,} face crops in {len(self):,} frames of {videos:,} clips)"

    def _repr_html_(self) -> str:
        shown = ["sample", "label", "method", "split", "frame", "time", "reason"]
        rows = self.table[shown].head(SHOWN).itertuples(index=False, name=None)
        more = len(self) - SHOWN
        facts = {"and": f"{more:,} rows more"} if more > 0 else {}
        return card(repr(self), {"root": str(self.root), **facts}, grid(shown, rows))

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], root: Path, *, meta: Mapping[str, Any] | None = None
    ) -> Manifest:
        """Make a manifest from rows in which columns may be missing.

        Raises
        ------
        InvalidManifest
            For an unknown column or a sample that occurs twice.
        """
        import pandas as pd

        rows = list(rows)
        unknown = {key for row in rows for key in row} - set(NAMES)
        if unknown:
            raise InvalidManifest(
                f"unknown manifest columns {', '.join(sorted(unknown))}; "
                f"there are {', '.join(NAMES)}."
            )
        data = {c.name: [row.get(c.name, c.default) for row in rows] for c in COLUMNS}
        return cls(table=typed(pd.DataFrame(data)), root=root, meta=dict(meta or {})).validated()

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a manifest file, or the one in a folder.

        Raises
        ------
        MissingMedia
            If there is none.
        InvalidManifest
            If the file is no manifest.
        UnreadableMedia
            If its crops are in a pack, or in a zarr array, that is damaged.
        """
        import pyarrow
        import pyarrow.parquet as parquet

        from gendkit.data.stacked import kept_together

        path = Path(path)
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise MissingMedia(f"no manifest at {file}; {_split_of(path)}")
        try:
            table = parquet.read_table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise InvalidManifest(f"{file} is no Parquet manifest: {first_line(error)}.") from None
        missing = [c.name for c in COLUMNS if c.name not in table.column_names and not c.late]
        if missing:
            raise InvalidManifest(f"{file} lacks the columns {', '.join(missing)}.")
        try:
            meta = json.loads((table.schema.metadata or {}).get(META, b"{}"))
        except ValueError:
            raise InvalidManifest(f"{file} has damaged metadata; extract it anew.") from None
        rows = typed(table.to_pandas(ignore_metadata=True))  # a stranger may have written it
        read = cls(table=rows, root=file.parent, meta=meta).validated()
        return replace(read, packed=kept_together(file.parent, rows["path"]))

    def write(self, folder: str | Path | None = None) -> Path:
        """Write `manifest.parquet` into a folder (the root by default), or a file of that kind.

        Returns its path; read again, paths start from its folder.
        """
        return _written([self.table], Path(folder or self.root), self.meta)

    def validated(self) -> Manifest:
        """Return self if ids are unique, labels are known and paths stay under the root."""
        twice = self.table["sample"][self.table["sample"].duplicated()]
        if len(twice):
            raise InvalidManifest(f"sample {twice.iloc[0]!r} occurs more than once.")
        wrong = self.table[~self.table["label"].isin([-1, 0, 1])]
        if len(wrong):
            raise InvalidLabels(
                f"sample {wrong['sample'].iloc[0]!r} has label {wrong['label'].iloc[0]}; "
                "labels are 0 real, 1 fake, -1 unknown."
            )
        for path in self.table["path"]:
            if not isinstance(path, str):
                raise InvalidManifest(f"path {path!r} is no text.")
            if path and leaves(path):
                raise InvalidManifest(f"path {path!r} leaves the manifest's root.")
        return self

    def where(self, mask: Any) -> Manifest:
        """Return the rows for which a boolean mask is true."""
        table = self.table[mask].reset_index(drop=True)
        meta = dict(self.meta)
        if COVERAGE in meta:
            meta[COVERAGE] = None  # of these rows it is not known any more
        return replace(self, table=table, meta=meta)

    def faces(self) -> Manifest:
        """Return the rows that have a crop; `meta` says under `coverage` of how many clips.

        See `gendkit.data.coverage.covered`; None if rows were left out before and others chosen.
        """
        from gendkit.data.coverage import covered

        there = self.table["path"] != ""
        if there.all() and COVERAGE in self.meta:
            return self
        return replace(self.where(there), meta={**self.meta, COVERAGE: covered(self.table)})

    def in_split(self, split: str) -> Manifest:
        """Return the rows of a split.

        Raises
        ------
        InvalidManifest
            If there are none.
        """
        chosen = self.where(self.table["split"] == split)
        if not len(chosen):
            there = ", ".join(sorted(set(self.table["split"]) - {""})) or "no split at all"
            raise InvalidManifest(f"no row of split {split!r}; there is {there}.")
        return chosen

    def labels(self) -> NDArray[np.int64]:
        """Return the labels (N,), refusing unknown ones.

        Raises
        ------
        InvalidLabels
            If a label is -1.
        """
        labels: NDArray[np.int64] = self.table["label"].to_numpy("int64")
        if (labels < 0).any():
            sample = self.table["sample"].iloc[int((labels < 0).argmax())]
            raise InvalidLabels(
                f"sample {sample!r} has no label; training and metrics need 0 (real) or 1 (fake). "
                "Labels come from datasets, such as photos:FOLDER, or stand in the manifest."
            )
        return labels

    def crop(self, row: int) -> NDArray[np.uint8]:
        """Read the crop of a row as RGB uint8 (H, W, 3).

        Raises
        ------
        MissingMedia
            If the row has no crop, or its file is gone.
        UnreadableMedia
            If the file is damaged.
        InvalidManifest
            If the crops are packed, and this one has changed since.
        """
        from gendkit.data.png import read_crop

        path = self.table["path"].iloc[row]
        if not path:
            sample, reason = self.table[["sample", "reason"]].iloc[row]
            raise MissingMedia(f"sample {sample!r} has no crop: {reason or 'no reason is kept'}.")
        if self.packed is not None:
            return self.packed.crop(path, self.root / path)
        return read_crop(self.root / path)

    def pack(self) -> Manifest:
        """Write the crops into one file, `crops.pack` under the root, and read them from there.

        The pixels are the same, at the crop's own size; they take some two to three times the room
        of the PNG files, and decoding takes no time. `read` finds the pack. The PNG files are then
        only needed by the probes of file size; as long as they are there, one that has another size
        than when it was packed is refused.

        Raises
        ------
        MissingMedia, UnreadableMedia
            If a crop is gone or damaged.
        InvalidManifest
            If they are in a zarr array already.
        """
        from gendkit.data.packed import write_pack
        from gendkit.data.stacked import StackedCrops

        if isinstance(self.packed, StackedCrops):
            raise InvalidManifest(f"the crops are in {self.packed.path}, which needs no pack.")

        paths = [path for path in dict.fromkeys(self.table["path"]) if path]
        return replace(self, packed=write_pack(self.root, paths))

    def to_zarr(self, out: str | Path) -> Manifest:
        """Write the crops into a new folder as one zarr array, and return the manifest there.

        For square crops of one size: any zarr reads them as `crops` (N, S, S, 3) in `crops.zarr`.
        For crops of several sizes, or to keep the files, there is `pack`.

        Raises
        ------
        OutputExists, UnwritableOutput
            If the folder holds something, or cannot be made.
        InvalidManifest
            If there is no crop, or they are not all square and of one size.
        MissingMedia, UnreadableMedia
            If a crop is gone or damaged.
        """
        from gendkit.data.stacked import to_zarr

        return to_zarr(self, out)

    def file_size(self, path: str) -> int | None:
        """Return the size in bytes of a crop's file, as packed if it is; None if it is gone."""
        if self.packed is not None:
            return self.packed.source_bytes(path)
        file = self.root / path
        return file.stat().st_size if file.is_file() else None

    def components(self) -> NDArray[np.int64]:
        """Return for each row (N,) the number of its connected component.

        Clips are linked when they share a target clip, or a person who is seen or lends a face in
        both; a target clip itself belongs to its fakes. A split that cuts no component cannot leak.
        """
        from gendkit.data.links import components

        return components(self.table)

    def check_no_leak(self) -> None:
        """Refuse a manifest in which a connected component spans two splits.

        Raises
        ------
        InvalidManifest
            Naming two clips that are linked across splits.
        """
        from gendkit.data.links import split_apart

        number, apart = split_apart(self.table)
        table = self.table.assign(component=number)[apart & (self.table["split"] != "").to_numpy()]
        if not len(table):
            return
        group = table[table["component"] == table["component"].min()]
        a, b = (row for _, row in group.drop_duplicates("split").head(2).iterrows())
        raise InvalidManifest(
            f"clips {a['video']!r} ({a['split']}) and {b['video']!r} ({b['split']}) are "
            "linked by a target or donor; a split must not cut them apart."
        )


def write_rows(rows: Iterable[Mapping[str, Any]], folder: Path, *, meta: Mapping[str, Any]) -> Path:
    """Write `manifest.parquet` from rows as they come, holding few at a time; return its path.

    Raises
    ------
    InvalidManifest
        For an unknown column, or a sample that occurs twice among those held.
    """
    left = iter(rows)
    held = iter(lambda: list(islice(left, ROWS)), [])
    return _written((Manifest.from_rows(some, folder).table for some in held), folder, meta)


def _written(tables: Iterable[pd.DataFrame], place: Path, meta: Mapping[str, Any]) -> Path:
    import pyarrow
    import pyarrow.parquet as parquet

    file = place if place.suffix == SUFFIX and not place.is_dir() else place / FILE
    schema = arrow_schema().with_metadata({META: json.dumps(dict(meta), sort_keys=True)})
    part = part_of(file)
    with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(
                pyarrow.Table.from_pandas(table, schema=schema, preserve_index=False)
            )
    part.replace(file)
    return file


def leaves(path: str) -> bool:
    """Tell whether a path leaves its folder, as either kind of system reads it."""
    if ".." not in path and ":" not in path and not path.startswith(("/", "\\")):
        return False  # told without taking it apart, as of nearly all
    kinds = (PurePosixPath(path), PureWindowsPath(path))
    return any(p.anchor or p.drive or ".." in p.parts for p in kinds)


def _split_of(path: Path) -> str:
    """Return what to do where no manifest is: the command line has FOLDER:SPLIT, Python has not."""
    folder, _, split = str(path).rpartition(":")
    if folder and Path(folder, FILE).is_file():
        return f"in Python, a split is Manifest.read({folder!r}).in_split({split!r})."
    return "`gendkit extract IN OUT` writes one into OUT."
