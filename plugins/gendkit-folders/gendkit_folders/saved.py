"""What Hugging Face `datasets` writes with `save_to_disk`, read with pyarrow alone.

A `DatasetDict` is a folder of splits, a `Dataset` a folder of Arrow streams with two JSON files.
Nothing in them is executed or unpickled. Pictures stay in the Arrow files until a clip is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gendkit.data.pictures import decode_image
from gendkit.errors import InvalidOption, MissingMedia, UnreadableMedia, first_line
from gendkit.plugin.protocols import Clip, Frame
from gendkit_folders.files import checked, existing, listed, log, video_id, without_twins
from gendkit_folders.rows import OURS, Media, Reading

SOUGHT = "a folder that datasets wrote with save_to_disk"
DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
NAMES = ("image", *OURS)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture in an Arrow file, as the only frame of a clip.

    Nothing is random: a call always gives the same frame.

    Attributes
    ----------
    file, row, column
        Where it stands; rows count from 0 in the file.
    name
        What it is called in an error.
    """

    file: Path
    row: int
    column: str
    name: str

    def __call__(self) -> Iterator[Frame]:
        """Yield the frame."""
        first = 0
        for batch in _batches(self.file):
            if self.row < first + batch.num_rows:
                data = batch.column(self.column)[self.row - first].as_py()["bytes"]
                yield Frame(index=0, image=decode_image(data, name=self.name))
                return
            first += batch.num_rows
        raise UnreadableMedia(f"{self.name} is gone: {self.file} has {first} rows.")


class Saved:
    """Clips of a saved dataset, in its own order: split by split as named, row by row.

    Parameters
    ----------
    root
        The folder.
    options
        As of `gendkit_folders.table.Table`. Paths, where a row has one instead of a picture, are
        below the folder. `columns` may name the `image`, too; without it, the only column of
        pictures is the image and the only `ClassLabel` is the label. A `ClassLabel` counts by its
        names, never by its numbers.

    Raises
    ------
    InvalidOption
        For an option that cannot be.
    MissingMedia
        If there is no such folder.
    """

    name = "hf-datasets"

    def __init__(self, root: str | Path | None, **options: Any) -> None:
        self._root = existing(root, dataset=self.name, sought=SOUGHT)
        self._reading = Reading(
            name=self.name, place=self._root, file=self._root.resolve().name, **options
        )
        self._parts = self._folders()

    def clips(self) -> list[Clip]:
        """Return the clips.

        Raises
        ------
        UnreadableMedia
            If a file is damaged.
        InvalidOption
            If a column is missing or could be one of several.
        MissingMedia
            If a file that is named is not there, or lies outside of its folder.
        InvalidLabels, InvalidManifest
            For values that cannot be, and for two rows with one id.
        """
        clips: list[Clip] = []
        places: list[str] = []
        for split, folder in self._parts:
            meant = self._reading.splits.of(split, where=f"{self._root.name} has a part that")
            for where, number, row, picture in self._rows(folder):
                video, media = self._media_of(row, picture, where=where)
                video = video or f"{video_id(PurePosixPath(split or 'row'))}/{number:06d}"
                clips.append(
                    self._reading.clip(row, video=video, media=media, where=where, split=meant)
                )
                places.append(where)
        if not clips:
            raise MissingMedia(f"{self._root} has no row; {self.name} expects one a clip.")
        return without_twins(clips, places, dataset=self.name)

    def _folders(self) -> list[tuple[str, Path]]:
        """Return the name, empty for a lone dataset, and the folder of each split."""
        if (self._root / DICT).is_file():
            splits = _json(self._root / DICT).get("splits", [])
            folders = [(str(split), self._root / str(split)) for split in splits]
        else:
            folders = [("", self._root)]
        for _, folder in folders:
            checked(folder, root=self._root)
            if missing := [name for name in (STATE, INFO) if not (folder / name).is_file()]:
                there = "no folder"
                if folder.is_dir():
                    there = listed(sorted(p.name for p in folder.iterdir()))
                raise MissingMedia(
                    f"{folder} has no {' and no '.join(missing)}; {self.name} expects {SOUGHT}. "
                    f"In it: {there}."
                )
        return folders

    def _rows(self, folder: Path) -> Iterator[tuple[str, int, dict[str, Any], Picture | None]]:
        """Yield each row's name, number and values but the picture, and its picture if it has."""
        features = _json(folder / INFO).get("features") or {}
        names = self._names(features, folder)
        image = names.pop("image", None)
        label = features[names["label"]]
        classes = label.get("names") if isinstance(label, Mapping) else None
        total = 0
        for file in _files(folder):
            at = 0
            for batch in _batches(file):
                if gone := [
                    n for n in (*names.values(), image) if n and n not in batch.schema.names
                ]:
                    raise UnreadableMedia(
                        f"{file} has no column {', '.join(gone)}, as {INFO} says."
                    )
                columns = {ours: batch.column(n).to_pylist() for ours, n in names.items()}
                inside = self._inside(batch, image, file)
                for i in range(batch.num_rows):
                    where = f"row {total} of {folder.name}"
                    row = {ours: values[i] for ours, values in columns.items()}
                    if classes is not None:
                        row["label"] = _class_name(row["label"], classes)
                    picture = None
                    if image and inside[i][0]:
                        picture = Picture(file=file, row=at + i, column=image, name=where)
                    elif image:
                        row["path"] = inside[i][1]
                    yield where, total, row, picture
                    total += 1
                at += batch.num_rows

    def _inside(self, batch: Any, image: str | None, file: Path) -> list[tuple[bool, str]]:
        """Return for each row of a batch whether the picture is in it, and its path."""
        import pyarrow

        if image is None:
            return []
        column = batch.column(image)
        kind = column.type
        if not pyarrow.types.is_struct(kind) or {f.name for f in kind} != {"bytes", "path"}:
            raise InvalidOption(
                f"{image!r} of {file.parent} holds {kind}; expected pictures, as bytes and path. "
                "Name another column with the option columns."
            )
        valid = column.field("bytes").is_valid().to_pylist()
        return list(zip(valid, column.field("path").to_pylist(), strict=True))

    def _names(self, features: Mapping[str, Any], folder: Path) -> dict[str, str]:
        """Return under which name the dataset has each of our columns."""
        names = self._reading.names(list(features), ours=NAMES)
        for ours, kind in (("image", "Image"), ("label", "ClassLabel")):
            of_kind = [
                n
                for n, f in features.items()
                if isinstance(f, Mapping) and f.get("_type") == kind and n not in names.values()
            ]
            known = ours in names or (ours == "image" and "path" in names)
            if not known and len(of_kind) == 1:
                names[ours] = of_kind[0]
        missing = [n for n in ("label",) if n not in names]
        if not {"image", "path"} & set(names):
            missing.append("image")
        if missing:
            kinds = [f"{n} ({_kind(f)})" for n, f in features.items()]
            raise InvalidOption(
                f"{folder} has no column that is clearly the {' or the '.join(missing)}; it has "
                f"{listed(kinds)}. Say which it is with columns={{theirs: {missing[0]}}}."
            )
        if "image" in names:
            names.pop("path", None)
        self._reading.note_unread(features, names.values())
        return names

    def _media_of(
        self, row: Mapping[str, Any], picture: Picture | None, *, where: str
    ) -> tuple[str, Media]:
        """Return the id by the path, empty without one, and the media."""
        if picture is not None:
            return "", picture
        below, media = self._reading.media_at(row, where=where)
        return video_id(PurePosixPath(below)), media


def _files(folder: Path) -> list[Path]:
    """Return the Arrow files that the dataset says it has; others are told in a warning.

    Working with a saved dataset leaves caches beside its files.
    """
    state = _json(folder / STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise UnreadableMedia(
            f"{folder} was saved with an order of its rows beside them; save it once more with a "
            "recent version of datasets, which writes the rows in that order."
        )
    named = [str(file["filename"]) for file in state.get("_data_files", [])]
    there = sorted(p.name for p in folder.glob("*.arrow"))
    if others := sorted(set(there) - set(named)):
        log.warning("hf-datasets: %s is not read, as %s names no such file", listed(others), STATE)
    if not set(named) <= set(there):
        raise MissingMedia(
            f"{folder / STATE} names {listed(named)}; in the folder: {listed(there)}."
        )
    return [checked(folder / name, root=folder) for name in named]


def _batches(file: Path) -> Iterator[Any]:
    import pyarrow

    try:
        with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
            yield from stream
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableMedia(
            f"{file} is no Arrow stream that can be read: {first_line(error)}; save it again."
        ) from None


def _class_name(value: Any, classes: list[str]) -> Any:
    known = isinstance(value, int) and 0 <= value < len(classes)
    return classes[value] if known else value


def _json(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnreadableMedia(f"{file} is no JSON: {first_line(error)}; save it again.") from None
    if not isinstance(read, dict):
        raise UnreadableMedia(f"{file} holds no JSON object; save it again.")
    return read


def _kind(feature: Any) -> str:
    if isinstance(feature, Mapping):
        return str(feature.get("dtype") or feature.get("_type") or "nested")
    return "nested"
