"""FakeAVCeleb: meta_data.csv says of each video whether what is seen and what is heard are fake.

Sources: the owners' documentation page for how it was made; for the columns (`source`, `target1`,
`target2`, `method`, `category`, `type`, `race`, `gender`, `path` and an unnamed one that repeats
the folder) and the folders, the code of several who read version 1.2; for the names, issue 11 of
the owners' repository (`VIDEO_TARGET1_..._METHOD.mp4`). The owners themselves document none of it.

- Labels are visual. A real video with a fake voice is visually real; it is left out by default,
  since it shows the same pictures as its original. With `voices="real"` it is a real clip, of the
  same pair.
- Who is seen is the source, in whose folder a video lies. Of face swaps the donor is target1, which
  is not documented; of lip-syncs alone target1 lends a voice and no face, so there is no donor.
- There are no official splits.
- A few videos stand in the table twice, with two methods: the first row counts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks.facts import FAKEAVCELEB
from gendkit_benchmarks.generators import generator_year
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

TABLE = "meta_data.csv"
COLUMNS = ("source", "target1", "method", "type", "race", "gender", "path")
REAL, VOICE = "RealVideo-RealAudio", "RealVideo-FakeAudio"
LABELS = {REAL: 0, VOICE: 0, "FakeVideo-RealAudio": 1, "FakeVideo-FakeAudio": 1}
_SWAP = "face-swap"
FAMILIES = {
    "faceswap": _SWAP, "fsgan": _SWAP, "faceswap-wav2lip": _SWAP, "fsgan-wav2lip": _SWAP,
    "wav2lip": "lip-sync",
}  # fmt: skip
"""The kind of each method that changes what is seen."""
FOLDER = re.compile(r"[\w() -]+")
NAME = re.compile(r"(?P<video>[0-9A-Za-z-]+)(_[A-Za-z0-9_.-]*)?\.[A-Za-z0-9]+")

Row = Mapping[str, str]


class FakeAVCeleb:
    """The clips that the table names.

    Parameters
    ----------
    root
        The folder with meta_data.csv and the four folders of types.
    voices
        What real videos with a fake voice are: nothing, so that they are left out, or real.

    Raises
    ------
    InvalidOption
        For something else.
    MissingMedia
        If there is no such folder.
    """

    def __init__(self, root: str | Path | None, *, voices: str) -> None:
        if voices not in ("", "real"):
            raise InvalidOption(f"voices is {voices!r}; expected real, or nothing.")
        self._root, self._voices = opened(root, FAKEAVCELEB), voices

    def clips(self) -> list[Clip]:
        """Return the clips in the order of the table; what is missing is told in one warning.

        Raises
        ------
        MissingMedia
            If there is no table, or no clip at all.
        InvalidManifest
            For a table that is none.
        InvalidLabels
            For a row whose type or method says nothing about what is seen, or two things.
        """
        if not (self._root / TABLE).is_file():
            raise nothing(
                FAKEAVCELEB, f"no {TABLE} in {self._root}, which has {listed(self._root)}"
            )
        notes = Notes(FAKEAVCELEB, self._root)
        there: dict[Path, set[str]] = {}
        clips: list[Clip] = []
        absent: list[Path] = []
        for row in _rows(self._root / TABLE):
            if row["type"] == VOICE and not self._voices:
                continue
            folder = self._root / row["type"] / row["race"] / row["gender"] / row["source"]
            if folder not in there:
                there[folder] = {path.name for path in videos_in(folder)}
            if row["path"] in there[folder]:
                clips.append(_clip(folder / row["path"], row))
            else:
                absent.append(folder / row["path"])
        if not clips:
            raise nothing(FAKEAVCELEB, f"no video of {TABLE} under {self._root}")
        named = {clip.media for clip in clips}
        extra = [f / name for f in there for name in sorted(there[f]) if f / name not in named]
        notes.left_out(f"not in {TABLE}", extra)
        notes.some(f"of {len(clips) + len(absent)} rows of {TABLE}, without a file", absent)
        clips = without_twins(clips, notes)
        note_unpaired(clips, notes)
        notes.tell()
        return clips


def _clip(path: Path, row: Row) -> Clip:
    name = NAME.fullmatch(row["path"])
    assert name is not None
    label, family = LABELS[row["type"]], FAMILIES.get(row["method"], "")
    return Clip(
        video=f"{row['type']}/{row['source']}/{path.stem}",
        media=path,
        dataset=FAKEAVCELEB.name,
        label=label,
        method=row["method"] if label else "",
        family=family if label else "",
        pair=f"{REAL}/{row['source']}/{name['video']}",
        target_identity=row["source"],
        donor_identity=row["target1"].strip("-") if label and family == _SWAP else "",
        year=FAKEAVCELEB.year,
        generator_year=generator_year(row["method"]) if label else None,
        licence=FAKEAVCELEB.licence,
    )


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the table, each checked."""
    reader = csv.DictReader(text_of(path, kind="CSV").splitlines())
    if absent := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise InvalidManifest(
            f"{path} has no column {', '.join(absent)}; it has "
            f"{', '.join(reader.fieldnames or ())}."
        )
    for row in reader:
        where = f"{path}, line {reader.line_num},"
        if short := [name for name in COLUMNS if row[name] is None]:
            raise InvalidManifest(f"{where} has no {', '.join(short)}.")
        if row["type"] not in LABELS:
            raise InvalidLabels(f"{where} has the type {row['type']!r}; it is {', '.join(LABELS)}.")
        if LABELS[row["type"]] and row["method"] not in FAMILIES:
            raise InvalidLabels(
                f"{where} has a fake video with the method {row['method']!r}; those that change "
                f"what is seen are {', '.join(FAMILIES)}."
            )
        folders = [row[name] for name in ("race", "gender", "source")]
        if not NAME.fullmatch(row["path"]) or not all(map(FOLDER.fullmatch, folders)):
            raise InvalidManifest(
                f"{where} has the video {'/'.join([*folders, row['path']])!r}; expected "
                "RACE/GENDER/SOURCE/NAME.mp4."
            )
        yield row
