"""The Deepfake Detection Challenge: each folder's metadata.json says which of its videos are fake.

Sources: the challenge's page for the columns of metadata.json (`label`, `split`, and `original` of
a fake); for the test set DeepfakeBench's preprocessing, which reads `test/labels.csv` with the
columns `filename` and `label`, 1 being fake. That this file is the owners' is not certain.

- The owners publish neither the method of a fake nor who is seen: a fake's method is `unknown`, and
  only pairs keep clips together. A split made here cannot keep people apart.
- A fake may have its voice changed as well as its face, or instead of it; the tables do not say.
- The numbers of the tables are what the files are checked against.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gendkit.errors import InvalidLabels, InvalidManifest
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks.facts import DFDC
from gendkit_benchmarks.tree import (
    Notes,
    listed,
    note_unpaired,
    nothing,
    opened,
    text_of,
    videos_in,
    without_twins,
)

LABELS = {"REAL": 0, "FAKE": 1}
SPLITS = {"train": "train", "validation": "development", "test": "final"}
TABLES = ("metadata.json", "*/metadata.json", "*/*/metadata.json", "*/*/*/metadata.json")
"""A part unpacks into a folder within a folder, and parts may lie in one named train."""
TEST_TABLES = ("labels.csv", "test/labels.csv")
NAME = re.compile(r"[A-Za-z0-9_.-]+\.[A-Za-z0-9]+")


class DeepfakeDetectionChallenge:
    """The clips of all tables below a folder.

    Parameters
    ----------
    root
        The folder with the parts, or one part.

    Raises
    ------
    MissingMedia
        If there is no such folder.
    """

    def __init__(self, root: str | Path | None) -> None:
        self._root = opened(root, DFDC)

    def clips(self) -> list[Clip]:
        """Return the clips, table after table; what is missing is told in one warning.

        Raises
        ------
        MissingMedia
            If there is no clip at all.
        InvalidManifest
            For a table that is none.
        InvalidLabels
            For a label other than the table's two.
        """
        notes = Notes(DFDC, self._root)
        tables = {path: _metadata(path) for path in self._found(TABLES)}
        tables |= {path: _test_labels(path) for path in self._found(TEST_TABLES)}
        if not any(path.name == "labels.csv" for path in tables):
            notes.say(f"no {' or '.join(TEST_TABLES)}, so no test set")
        clips: list[Clip] = []
        absent: list[Path] = []
        for path, rows in tables.items():
            files = {file.name: file for file in videos_in(path.parent)}
            notes.left_out(
                f"not in {path.relative_to(self._root)}",
                [files[name] for name in sorted(set(files) - set(rows))],
            )
            absent += [path.parent / name for name in sorted(set(rows) - set(files))]
            clips += [_clip(files[name], rows[name]) for name in sorted(set(rows) & set(files))]
        if not clips:
            raise nothing(
                DFDC, f"no video of a table under {self._root}, which has {listed(self._root)}"
            )
        notes.some(f"of {len(clips) + len(absent)} videos in the tables, without a file", absent)
        clips = without_twins(clips, notes)
        notes.some("without a known split", [clip.video for clip in clips if not clip.split])
        note_unpaired(clips, notes)
        notes.tell()
        return clips

    def _found(self, patterns: tuple[str, ...]) -> list[Path]:
        return sorted({path for pattern in patterns for path in self._root.glob(pattern)})


def _clip(path: Path, row: Mapping[str, Any]) -> Clip:
    original = str(row.get("original") or "")
    fake = row["label"] == 1
    return Clip(
        video=path.stem,
        media=path,
        dataset=DFDC.name,
        label=row["label"],
        method="unknown" if fake else "",
        pair=Path(original).stem if fake else path.stem,
        split=SPLITS.get(str(row.get("split", "")), ""),
        year=DFDC.year,
        licence=DFDC.licence,
    )


def _metadata(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        content = json.loads(text_of(path, kind="JSON"))
    except json.JSONDecodeError as error:
        raise InvalidManifest(f"{path} is no JSON, line {error.lineno}: {error.msg}.") from None
    if not isinstance(content, dict) or not all(isinstance(r, dict) for r in content.values()):
        raise InvalidManifest(
            f'{path} is expected as {{"NAME.mp4": {{"label": "FAKE", "split": "train", '
            '"original": "NAME.mp4"}, ...}.'
        )
    rows: dict[str, Mapping[str, Any]] = {}
    for name, row in content.items():
        if str(row.get("label")) not in LABELS:
            raise InvalidLabels(
                f"{path} has the label {row.get('label')!r} for {name}; expected REAL or FAKE."
            )
        rows[_checked(name, path)] = {**row, "label": LABELS[row["label"]]}
    return rows


def _test_labels(path: Path) -> dict[str, Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {}
    reader = csv.DictReader(text_of(path, kind="CSV").splitlines())
    columns = list(reader.fieldnames or ())
    if not {"filename", "label"} <= set(columns):
        raise InvalidManifest(
            f"{path} has the columns {', '.join(columns)}; expected filename, label."
        )
    for row in reader:
        if row["label"] not in ("0", "1"):
            got = f"the label {row['label']!r} for {row['filename']}"
            raise InvalidLabels(f"{path} has {got}; expected 0 or 1.")
        name = _checked(row["filename"], path)
        rows[name] = {"label": int(row["label"]), "split": "test"}
    return rows


def _checked(name: str, path: Path) -> str:
    if not NAME.fullmatch(name or ""):
        raise InvalidManifest(f"{path} names {name!r}; expected the name of a video beside it.")
    return name
