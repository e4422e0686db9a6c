"""Files of the owners beside their videos: tables about clips, lists of a split, and people.

What they say goes by the name of a file, or by where it lies. A file that is not there is noted,
with what it would have said.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gendkit.data.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from gendkit.errors import InvalidManifest
from gendkit.plugin.protocols import Clip
from gendkit_benchmarks.layout import Layout, Table
from gendkit_benchmarks.patterns import Entry, compiled
from gendkit_benchmarks.tree import Notes, text_of

ORDER = ("train", "val", "test")
"""Of the splits in DeepfakeBench's JSON; the last counts, where a video is under several."""
ROOTS = ("DF40/", "FaceForensics++/", "Celeb-DF-v2/")
"""After which the paths in such JSON files say where something lies."""

SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES

Parts = Mapping[str, str]


@dataclass
class Owners:
    """What the files of the owners say.

    Attributes
    ----------
    layout
        Of the dataset.
    rows
        Of each table: by the name of a file without its suffix, or by where it lies, more parts.
    lists
        The split of each line of the lists.
    people
        The split of each person, in the owners' words.
    used
        The files that were read.
    """

    layout: Layout
    rows: dict[str, dict[str, Parts]] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    used: set[Path] = field(default_factory=set)

    @classmethod
    def read(cls, layout: Layout, root: Path, files: Sequence[Entry], notes: Notes) -> Owners:
        """Read those of the files that are there.

        Raises
        ------
        InvalidManifest
            For one that is not what the layout says, such as a table without a column.
        """
        said = cls(layout=layout)
        below = {entry.path.relative_to(root).as_posix(): entry.path for entry in files}

        def found(patterns: Sequence[str], gives: str) -> Iterator[tuple[Path, Parts]]:
            expressions = [compiled(pattern, {}) for pattern in patterns]
            missing = True
            for name, path in below.items():
                match = next((m for e in expressions if (m := e.fullmatch(name))), None)
                if match:
                    missing = False
                    said.used.add(path)
                    yield path, match.groupdict()
            if missing:
                notes.say(f"no {' or '.join(patterns)}, which gives {gives}")

        for name, table in layout.tables.items():
            rows = said.rows[name] = {}
            for path, constant in found(table.paths, ", ".join(table.columns) or "the splits"):
                rows |= {key: {**constant, **parts} for key, parts in _rows(path, table)}
        if layout.splits:
            for split, patterns in layout.splits.lists.items():
                for path, _ in found(patterns, f"what is {split}"):
                    lines = text_of(path, kind="a list").splitlines()
                    names = [_bare(line.strip()) for line in lines if line.strip()]
                    said.lists |= {n: split for n in names if n not in said.lists}
            if people := layout.splits.people:
                for path, _ in found(people.paths, "the split of each person"):
                    for row in _csv(path, (people.person, people.split)):
                        said.people[row[people.person].strip()] = row[people.split].strip()
        return said

    def parts(self, group: str, name: str) -> dict[str, str]:
        """Return what the tables say of a clip of a group by where it lies."""
        said: dict[str, str] = {}
        for table in self._about(group):
            said |= self.rows[table].get(_key(self.rows[table], name), {})
        return said

    def absent(self, clips: Mapping[str, Sequence[str]], notes: Notes) -> None:
        """Note rows of which there is no clip, and clips without a row.

        Parameters
        ----------
        clips
            Where those of each group lie.
        notes
            Told of both.
        """
        for table, rows in self.rows.items():
            names = [name for g, of in clips.items() if table in self._about(g) for name in of]
            keys = {name: _key(rows, name) for name in names}
            if rows and self.layout.tables[table].layout == "rows":
                absent = sorted(set(rows) - set(keys.values()))
                notes.some(f"in the table {table}, but without a file", absent)
                notes.some(f"not in the table {table}", sorted(n for n in names if not keys[n]))

    def split(self, clip: Clip, parts: Parts) -> tuple[str, str]:
        """Return the split of a clip, and if it has none but should, why."""
        splits = self.layout.splits
        if splits is None:
            return "", ""
        if splits.lists:
            found = self.lists.get(clip.video, "")
            return found, "in no list" if self.lists and not found else ""
        if splits.people:
            words = {
                self.people.get(p, "") for p in (clip.target_identity, clip.donor_identity) if p
            }
            if not self.people:
                return "", ""
            if len(words) > 1:
                return "", "of people of two splits"
        else:
            words = {parts.get("split", "")} - {""}
        word = next(iter(words), "").casefold()
        if word in splits.words:
            return splits.words[word], ""
        return "", f"of the split {word!r}" if word else ""

    def _about(self, group: str) -> list[str]:
        tables = self.layout.tables.items()
        return [name for name, table in tables if not table.groups or group in table.groups]


def _rows(path: Path, table: Table) -> Iterator[tuple[str, Parts]]:
    if table.layout == "deepfakebench":
        yield from _folders(path)
        return
    wanted = (table.key, *table.columns.values())
    rows = _json(path, table.list, wanted) if path.suffix == ".json" else _csv(path, wanted)
    for row in rows:
        parts = {ours: _text(row.get(theirs)) for ours, theirs in table.columns.items()}
        yield _last(_text(row[table.key])), {name: value for name, value in parts.items() if value}


def _csv(path: Path, wanted: Sequence[str]) -> Iterator[Mapping[str, str]]:
    reader = csv.DictReader(text_of(path, kind="CSV").splitlines())
    there = list(reader.fieldnames or ())
    if absent := [name for name in wanted if name not in there]:
        raise InvalidManifest(
            f"{path} has no column {', '.join(absent)}; it has {', '.join(there) or 'none'}."
        )
    for row in reader:
        if short := [name for name in wanted if row[name] is None]:
            raise InvalidManifest(f"{path}, line {reader.line_num}, has no {', '.join(short)}.")
        yield row


def _json(path: Path, place: str, wanted: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    content = _content(path)
    rows = content.get(place) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidManifest(f"{path} is expected to have a list of videos under {place!r}.")
    for number, row in enumerate(rows, start=1):
        if absent := [name for name in wanted if name not in row]:
            raise InvalidManifest(f"{path}, video {number}, has no {', '.join(absent)}.")
        yield row


def _folders(path: Path) -> Iterator[tuple[str, Parts]]:
    """Yield the split of each folder of frames in a JSON file of DeepfakeBench."""
    under: dict[str, set[str]] = defaultdict(set)
    for split, frames in _frames(_content(path), "", path):
        for frame in frames:
            below = str(frame).replace("\\", "/")
            for root in ROOTS:
                below = below.rpartition(root)[2]
            under[str(PurePosixPath(below).parent)].add(split)
    for folder, splits in under.items():
        yield folder, {"split": max(splits, key=ORDER.index)}


def _frames(content: Any, split: str, path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Yield each list of frames with the split that it stands under, at whatever depth."""
    if not isinstance(content, dict):
        raise InvalidManifest(
            f"{path} is expected as DeepfakeBench writes it: DATASET, LABEL, SPLIT, VIDEO."
        )
    for name, value in content.items():
        if split and name == "frames" and isinstance(value, list):
            yield split, value
        elif isinstance(value, dict):
            yield from _frames(value, split or (name if name in ORDER else ""), path)


def _content(path: Path) -> Any:
    try:
        return json.loads(text_of(path, kind="JSON"))
    except json.JSONDecodeError as error:
        raise InvalidManifest(f"{path} is no JSON, line {error.lineno}: {error.msg}.") from None


def _text(value: Any) -> str:
    """Return a value as text; the name of a video or picture without its suffix."""
    return "" if value is None else _bare(str(value).strip())


def _bare(text: str) -> str:
    stem, _, suffix = text.rpartition(".")
    return stem if f".{suffix.lower()}" in SUFFIXES else text


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _key(rows: Mapping[str, Parts], name: str) -> str:
    """Return the longest end of a place of which there is a row; empty if there is none."""
    while name and name not in rows:
        name = name.partition("/")[2]
    return name
